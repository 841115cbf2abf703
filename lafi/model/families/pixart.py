"""PixArt-alpha and PixArt-Sigma: `PixArtTransformer2DModel` with T5 texts in cross-attention.

Knows configs of diffusers' folders. Sources: arXiv:2310.00426, arXiv:2403.04692.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from lafi.model.config_problems import Config, differs
from lafi.model.families.scheduler_checks import diffusion_problems
from lafi.model.families.vae_checks import vae_problems
from lafi.model.family import NOT_BUILT_BY_TENSORRT, GuidanceKind, PlanPrecision
from lafi.model.info import AttentionSite, ModelInfo
from lafi.model.input_port import ROWS, InputPort, core_ports, text_mask_port, words_port
from lafi.model.text_stacks.pixart import ALPHA, PIXART_PARTS, PIXART_TEXTS, SIGMA

_PARTS: Final = {
    # The class that PixArt-XL-2-1024-MS names is the one from which diffusers split this off.
    "transformer": ("PixArtTransformer2DModel", "Transformer2DModel"),
    "vae": ("AutoencoderKL",),
    **PIXART_PARTS,
    "scheduler": None,
}
_SIZED: Final = 128
"""The `sample_size` at which diffusers' PixArtAlphaPipeline tells the model a picture's size."""
RESOLUTION: Final = InputPort(name="resolution", axes=(ROWS, 2), exact=True, example="pixels")
"""Height and width in pixels, of models that are told them: `ModelInfo.added_inputs`."""
ASPECT_RATIO: Final = InputPort(name="aspect_ratio", axes=(ROWS, 1), exact=True, example="weight")
"""Height divided by width, beside `resolution`."""


class PixArtFamily:
    """`Family` of `PixArtTransformer2DModel`.

    A storyboard's sizes are drawn as they are: no resolution bins (`use_resolution_binning`), and
    texts are only put in lower case (`clean_caption=False`).
    """

    name: Final = "pixart"
    guidance: Final[GuidanceKind] = "rows"
    default_preset: Final = "all"
    refused_runtimes: Final = NOT_BUILT_BY_TENSORRT
    plan_precision: Final[PlanPrecision] = "bf16"
    text: Final = PIXART_TEXTS
    parts: Final[Mapping[str, Mapping[str, tuple[str, ...] | None]]] = {
        ALPHA: _PARTS,
        SIGMA: _PARTS,
    }

    def problems(self, folder: Path, parts: Mapping[str, Config]) -> list[str]:
        """As `Family`."""
        transformer, vae, text = parts["transformer"], parts["vae"], parts["text_encoder"]
        width, channels = text["d_model"], vae["latent_channels"]
        inner = _width(transformer)
        return [
            *differs("transformer.caption_channels", transformer, width, "text_encoder's width"),
            *differs("transformer.in_channels", transformer, channels, "the VAE's channels"),
            *differs("transformer.cross_attention_dim", transformer, inner, "heads by their width"),
            *differs("transformer.norm_type", transformer, "ada_norm_single", "as PixArt's"),
            *_output_problems(transformer),
            *_size_problems(parts),
            *diffusion_problems(parts["scheduler"]),
            *vae_problems(vae, shifted=False),
        ]

    def describe(self, parts: Mapping[str, Config]) -> dict[str, Any]:
        """As `Family`."""
        transformer, vae = parts["transformer"], parts["vae"]
        vae_scale = 2 ** (len(vae["block_out_channels"]) - 1)
        return {
            "architecture": transformer["_class_name"],
            "latent_channels": transformer["in_channels"],
            "vae_scale": vae_scale,
            "side_multiple": vae_scale * transformer["patch_size"],
            "own_side": vae_scale * transformer["sample_size"],
            "layers": attention_sites(transformer),
            "added_inputs": (RESOLUTION, ASPECT_RATIO) if _is_told_sizes(transformer) else (),
            "prediction_type": parts["scheduler"].get("prediction_type", "epsilon"),
        }

    def inputs(self, info: ModelInfo) -> tuple[InputPort, ...]:
        """As `Family`: core ports, `words`, and which tokens of a row's text count."""
        tokens = info.text_length
        core = core_ports(info.latent_channels, len(info.layers), (tokens, info.text_width))
        return (*core, words_port(tokens), text_mask_port(tokens))

    def conditions(self, info: ModelInfo, size: tuple[int, int]) -> dict[str, tuple[float, ...]]:
        """As `Family`: the picture's size, of models that are told it."""
        if RESOLUTION not in info.added_inputs:
            return {}
        width, height = (float(side) for side in size)
        return {RESOLUTION.name: (height, width), ASPECT_RATIO.name: (height / width,)}

    def presets(self, layers: Sequence[AttentionSite]) -> dict[str, tuple[int, ...]]:
        """As `Family`. Depth says little in a transformer: a probe chooses better sets."""
        return {"none": (), "all": tuple(range(len(layers)))}


PIXART: Final = PixArtFamily()


def attention_sites(config: Config) -> tuple[AttentionSite, ...]:
    """The self-attention of each block, in forward order. No text stands in its sequence."""
    return tuple(
        AttentionSite(
            name=f"transformer_blocks.{index}.attn1",
            block="blocks",
            heads=config["num_attention_heads"],
            width=_width(config),
            downscale=config["patch_size"],
        )
        for index in range(config["num_layers"])
    )


def _width(transformer: Config) -> int:
    width: int = transformer["num_attention_heads"] * transformer["attention_head_dim"]
    return width


def _is_told_sizes(transformer: Config) -> bool:
    """Whether the model takes a picture's size. Source: `PixArtTransformer2DModel.__init__`."""
    given = transformer.get("use_additional_conditions")
    return transformer["sample_size"] == _SIZED if given is None else bool(given)


def _output_problems(transformer: Config) -> list[str]:
    """The prediction, or the prediction and a learnt variance behind it, which is not used."""
    channels, found = transformer["in_channels"], transformer.get("out_channels")
    if found in (None, channels, 2 * channels):
        return []
    return [
        f"transformer.out_channels: got {found!r}, allowed {channels} or {2 * channels} "
        "(with a learnt variance)"
    ]


def _size_problems(parts: Mapping[str, Config]) -> list[str]:
    """A model that is told sizes by no pipeline of diffusers, which fail with it."""
    transformer, pipeline = parts["transformer"], parts["index"]["_class_name"]
    side = transformer["sample_size"]
    if not _is_told_sizes(transformer) or (pipeline == ALPHA and side == _SIZED):
        return []
    why = f"{pipeline} tells no sizes with sample_size {side}"
    return [
        "transformer.use_additional_conditions: got "
        f"{transformer.get('use_additional_conditions')!r}, allowed False ({why})"
    ]
