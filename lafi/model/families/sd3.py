"""SD3 and SD3.5: `SD3Transformer2DModel`, joint blocks of text and picture, no rotary positions.

Knows configs of diffusers' folders; depth, heads and widths stand in them.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from lafi.model.config_problems import Config, differs
from lafi.model.families.vae_checks import vae_problems
from lafi.model.family import NOT_BUILT_BY_TENSORRT, GuidanceKind, PlanPrecision
from lafi.model.info import AttentionSite, ModelInfo
from lafi.model.input_port import ROWS, InputPort, core_ports
from lafi.model.scheduler_classes import FLOW_SCHEDULERS
from lafi.model.text_stacks.sd3 import SD3_TEXT_PARTS, SD3_TEXTS, T5, text_shape

_NORMS: Final = (None, "rms_norm", "layer_norm")


class Sd3Family:
    """`Family` of `SD3Transformer2DModel` with two CLIPs, and T5 or none (arXiv:2403.03206)."""

    name: Final = "sd3"
    guidance: Final[GuidanceKind] = "rows"
    default_preset: Final = "all"
    refused_runtimes: Final = NOT_BUILT_BY_TENSORRT
    plan_precision: Final[PlanPrecision] = "bf16"
    text: Final = SD3_TEXTS
    parts: Final[Mapping[str, Mapping[str, tuple[str | None, ...] | None]]] = {
        "StableDiffusion3Pipeline": {
            "transformer": ("SD3Transformer2DModel",),
            "vae": ("AutoencoderKL",),
            **SD3_TEXT_PARTS,
            "scheduler": FLOW_SCHEDULERS,
        }
    }

    def problems(self, folder: Path, parts: Mapping[str, Config]) -> list[str]:
        """As `Family`."""
        config, vae = parts["transformer"], parts["vae"]
        pooled = sum(parts[part]["projection_dim"] for part in ("text_encoder", "text_encoder_2"))
        channels = vae["latent_channels"]
        inner = config["num_attention_heads"] * config["attention_head_dim"]
        wanted = (
            ("pooled_projection_dim", pooled, "both CLIPs' projections"),
            ("caption_projection_dim", inner, "heads times attention_head_dim"),
            ("in_channels", channels, "the VAE's latent_channels"),
            ("out_channels", channels, "the VAE's latent_channels"),
        )
        found = [
            line
            for field, value, why in wanted
            for line in differs(f"transformer.{field}", config, value, why)
        ]
        if T5 in parts:
            width = parts[T5]["d_model"]
            found += differs("transformer.joint_attention_dim", config, width, f"{T5}.d_model")
        if (norm := config.get("qk_norm")) not in _NORMS:
            found.append(f"transformer.qk_norm: got {norm!r}, allowed null, rms_norm, layer_norm")
        if not config.get("pos_embed_max_size"):
            found.append(
                f"transformer.pos_embed_max_size: got {config.get('pos_embed_max_size')!r}, "
                "allowed the side of a table of positions, which pictures are cut from"
            )
        if parts["scheduler"].get("use_dynamic_shifting"):
            found.append(
                "scheduler.use_dynamic_shifting: got True, allowed False (SD3's shift is fixed)"
            )
        return [*found, *vae_problems(vae, shifted=True)]

    def describe(self, parts: Mapping[str, Config]) -> dict[str, Any]:
        """As `Family`. No side is larger than the model's table of positions."""
        config, vae = parts["transformer"], parts["vae"]
        vae_scale = 2 ** (len(vae["block_out_channels"]) - 1)
        step = vae_scale * config["patch_size"]
        return {
            "architecture": config["_class_name"],
            "latent_channels": config["in_channels"],
            "vae_scale": vae_scale,
            "side_multiple": step,
            "own_side": vae_scale * config["sample_size"],
            "largest_side": step * config["pos_embed_max_size"],
            "layers": attention_sites(config),
            "prediction_type": "flow",
        }

    def inputs(self, info: ModelInfo) -> tuple[InputPort, ...]:
        """As `Family`: core ports and `pooled`; all texts have one length, and none is masked.

        Without T5 `text` is CLIP's tokens alone; the denoiser adds the zeros.
        """
        text = text_shape(info)
        core = core_ports(info.latent_channels, len(info.layers), text)
        return (*core, InputPort(name="pooled", axes=(ROWS, info.pooled_width)))

    def conditions(self, info: ModelInfo, size: tuple[int, int]) -> dict[str, tuple[float, ...]]:
        """As `Family`: none."""
        return {}

    def presets(self, layers: Sequence[AttentionSite]) -> dict[str, tuple[int, ...]]:
        """As `Family`. Depth says little in a transformer: a probe shall choose better sets.

        `joint` leaves out the attention of SD3.5 in which pictures stand alone.
        """
        every = tuple(range(len(layers)))
        named = {"none": (), "all": every}
        joint = tuple(index for index in every if layers[index].joint)
        return named if joint == every else {**named, "joint": joint}


def attention_sites(config: Config) -> tuple[AttentionSite, ...]:
    """The attention of each block, and the second one of some blocks, in forward order."""
    dual = {*(config.get("dual_attention_layers") or ())}
    heads = config["num_attention_heads"]
    found = [
        (index, part)
        for index in range(config["num_layers"])
        for part in (("attn", "attn2") if index in dual else ("attn",))
    ]
    return tuple(
        AttentionSite(
            name=f"transformer_blocks.{index}.{part}",
            block="joint" if part == "attn" else "picture",
            heads=heads,
            width=heads * config["attention_head_dim"],
            downscale=config["patch_size"],
            joint=part == "attn",
            qk_norm=config.get("qk_norm") is not None,
        )
        for index, part in found
    )


SD3: Final = Sd3Family()
