"""Settings of a checkpoint that decide pixels without being in its tensors.

What this family does not draw as diffusers' own pipeline does is refused here, by name.
Knows configs alone.
"""

from collections.abc import Mapping
from typing import Any, Final

from lafi.model.config_problems import Config
from lafi.model.families.vae_checks import vae_problems
from lafi.model.scheduler_classes import DIFFUSION_SCHEDULERS

_BETAS: Final = ("linear", "scaled_linear", "squaredcos_cap_v2")


def pixel_problems(parts: Mapping[str, Config]) -> list[str]:
    """An error line for each setting that would be drawn otherwise than it says."""
    return [
        *_scheduler_problems(parts["scheduler"]),
        *vae_problems(parts["vae"], shifted=False),
        *_unet_problems(parts["unet"], parts.get("index", {})),
    ]


def _scheduler_problems(scheduler: Config) -> list[str]:
    problems = []
    name = scheduler.get("_class_name")
    if name is not None and name not in DIFFUSION_SCHEDULERS:
        allowed = ", ".join(DIFFUSION_SCHEDULERS)
        problems.append(
            f"scheduler._class_name: got {name!r}, allowed {allowed} (a model "
            "trained with other noise cannot be drawn)"
        )
    schedule = scheduler.get("beta_schedule", "linear")
    if schedule not in _BETAS and not scheduler.get("trained_betas"):
        allowed = ", ".join(_BETAS)
        problems.append(f"scheduler.beta_schedule: got {schedule!r}, allowed {allowed}")
    epsilon = scheduler.get("prediction_type", "epsilon") == "epsilon"
    if scheduler.get("rescale_betas_zero_snr") and epsilon:
        problems.append(
            "scheduler.rescale_betas_zero_snr: got True with prediction_type 'epsilon', allowed "
            "with 'v_prediction' (pure noise says nothing of the picture)"
        )
    return problems


def _unet_problems(unet: Config, index: Config) -> list[str]:
    problems: list[str] = []
    wrong: dict[str, tuple[Any, str]] = {
        "unet.time_cond_proj_dim": (
            unet.get("time_cond_proj_dim"),
            "guidance as an input, as in LCM",
        ),
        "unet.attention_type": (
            None if unet.get("attention_type") in (None, "default") else unet["attention_type"],
            "boxes as an input, as in GLIGEN",
        ),
        "model_index.json: requires_aesthetics_score": (
            index.get("requires_aesthetics_score") or None,
            "a score as an input, as in SDXL's refiner",
        ),
    }
    for field, (found, why) in wrong.items():
        if found is not None:
            problems.append(f"{field}: got {found!r}, allowed none ({why})")
    return problems
