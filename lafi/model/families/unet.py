"""The UNets of SD1.5, SD2.1 and SDXL: `UNet2DConditionModel` with CLIP texts in cross-attention.

Knows configs of diffusers' folders; reads modules without their weights.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from lafi.model.config_problems import Config, differs
from lafi.model.families.unet_checks import pixel_problems
from lafi.model.family import GuidanceKind, PlanPrecision
from lafi.model.info import AttentionSite, ModelInfo
from lafi.model.input_port import (
    ROWS,
    TEXT_MASK,
    TOKENS,
    Axis,
    InputPort,
    core_ports,
    words_port,
)
from lafi.model.text_stacks.clip import CLIP, ONE_ENCODER, TWO_ENCODERS, Parts

_DRAWING: Final[Parts] = {"unet": ("UNet2DConditionModel",), "vae": ("AutoencoderKL",)}
_PIPELINES: Final = {
    "StableDiffusionPipeline": {**_DRAWING, **ONE_ENCODER, "scheduler": None},
    "StableDiffusionXLPipeline": {**_DRAWING, **TWO_ENCODERS, "scheduler": None},
}
"""Class of a pipeline -> its parts, each with its allowed classes, None for any."""
_TIME_IDS: Final = 6
"""Original height and width, crop from the top and the left, target height and width."""
_TEXT_MASK: Final = InputPort(
    name=TEXT_MASK, axes=(ROWS, TOKENS), fill=1.0, optional=True, example="flag"
)
_UP_BLOCK_SHARE: Final = {"decoder": (0, 3), "balanced": (1, 3), "texture": (2, 3)}
"""Where in the up-block layers a preset starts, as numerator and denominator."""


class UNetFamily:
    """`Family` of diffusers' `UNet2DConditionModel` with one or two CLIP text encoders."""

    name: Final = "unet"
    guidance: Final[GuidanceKind] = "rows"
    default_preset: Final = "decoder"
    refused_runtimes: Final[Mapping[str, str]] = {}
    plan_precision: Final[PlanPrecision] = "f16"
    text: Final = CLIP
    parts: Final = _PIPELINES

    def problems(self, folder: Path, parts: Mapping[str, Config]) -> list[str]:
        """As `Family`."""
        return _misfits(parts)

    def describe(self, parts: Mapping[str, Config]) -> dict[str, Any]:
        """As `Family`."""
        unet_config, vae = parts["unet"], parts["vae"]
        vae_scale = 2 ** (len(vae["block_out_channels"]) - 1)
        return {
            "architecture": unet_config["_class_name"],
            "latent_channels": unet_config["in_channels"],
            "vae_scale": vae_scale,
            "side_multiple": vae_scale * 2 ** (len(unet_config["block_out_channels"]) - 1),
            "own_side": vae_scale * _one_side(unet_config.get("sample_size")),
            "zero_empty_negative": "text_encoder_2" in parts
            and bool(parts["index"].get("force_zeros_for_empty_prompt", True)),
            "layers": self_attention_layers(_without_weights(unet_config)),
            "prediction_type": parts["scheduler"].get("prediction_type", "epsilon"),
        }

    def inputs(self, info: ModelInfo) -> tuple[InputPort, ...]:
        """As `Family`: core ports and `words`; with two encoders also `pooled` and `time_ids`.

        Models whose prompts may have several windows also have `text_mask`.
        """
        tokens: Axis | int = TOKENS if info.text_windows > 1 else info.text_length
        core = core_ports(info.latent_channels, len(info.layers), (tokens, info.text_width))
        words = words_port(tokens)
        told = (*core, words, _TEXT_MASK) if tokens == TOKENS else (*core, words)
        if not info.pooled_width:
            return told
        pooled = InputPort(name="pooled", axes=(ROWS, info.pooled_width))
        time_ids = InputPort(name="time_ids", axes=(ROWS, _TIME_IDS), exact=True, example="pixels")
        return (*told, pooled, time_ids)

    def conditions(self, info: ModelInfo, size: tuple[int, int]) -> dict[str, tuple[float, ...]]:
        """As `Family`: with two encoders, time ids for an uncropped picture (arXiv:2307.01952)."""
        if not info.pooled_width:
            return {}
        width, height = (float(side) for side in size)
        return {"time_ids": (height, width, 0.0, 0.0, height, width)}

    def presets(self, layers: Sequence[AttentionSite]) -> dict[str, tuple[int, ...]]:
        """As `Family`.

        `decoder` is the up blocks; `balanced` and `texture` start a third and two thirds through
        the up-block layers, rounded down to the start of a transformer module.
        """
        every = range(len(layers))
        up = [index for index in every if layers[index].block.startswith("up.")]
        named: dict[str, tuple[int, ...]] = {"none": (), "all": tuple(every)}
        if up:
            for name, (numerator, denominator) in _UP_BLOCK_SHARE.items():
                start = _module_start(layers, up[len(up) * numerator // denominator])
                named[name] = tuple(every[start:])
        return named


UNET: Final = UNetFamily()


def _one_side(sample_size: int | Sequence[int] | None) -> int:
    """A config's `sample_size`: a side, a pair of which the shorter counts, or nothing."""
    if sample_size is None or isinstance(sample_size, int):
        return sample_size or 0
    return min(sample_size)


def first_injected_layer(layers: Sequence[AttentionSite], preset: str) -> int:
    """The first layer of a UNet's preset; the number of layers for an empty preset.

    Raises KeyError for a preset that these layers do not have.
    """
    return next(iter(UNET.presets(layers)[preset]), len(layers))


def self_attention_layers(unet: Any) -> tuple[AttentionSite, ...]:
    """The self-attention layers of a diffusers `UNet2DConditionModel`, in forward order."""
    layers: list[AttentionSite] = []
    downscale = 1
    for i, block in enumerate(unet.down_blocks):
        layers.extend(_layers_of(block, f"down_blocks.{i}", f"down.{i}", downscale))
        downscale *= 2 if getattr(block, "downsamplers", None) else 1
    if unet.mid_block is not None:
        layers.extend(_layers_of(unet.mid_block, "mid_block", "mid", downscale))
    for i, block in enumerate(unet.up_blocks):
        layers.extend(_layers_of(block, f"up_blocks.{i}", f"up.{i}", downscale))
        downscale //= 2 if getattr(block, "upsamplers", None) else 1
    return tuple(layers)


def _layers_of(block: Any, path: str, label: str, downscale: int) -> Iterator[AttentionSite]:
    for i, transformer in enumerate(getattr(block, "attentions", None) or ()):
        for j, inner in enumerate(getattr(transformer, "transformer_blocks", ())):
            yield AttentionSite(
                name=f"{path}.attentions.{i}.transformer_blocks.{j}.attn1",
                block=label,
                heads=inner.attn1.heads,
                width=inner.attn1.to_q.out_features,
                downscale=downscale,
            )


def _module_start(layers: Sequence[AttentionSite], index: int) -> int:
    module = _transformer_module(layers[index])
    while index > 0 and _transformer_module(layers[index - 1]) == module:
        index -= 1
    return index


def _transformer_module(layer: AttentionSite) -> str:
    """`up_blocks.0.attentions.1.transformer_blocks.3.attn1` -> `up_blocks.0.attentions.1`."""
    return layer.name.partition(".transformer_blocks.")[0]


def _without_weights(config: Config) -> Any:
    """A UNet of that config with tensors that take no memory."""
    # Imported here, because only code that reads checkpoints needs torch.
    import torch
    from diffusers import UNet2DConditionModel

    with torch.device("meta"):
        return UNet2DConditionModel.from_config(dict(config))


def _misfits(parts: Mapping[str, Config]) -> list[str]:
    """Fields with values that do not fit the other parts, each with what is allowed."""
    unet, vae = parts["unet"], parts["vae"]
    texts = {part: parts[part] for part in CLIP.encoders if part in parts}
    widths = " and ".join(f"{text['hidden_size']} of {part}" for part, text in texts.items())
    text_width = sum(text["hidden_size"] for text in texts.values())
    return [
        *differs("unet.cross_attention_dim", unet, text_width, f"the width of the text, {widths}"),
        *differs("unet.in_channels", unet, vae["latent_channels"], "the VAE's latent_channels"),
        *differs("unet.out_channels", unet, vae["latent_channels"], "the VAE's latent_channels"),
        *_conditioning_misfits(unet, texts),
        *pixel_problems(parts),
    ]


def _conditioning_misfits(unet: Config, texts: Mapping[str, Config]) -> list[str]:
    """The UNet's conditioning beside text and timestep."""
    problems = []
    for field in ("class_embed_type", "num_class_embeds", "encoder_hid_dim_type"):
        problems += differs(f"unet.{field}", unet, None, "no such conditioning")
    second = texts.get("text_encoder_2")
    if second is None:
        problems += differs("unet.addition_embed_type", unet, None, "as with one text encoder")
        return problems
    kind = "as with two text encoders"
    problems += differs("unet.addition_embed_type", unet, "text_time", kind)
    if not problems:
        pooled, time = second["projection_dim"], unet["addition_time_embed_dim"]
        why = f"{pooled} of text_encoder_2.projection_dim and {_TIME_IDS} times {time}"
        total = pooled + _TIME_IDS * time
        problems += differs("unet.projection_class_embeddings_input_dim", unet, total, why)
    return problems
