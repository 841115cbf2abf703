"""Hunyuan-DiT: `HunyuanDiT2DModel`, long skips, BERT and T5 texts in cross-attention.

Knows configs of diffusers' folders. Source: arXiv:2405.08748.
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
from lafi.model.text_stacks.hunyuan import HUNYUAN_PARTS, HUNYUAN_TEXTS, text_tokens
from lafi.model.text_stacks.hunyuan_reader import BERT_LENGTH, T5_LENGTH

VAE_SCALE: Final = 8
"""Pixels of a latent cell, as diffusers' HunyuanDiTPipeline takes for granted."""
META_SIZE: Final = InputPort(name="image_meta_size", axes=(ROWS, 6), exact=True, example="pixels")
"""Original height and width, target height and width, crop from the top and the left.

An input of models that are told them (up to version 1.1): `ModelInfo.added_inputs`.
"""
_ORIGINAL_SIDE: Final = 1024.0
"""`original_size` of diffusers' HunyuanDiTPipeline where none is given."""
_DECODER: Final = "up"


class HunyuanFamily:
    """`Family` of `HunyuanDiT2DModel`.

    A storyboard's sizes are drawn as they are: no resolution bins (`use_resolution_binning`).
    """

    name: Final = "hunyuan"
    guidance: Final[GuidanceKind] = "rows"
    default_preset: Final = "decoder"
    refused_runtimes: Final = NOT_BUILT_BY_TENSORRT
    plan_precision: Final[PlanPrecision] = "bf16"
    text: Final = HUNYUAN_TEXTS
    parts: Final[Mapping[str, Mapping[str, tuple[str, ...] | None]]] = {
        "HunyuanDiTPipeline": {
            "transformer": ("HunyuanDiT2DModel",),
            "vae": ("AutoencoderKL",),
            **HUNYUAN_PARTS,
            "scheduler": None,
        }
    }

    def problems(self, folder: Path, parts: Mapping[str, Config]) -> list[str]:
        """As `Family`."""
        transformer, vae = parts["transformer"], parts["vae"]
        bert, t5 = parts["text_encoder"]["hidden_size"], parts["text_encoder_2"]["d_model"]
        channels, width = vae["latent_channels"], _width(transformer)
        found = [
            *differs("transformer.in_channels", transformer, channels, "the VAE's channels"),
            *differs("transformer.cross_attention_dim", transformer, bert, "text_encoder's width"),
            *differs("transformer.cross_attention_dim_t5", transformer, t5, "text_encoder_2's"),
            *differs("transformer.hidden_size", transformer, width, "heads by their width"),
            *differs("transformer.text_len", transformer, BERT_LENGTH, "tokens of tokenizer"),
            *differs("transformer.text_len_t5", transformer, T5_LENGTH, "tokens of tokenizer_2"),
            *differs(
                "transformer.learn_sigma", transformer, True, "the pipeline halves its output"
            ),
            *diffusion_problems(parts["scheduler"]),
            *vae_problems(vae, shifted=False),
        ]
        if (scale := _vae_scale(vae)) != VAE_SCALE:
            found.append(
                f"vae.block_out_channels: got {scale} pixels a latent cell, allowed {VAE_SCALE}"
            )
        return found

    def describe(self, parts: Mapping[str, Config]) -> dict[str, Any]:
        """As `Family`."""
        transformer = parts["transformer"]
        told = transformer.get("use_style_cond_and_image_meta_size", True)
        return {
            "architecture": transformer["_class_name"],
            "latent_channels": transformer["in_channels"],
            "vae_scale": VAE_SCALE,
            "side_multiple": VAE_SCALE * transformer["patch_size"],
            "own_side": VAE_SCALE * transformer["sample_size"],
            "layers": attention_sites(transformer),
            "added_inputs": (META_SIZE,) if told else (),
            "prediction_type": parts["scheduler"].get("prediction_type", "epsilon"),
        }

    def inputs(self, info: ModelInfo) -> tuple[InputPort, ...]:
        """As `Family`: core ports, `words`, and which tokens of a row's texts count."""
        tokens = text_tokens(info)
        core = core_ports(info.latent_channels, len(info.layers), (tokens, info.text_width))
        return (*core, words_port(tokens), text_mask_port(tokens))

    def conditions(self, info: ModelInfo, size: tuple[int, int]) -> dict[str, tuple[float, ...]]:
        """As `Family`: the picture's size, of models that are told it."""
        if META_SIZE not in info.added_inputs:
            return {}
        width, height = (float(side) for side in size)
        return {META_SIZE.name: (_ORIGINAL_SIDE, _ORIGINAL_SIDE, height, width, 0.0, 0.0)}

    def presets(self, layers: Sequence[AttentionSite]) -> dict[str, tuple[int, ...]]:
        """As `Family`. Depth says little in a transformer: a probe chooses better sets.

        `decoder` is the blocks that long skips lead to.
        """
        every = range(len(layers))
        decoder = tuple(index for index in every if layers[index].block == _DECODER)
        return {"none": (), "decoder": decoder, "all": tuple(every)}


HUNYUAN: Final = HunyuanFamily()


def attention_sites(config: Config) -> tuple[AttentionSite, ...]:
    """The self-attention of each block, in forward order. No text stands in its sequence."""
    return tuple(
        AttentionSite(
            name=f"blocks.{index}.attn1",
            block=_zone(index, config["num_layers"]),
            heads=config["num_attention_heads"],
            width=_width(config),
            downscale=config["patch_size"],
            rotary=True,
            qk_norm=True,
        )
        for index in range(config["num_layers"])
    )


def _zone(index: int, count: int) -> str:
    """Blocks from which a long skip starts, those that have none, those that one leads to."""
    half = count // 2
    if index < half - 1:
        return "down"
    return _DECODER if index > half else "mid"


def _width(transformer: Config) -> int:
    width: int = transformer["num_attention_heads"] * transformer["attention_head_dim"]
    return width


def _vae_scale(vae: Config) -> int:
    scale: int = 2 ** (len(vae["block_out_channels"]) - 1)
    return scale
