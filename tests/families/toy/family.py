"""The toy family: text and picture attend to each other in one sequence, and guidance is a number.

What an outside package says of its kind of denoiser. Knows configs and sizes, no torch.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from lafi_toy.texts import TEXT_MASK, TOY_TEXTS

from lafi.model.config_problems import Config, differs
from lafi.model.family import GuidanceKind, PlanPrecision
from lafi.model.info import AttentionSite, ModelInfo
from lafi.model.input_port import ROWS, TOKENS, InputPort, core_ports

PATCH: Final = 2
"""Latent cells of a token along a side."""
GUIDANCE: Final = InputPort(name="guidance", axes=(ROWS,), fill=1.0, exact=True, optional=True)
MOOD: Final = InputPort(name="mood", axes=(ROWS, 3), fill=0.5, optional=True, example="weight")
"""An input that not every model of the family has: `ModelInfo.added_inputs` names it."""


class ToyFamily:
    """`lafi.model.family.Family`."""

    name: Final = "toy"
    guidance: Final[GuidanceKind] = "embedded"
    default_preset: Final = "texture"
    refused_runtimes: Final[Mapping[str, str]] = {}
    plan_precision: Final[PlanPrecision] = "bf16"
    text: Final = TOY_TEXTS
    parts: Final[Mapping[str, Mapping[str, tuple[str, ...] | None]]] = {
        "ToyPipeline": {
            "transformer": ("ToyTransformer",),
            "vae": ("AutoencoderKL",),
            "embedding": ("ToyEmbedding",),
            "vocabulary": None,
            "scheduler": None,
        }
    }

    def problems(self, folder: Path, parts: Mapping[str, Config]) -> Sequence[str]:
        width = parts["embedding"]["width"]
        channels = parts["vae"]["latent_channels"]
        return [
            *differs("transformer.text_width", parts["transformer"], width, "the text's width"),
            *differs("transformer.channels", parts["transformer"], channels, "the VAE's"),
        ]

    def describe(self, parts: Mapping[str, Config]) -> Mapping[str, Any]:
        config, vae_scale = parts["transformer"], 2 ** (len(parts["vae"]["block_out_channels"]) - 1)
        return {
            "architecture": config["_class_name"],
            "latent_channels": config["channels"],
            "vae_scale": vae_scale,
            "side_multiple": vae_scale * PATCH,
            "layers": sites(config["depth"], config["heads"], config["width"]),
            "added_inputs": (MOOD,),
            "prediction_type": "flow",
        }

    def inputs(self, info: ModelInfo) -> tuple[InputPort, ...]:
        core = core_ports(info.latent_channels, len(info.layers), (TOKENS, info.text_width))
        return (*core, TEXT_MASK, GUIDANCE)

    def conditions(self, info: ModelInfo, size: tuple[int, int]) -> Mapping[str, tuple[float, ...]]:
        return {}

    def presets(self, layers: Sequence[AttentionSite]) -> Mapping[str, tuple[int, ...]]:
        """Depth says little in a transformer: `texture` is every other layer."""
        every = tuple(range(len(layers)))
        return {"none": (), "all": every, "texture": every[::2]}


def sites(depth: int, heads: int, width: int) -> tuple[AttentionSite, ...]:
    """The self-attention of each block."""
    return tuple(
        AttentionSite(
            name=f"blocks.{index}",
            block="joint",
            heads=heads,
            width=width,
            downscale=PATCH,
            joint=True,
            rotary=True,
            qk_norm=True,
        )
        for index in range(depth)
    )


TOY: Final = ToyFamily()
