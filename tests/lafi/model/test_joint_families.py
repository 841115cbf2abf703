"""Facts of SD3 and FLUX.1 at full size, and configs that do not fit."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from joint_checkpoints import joint_checkpoint
from torch import nn

from lafi.model.architectures.registry import architecture
from lafi.model.checkpoint import CheckpointError, check_checkpoint, read_model_info
from lafi.model.families import flux, sd3
from lafi.model.families.registry import guidance_kind, input_ports
from lafi.model.info import AttentionSite
from lafi.model.layers import injected_layers
from lafi.model.scheduler_classes import EVEN_LEVELS
from lafi_export.random_checkpoint import meta_module

SD35: dict[str, Any] = {
    "num_layers": 38,
    "num_attention_heads": 38,
    "caption_projection_dim": 2432,
    "qk_norm": "rms_norm",
}
"""What SD3.5-large's transformer has otherwise than SD3-medium's."""
SD35_MEDIUM: dict[str, Any] = {
    "qk_norm": "rms_norm",
    "dual_attention_layers": [*range(13)],
    "pos_embed_max_size": 384,
}


def transformer(name: str, **changed: Any) -> nn.Module:
    full = architecture(name)  # type: ignore[arg-type]
    configs = {"transformer": {**full.configs["transformer"], **changed}}
    return meta_module(replace(full, configs=configs), "transformer")


def count(module: nn.Module) -> int:
    return sum(value.numel() for value in module.parameters())


def test_parameters_are_as_many_as_published() -> None:
    """SD3-medium's are those of diffusers' module with its published config."""
    assert count(transformer("flux")) == 11_901_408_320
    assert count(transformer("sd3")) == 2_028_328_000
    assert count(meta_module(architecture("flux"), "vae")) == 83_819_683


@pytest.mark.parametrize(
    ("name", "sites", "changed"),
    [
        ("flux", flux.attention_sites, {}),
        ("sd3", sd3.attention_sites, {}),
        ("sd3", sd3.attention_sites, SD35),
        ("sd3", sd3.attention_sites, SD35_MEDIUM),
    ],
)
def test_every_attention_of_the_real_module_has_its_place_width_and_heads(
    name: str, sites: Any, changed: dict[str, Any]
) -> None:
    module: Any = transformer(name, **changed)
    found: tuple[AttentionSite, ...] = sites(module.config)
    names = [key.removesuffix(".processor") for key in module.attn_processors]
    # As the module lists them: of a block first `attn`, then `attn2`.
    assert [site.name for site in found] == names
    for site in found:
        attn: Any = module.get_submodule(site.name)
        assert (site.heads, site.width) == (attn.heads, attn.to_q.out_features)
        assert site.qk_norm == (attn.norm_q is not None)
        assert site.joint == (attn.added_kv_proj_dim is not None or name == "flux")


def test_flux_has_19_double_and_38_single_blocks_and_published_sets() -> None:
    layers = flux.attention_sites(architecture("flux").configs["transformer"])
    assert [layer.block for layer in layers] == ["double"] * 19 + ["single"] * 38
    presets = flux.FLUX.presets(layers)
    assert [*presets] == [
        "none",
        "all",
        "story2board",
        "aligned_gen",
        "stable_flow",
        "free_flux_content",
    ]
    assert presets["story2board"] == (*range(30, 57),)
    assert presets["aligned_gen"] == (*range(19, 57),)
    assert presets["stable_flow"] == (0, 1, 17, 18, 25, 28, 53, 54, 56)
    assert len(presets["free_flux_content"]) == 13
    assert [*flux.FLUX.presets(layers[1:])] == ["none", "all"]


@pytest.mark.parametrize(("name", "all_joint"), [("sd3", True), ("sd35", False)])
def test_sd3_names_its_joint_blocks_where_there_are_others(
    name: str, all_joint: bool, tmp_path: Path
) -> None:
    joint_checkpoint(name, tmp_path)
    info = read_model_info(tmp_path)
    assert injected_layers(info, "default") == injected_layers(info, "all")
    if all_joint:
        with pytest.raises(ValueError, match="layers: got 'joint', allowed default, none, all or"):
            injected_layers(info, "joint")
        return
    chosen = injected_layers(info, "joint")
    assert [info.layers[i].name.rpartition(".")[2] for i in chosen] == ["attn"] * 3
    assert len(info.layers) == 5


@pytest.mark.parametrize(("name", "kind"), [("dev", "embedded"), ("schnell", "none")])
def test_flux_is_described(name: str, kind: str, tmp_path: Path) -> None:
    joint_checkpoint(name, tmp_path)
    info = read_model_info(tmp_path)
    assert (info.family, info.architecture) == ("flux", "FluxTransformer2DModel")
    assert (info.latent_channels, info.side_multiple, info.own_side) == (16, 16, 128)
    assert (info.scaling_factor, info.shift_factor) == (0.3611, 0.1159)
    assert info.scheduler_config[EVEN_LEVELS] is True
    assert guidance_kind(info) == kind
    told = [port.name for port in input_ports(info) if port.name in ("pooled", "guidance")]
    assert told == (["pooled", "guidance"] if kind == "embedded" else ["pooled"])


def test_sd3_is_described(tmp_path: Path) -> None:
    joint_checkpoint("sd3", tmp_path)
    info = read_model_info(tmp_path)
    assert (info.family, info.own_side, info.largest_side) == ("sd3", 128, 384)
    assert (info.text_length, info.text_width, info.pooled_width) == (256, 48, 40)
    (text,) = (port for port in input_ports(info) if port.name == "text")
    assert text.axes == ("rows", 333, 48)
    assert EVEN_LEVELS not in info.scheduler_config
    assert guidance_kind(info) == "rows"


@pytest.mark.parametrize(
    ("name", "part", "field", "value", "said"),
    [
        ("dev", "transformer", "in_channels", 16, r"got 16, allowed 64 \(2 x 2 of the VAE's"),
        ("dev", "transformer", "out_channels", 32, "got 32, allowed null or 64"),
        ("dev", "transformer", "patch_size", 2, "got 2, allowed 1"),
        ("dev", "transformer", "joint_attention_dim", 4096, "got 4096, allowed 32"),
        ("dev", "transformer", "pooled_projection_dim", 768, "got 768, allowed 16"),
        ("dev", "transformer", "axes_dims_rope", [16, 56, 56], r"allowed 3 even numbers .* 16"),
        ("dev", "vae", "shift_factor", "much", "got 'much', allowed null or a number"),
        ("dev", "text_encoder", "max_position_embeddings", 64, "got 64, allowed 77"),
        ("dev", "text_encoder_2", "vocab_size", 90, "got 90, allowed 198 or more, the ids of"),
        ("sd3", "transformer", "in_channels", 4, "got 4, allowed 16"),
        ("sd3", "transformer", "out_channels", 8, "got 8, allowed 16"),
        ("sd3", "transformer", "caption_projection_dim", 64, "got 64, allowed 32"),
        ("sd3", "transformer", "pooled_projection_dim", 64, "got 64, allowed 40"),
        ("sd3", "transformer", "joint_attention_dim", 64, "got 64, allowed 48"),
        ("sd3", "transformer", "qk_norm", "l2", "got 'l2', allowed null, rms_norm, layer_norm"),
        ("sd3", "transformer", "pos_embed_max_size", None, "got None, allowed the side of a"),
        ("sd3", "text_encoder_3", "d_model", 32, "got 32, allowed 40 or more, the widths of both"),
        ("sd3", "text_encoder_2", "max_position_embeddings", 80, "got 80, allowed 77"),
        ("sd3", "scheduler", "use_dynamic_shifting", True, "got True, allowed False"),
    ],
)
def test_configs_that_do_not_fit_are_named(
    name: str, part: str, field: str, value: object, said: str, folders: dict[str, Path]
) -> None:
    kind = "scheduler_config.json" if part == "scheduler" else "config.json"
    path = folders[name] / part / kind
    whole = path.read_text(encoding="utf-8")
    path.write_text(json.dumps(json.loads(whole) | {field: value}), encoding="utf-8")
    try:
        with pytest.raises(CheckpointError, match=rf"{part}\.{field}: .*{said}"):
            check_checkpoint(folders[name])
    finally:
        path.write_text(whole, encoding="utf-8")
    check_checkpoint(folders[name])


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    made = {name: tmp_path_factory.mktemp(name) for name in ("dev", "sd3")}
    for name, folder in made.items():
        joint_checkpoint(name, folder)
    return made
