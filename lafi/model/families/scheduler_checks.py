"""Settings of a scheduler that decide pixels, for families that were trained by diffusion.

What would be drawn otherwise than it says is refused here, by name. Knows configs alone.
"""

from typing import Final

from lafi.model.config_problems import Config
from lafi.model.info import PREDICTION_TYPES
from lafi.model.scheduler_classes import DIFFUSION_SCHEDULERS

_BETAS: Final = ("linear", "scaled_linear", "squaredcos_cap_v2")


def diffusion_problems(scheduler: Config) -> list[str]:
    """An error line for each setting of a model trained by diffusion that cannot be drawn."""
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
    prediction = scheduler.get("prediction_type", "epsilon")
    if prediction not in PREDICTION_TYPES:
        allowed = ", ".join(PREDICTION_TYPES)
        problems.append(f"scheduler.prediction_type: got {prediction!r}, allowed {allowed}")
    return problems
