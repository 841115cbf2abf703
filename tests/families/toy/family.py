"""The toy family: text and picture attend to each other in one sequence, and guidance is a number.

What an outside package says of its kind of denoiser. Knows configs and sizes, no torch.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from lafi.model.config_problems import Config, differs
from lafi.model.family import GuidanceKind, TextOutput
from lafi.model.info import AttentionSite, ModelInfo
from lafi.model.input_port import ROWS, InputPort, core_ports

PATCH: Final = 2
"""Latent cells of a token along a side."""
GUIDANCE: Final = InputPort(name="guidance", axes=(ROWS,), fill=1.0, exact=True, optional=True)
MOOD: Final = InputPort(name="mood", axes=(ROWS, 3), fill=0.5, optional=True, example="weight")
"""An input that not every model of the family has: `ModelInfo.added_inputs` names it."""
_TOKENIZERS: Final = ("CLIPTokenizer", "CLIPTokenizerFast")


class ToyFamily:
    """`lafi.model.family.Family`."""

    name: Final = "toy"
    guidance: Final[GuidanceKind] = "embedded"
    parts: Final[Mapping[str, Mapping[str, tuple[str, ...] | None]]] = {
        "ToyPipeline": {
            "transformer": ("ToyTransformer",),
            "vae": ("AutoencoderKL",),
            "text_encoder": ("CLIPTextModel",),
            "tokenizer": _TOKENIZERS,
            "scheduler": None,
        }
    }

    def problems(self, folder: Path, parts: Mapping[str, Config]) -> Sequence[str]:
        width = parts["text_encoder"]["hidden_size"]
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
            "text_length": parts["text_encoder"]["max_position_embeddings"],
            "text_width": config["text_width"],
            "layers": sites(config["depth"], config["heads"], config["width"]),
            "added_inputs": (MOOD,),
            "prediction_type": "flow",
        }

    def inputs(self, info: ModelInfo) -> tuple[InputPort, ...]:
        text = (info.text_length, info.text_width)
        return (*core_ports(info.latent_channels, len(info.layers), text), GUIDANCE)

    def conditions(self, info: ModelInfo, size: tuple[int, int]) -> Mapping[str, tuple[float, ...]]:
        return {}

    def text_outputs(self, info: ModelInfo) -> tuple[TextOutput, ...]:
        return (TextOutput("text", (info.text_length, info.text_width)),)

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
