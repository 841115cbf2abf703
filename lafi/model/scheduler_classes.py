"""Classes of diffusers' schedulers, by the noise that a model was trained with."""

from typing import Final

FLOW_SCHEDULERS: Final = (
    "FlowMatchEulerDiscreteScheduler",
    "FlowMatchHeunDiscreteScheduler",
    "FlowMatchLCMScheduler",
    "LTXEulerAncestralRFScheduler",
)
DIFFUSION_SCHEDULERS: Final = (
    "DDIMScheduler",
    "DDPMScheduler",
    "DEISMultistepScheduler",
    "DPMSolverMultistepScheduler",
    "DPMSolverSDEScheduler",
    "DPMSolverSinglestepScheduler",
    "EulerAncestralDiscreteScheduler",
    "EulerDiscreteScheduler",
    "HeunDiscreteScheduler",
    "KDPM2AncestralDiscreteScheduler",
    "KDPM2DiscreteScheduler",
    "LCMScheduler",
    "LMSDiscreteScheduler",
    "PNDMScheduler",
    "TCDScheduler",
    "UniPCMultistepScheduler",
)
"""`_class_name` of a scheduler config, by what it says of the model's training."""

EVEN_LEVELS: Final = "even_levels"
"""A field of our own in a flow's scheduler config: before the shift a schedule of N steps has the
noise levels 1, 1 - 1/N ... 1/N, as pipelines of FLUX and Z-Image hand them to the scheduler.
Without it the levels are the scheduler's own, as in SD3's."""
