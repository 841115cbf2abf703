"""Settings of a checkpoint that decide pixels without being in its tensors.

What this family does not draw as diffusers' own pipeline does is refused here, by name.
Knows configs alone.
"""

from collections.abc import Mapping
from typing import Any

from lafi.model.config_problems import Config
from lafi.model.families.scheduler_checks import diffusion_problems
from lafi.model.families.vae_checks import vae_problems


def pixel_problems(parts: Mapping[str, Config]) -> list[str]:
    """An error line for each setting that would be drawn otherwise than it says."""
    return [
        *diffusion_problems(parts["scheduler"]),
        *vae_problems(parts["vae"], shifted=False),
        *_unet_problems(parts["unet"], parts.get("index", {})),
    ]


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
