"""Small random checkpoints of SD3, SD3.5, FLUX.1-dev and FLUX.1-schnell."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from lafi.model.architectures.architecture import Architecture
from lafi.model.architectures.registry import ArchitectureName, architecture
from lafi_export.random_checkpoint import write_checkpoint

VARIANTS: Final[dict[str, tuple[ArchitectureName, dict[str, Any], dict[str, Any]]]] = {
    "sd3": ("sd3", {}, {}),
    "sd35": ("sd3", {"dual_attention_layers": [0, 2], "qk_norm": "rms_norm"}, {}),
    "dev": ("flux", {}, {}),
    "schnell": (
        "flux",
        {"guidance_embeds": False},
        {"shift": 1.0, "use_dynamic_shifting": False},
    ),
}
"""Name -> architecture, and what differs in the transformer's config and the scheduler's."""


def joint_checkpoint(name: str, folder: Path, **changed: Any) -> Architecture:
    """Writes a small checkpoint of a variant, fp32. changed: fields of the transformer's config."""
    kind, transformer, scheduler = VARIANTS[name]
    small = architecture(kind, "small")
    own = small.configs["transformer"] | transformer | changed
    configs = {**small.configs, "transformer": own}
    chosen = replace(small, configs=configs, scheduler=small.scheduler | scheduler)
    write_checkpoint(chosen, folder)
    return chosen
