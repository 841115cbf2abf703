"""FLUX.1: `FluxTransformer2DModel`, blocks of two streams and then of one, with rotary positions.

Knows configs of diffusers' folders; depth, heads and widths stand in them.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from lafi.model.config_problems import Config, differs
from lafi.model.families.vae_checks import vae_problems
from lafi.model.family import NOT_BUILT_BY_TENSORRT, GuidanceKind, PlanPrecision
from lafi.model.info import AttentionSite, ModelInfo
from lafi.model.input_port import GUIDANCE_PORT, ROWS, InputPort, core_ports
from lafi.model.scheduler_classes import EVEN_LEVELS, FLOW_SCHEDULERS
from lafi.model.text_stacks.flux import FLUX_TEXT_PARTS, FLUX_TEXTS

PATCH: Final = 2
"""Latent cells of a token along a side."""
AXES: Final = 3
"""Axes of rotary positions: one that is 0 everywhere, rows, columns."""
GUIDANCE: Final = InputPort(name=GUIDANCE_PORT, axes=(ROWS,), fill=3.5, exact=True, optional=True)
"""Of models that were taught guidance. A reference's row has FluxPipeline's usual one."""
_DOUBLE: Final = "double"
_SINGLE: Final = "single"
_PUBLISHED_BLOCKS: Final = (*[_DOUBLE] * 19, *[_SINGLE] * 38)
_PUBLISHED: Final[Mapping[str, tuple[int, ...]]] = {
    "story2board": tuple(range(30, 57)),
    "aligned_gen": tuple(range(19, 57)),
    "stable_flow": (0, 1, 17, 18, 25, 28, 53, 54, 56),
    "free_flux_content": (0, 7, 8, 9, 10, 18, 25, 28, 37, 42, 45, 50, 56),
}
"""Blocks that published methods for FLUX.1 act on, by the method's name."""


class FluxFamily:
    """`Family` of `FluxTransformer2DModel` with CLIP and T5.

    Guidance is a number that the model reads (FLUX.1-dev), or there is none (FLUX.1-schnell): then
    it lacks the input.
    """

    name: Final = "flux"
    guidance: Final[GuidanceKind] = "embedded"
    default_preset: Final = "all"
    # Where the attention op's branches are an `If`, OpenVINO 2026.4 reads memory that it has given
    # away, in its first call at a larger shape; without the branches it does not.
    refused_runtimes: Final[Mapping[str, str]] = {
        **NOT_BUILT_BY_TENSORRT,
        "openvino": "its first call at a larger picture gives other numbers",
    }
    plan_precision: Final[PlanPrecision] = "bf16"
    text: Final = FLUX_TEXTS
    parts: Final[Mapping[str, Mapping[str, tuple[str, ...] | None]]] = {
        "FluxPipeline": {
            "transformer": ("FluxTransformer2DModel",),
            "vae": ("AutoencoderKL",),
            **FLUX_TEXT_PARTS,
            "scheduler": FLOW_SCHEDULERS,
        }
    }

    def problems(self, folder: Path, parts: Mapping[str, Config]) -> list[str]:
        """As `Family`."""
        config, vae = parts["transformer"], parts["vae"]
        channels = PATCH * PATCH * vae["latent_channels"]
        out = config.get("out_channels")
        wanted = (
            ("in_channels", channels, f"{PATCH} x {PATCH} of the VAE's latent_channels"),
            ("patch_size", 1, "the pipeline packs latents itself"),
            ("joint_attention_dim", parts["text_encoder_2"]["d_model"], "text_encoder_2.d_model"),
            ("pooled_projection_dim", parts["text_encoder"]["hidden_size"], "text_encoder's width"),
        )
        found = [
            line
            for field, value, why in wanted
            for line in differs(f"transformer.{field}", config, value, why)
        ]
        if out not in (None, channels):
            found.append(
                f"transformer.out_channels: got {out!r}, allowed null or {channels} (as it reads)"
            )
        axes, head = config["axes_dims_rope"], config["attention_head_dim"]
        if len(axes) != AXES or sum(axes) != head or any(width % 2 for width in axes):
            found.append(
                f"transformer.axes_dims_rope: got {axes!r}, allowed {AXES} even numbers whose sum "
                f"is {head} (attention_head_dim)"
            )
        return [*found, *vae_problems(vae, shifted=True)]

    def describe(self, parts: Mapping[str, Config]) -> dict[str, Any]:
        """As `Family`. The model's own side is the VAE's."""
        config, vae = parts["transformer"], parts["vae"]
        vae_scale = 2 ** (len(vae["block_out_channels"]) - 1)
        side = vae.get("sample_size")
        return {
            "architecture": config["_class_name"],
            "latent_channels": vae["latent_channels"],
            "vae_scale": vae_scale,
            "side_multiple": vae_scale * PATCH,
            "own_side": side if isinstance(side, int) else 0,
            "layers": attention_sites(config),
            "added_inputs": (GUIDANCE,) if config.get("guidance_embeds") else (),
            "prediction_type": "flow",
            # FluxPipeline hands the scheduler these levels whether or not its shift is fixed.
            "scheduler_config": {**parts["scheduler"], EVEN_LEVELS: True},
        }

    def inputs(self, info: ModelInfo) -> tuple[InputPort, ...]:
        """As `Family`: core ports and `pooled`; all texts have one length, and none is masked."""
        text = (info.text_length, info.text_width)
        core = core_ports(info.latent_channels, len(info.layers), text)
        return (*core, InputPort(name="pooled", axes=(ROWS, info.pooled_width)))

    def conditions(self, info: ModelInfo, size: tuple[int, int]) -> dict[str, tuple[float, ...]]:
        """As `Family`: none."""
        return {}

    def presets(self, layers: Sequence[AttentionSite]) -> dict[str, tuple[int, ...]]:
        """As `Family`. Depth says little in a transformer: a probe shall choose better sets.

        Where the blocks are those of FLUX.1, also those that published methods act on:
        `story2board`, `aligned_gen`, `stable_flow` (its vital layers), and `free_flux_content`
        (FreeFlux's blocks that depend on content more than on position). Only which blocks is
        theirs; what is read there, and at which steps, is not.
        """
        named = {"none": (), "all": tuple(range(len(layers)))}
        if tuple(layer.block for layer in layers) == _PUBLISHED_BLOCKS:
            named |= _PUBLISHED
        return named


def attention_sites(config: Config) -> tuple[AttentionSite, ...]:
    """The attention of each block, in forward order."""
    heads = config["num_attention_heads"]
    blocks = [(f"transformer_blocks.{i}", _DOUBLE) for i in range(config["num_layers"])]
    blocks += [
        (f"single_transformer_blocks.{i}", _SINGLE) for i in range(config["num_single_layers"])
    ]
    return tuple(
        AttentionSite(
            name=f"{path}.attn",
            block=label,
            heads=heads,
            width=heads * config["attention_head_dim"],
            downscale=PATCH,
            joint=True,
            rotary=True,
            qk_norm=True,
            text_first=True,
        )
        for path, label in blocks
    )


FLUX: Final = FluxFamily()
