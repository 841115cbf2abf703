"""Z-Image: `ZImageTransformer2DModel`, one stream of text and picture after two refiners.

Knows configs of diffusers' folders; depth, heads and widths stand in them.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from lafi.model.config_problems import Config, differs
from lafi.model.families.vae_checks import vae_problems
from lafi.model.family import NOT_BUILT_BY_TENSORRT, GuidanceKind, PlanPrecision
from lafi.model.info import AttentionSite, ModelInfo
from lafi.model.input_port import TOKENS, InputPort, core_ports, text_mask_port
from lafi.model.scheduler_classes import EVEN_LEVELS, FLOW_SCHEDULERS
from lafi.model.text_stacks.qwen import QWEN, QWEN_PARTS

PATCH: Final = 2
"""Latent cells of a token along a side."""
_REFINER: Final = "refiner"
_JOINT: Final = "joint"


class ZImageFamily:
    """`Family` of `ZImageTransformer2DModel` with Qwen3 as its text encoder.

    Guidance is as everywhere, neg + s (pos - neg). The number that diffusers' ZImagePipeline
    takes is one less: it computes pos + g (pos - neg).
    """

    name: Final = "zimage"
    guidance: Final[GuidanceKind] = "rows"
    default_preset: Final = "joint"
    refused_runtimes: Final = NOT_BUILT_BY_TENSORRT
    plan_precision: Final[PlanPrecision] = "bf16"
    text: Final = QWEN
    parts: Final[Mapping[str, Mapping[str, tuple[str, ...] | None]]] = {
        "ZImagePipeline": {
            "transformer": ("ZImageTransformer2DModel",),
            "vae": ("AutoencoderKL",),
            **QWEN_PARTS,
            "scheduler": FLOW_SCHEDULERS,
        }
    }

    def problems(self, folder: Path, parts: Mapping[str, Config]) -> list[str]:
        """As `Family`."""
        transformer, vae, text = parts["transformer"], parts["vae"], parts["text_encoder"]
        width, channels = text["hidden_size"], vae["latent_channels"]
        return [
            *differs("transformer.cap_feat_dim", transformer, width, "text_encoder's width"),
            *differs("transformer.in_channels", transformer, channels, "the VAE's channels"),
            *differs("transformer.all_patch_size", transformer, [PATCH], "one size of tokens"),
            *differs("transformer.all_f_patch_size", transformer, [1], "pictures, not films"),
            *differs("transformer.siglip_feat_dim", transformer, None, "no picture is told"),
            *vae_problems(vae, shifted=True),
        ]

    def describe(self, parts: Mapping[str, Config]) -> dict[str, Any]:
        """As `Family`. The model's own side is the VAE's."""
        config, vae = parts["transformer"], parts["vae"]
        vae_scale = 2 ** (len(vae["block_out_channels"]) - 1)
        side = vae.get("sample_size")
        return {
            "architecture": config["_class_name"],
            "latent_channels": config["in_channels"],
            "vae_scale": vae_scale,
            "side_multiple": vae_scale * PATCH,
            "own_side": side if isinstance(side, int) else 0,
            "layers": attention_sites(config),
            "prediction_type": "flow",
            "scheduler_config": {**parts["scheduler"], EVEN_LEVELS: True},
        }

    def inputs(self, info: ModelInfo) -> tuple[InputPort, ...]:
        """As `Family`: core ports, and which tokens of a row's text count."""
        core = core_ports(info.latent_channels, len(info.layers), (TOKENS, info.text_width))
        return (*core, text_mask_port(TOKENS))

    def conditions(self, info: ModelInfo, size: tuple[int, int]) -> dict[str, tuple[float, ...]]:
        """As `Family`: none."""
        return {}

    def presets(self, layers: Sequence[AttentionSite]) -> dict[str, tuple[int, ...]]:
        """As `Family`. Depth says little in a transformer: a probe chooses better sets.

        `joint` is every block that text and picture share.
        """
        every = range(len(layers))
        joint = tuple(index for index in every if layers[index].joint)
        return {"none": (), "joint": joint, "all": tuple(every)}


def attention_sites(config: Config) -> tuple[AttentionSite, ...]:
    """The self-attention of each block that holds picture tokens, in forward order."""
    heads = config["n_heads"]
    blocks = [(f"noise_refiner.{i}", _REFINER) for i in range(config["n_refiner_layers"])]
    blocks += [(f"layers.{i}", _JOINT) for i in range(config["n_layers"])]
    return tuple(
        AttentionSite(
            name=f"{path}.attention",
            block=label,
            heads=heads,
            width=config["dim"],
            downscale=PATCH,
            joint=label == _JOINT,
            rotary=True,
            qk_norm=bool(config["qk_norm"]),
        )
        for path, label in blocks
    )


ZIMAGE: Final = ZImageFamily()
