"""Facts of PixArt and Hunyuan-DiT: sites, parameters, what is told, and what is refused."""

import json
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from diffusers.models.attention_processor import Attention

from lafi.model.architectures.registry import ArchitectureName, architecture
from lafi.model.checkpoint import CheckpointError, check_checkpoint, read_model_info
from lafi.model.families import hunyuan, pixart
from lafi.model.families.registry import family_of, input_ports
from lafi.model.layers import injected_layers
from lafi_export.random_checkpoint import meta_module

NAMES: tuple[ArchitectureName, ...] = ("pixart", "hunyuan")
SITES = {"pixart": pixart.attention_sites, "hunyuan": hunyuan.attention_sites}
PARAMETERS = {
    ("pixart", "transformer"): 611_349_152,
    ("hunyuan", "transformer"): 1_499_952_032,
    ("hunyuan", "text_encoder"): 352_035_840,
    ("hunyuan", "text_encoder_2"): 1_669_958_656,
}
"""Of the modules with the published configs."""


@cache
def module_of(name: ArchitectureName, part: str = "transformer") -> Any:
    return meta_module(architecture(name), part)


@pytest.mark.parametrize(("name", "part"), PARAMETERS)
def test_full_size_has_the_parameters_of_the_published_configs(
    name: ArchitectureName, part: str
) -> None:
    parameters = module_of(name, part).parameters()
    assert sum(value.numel() for value in parameters) == PARAMETERS[name, part]


@pytest.mark.parametrize(
    ("name", "count", "width", "heads"), [("pixart", 28, 1152, 16), ("hunyuan", 40, 1408, 16)]
)
def test_sites_are_the_self_attention_of_the_full_size_module(
    name: ArchitectureName, count: int, width: int, heads: int
) -> None:
    module, sites = module_of(name), SITES[name](architecture(name).configs["transformer"])
    there = [
        (path, found.heads, found.to_q.out_features, found.norm_q is not None)
        for path, found in module.named_modules()
        if isinstance(found, Attention) and path.endswith("attn1")
    ]
    assert [(site.name, site.heads, site.width, site.qk_norm) for site in sites] == there
    assert {(site.width, site.heads, site.downscale) for site in sites} == {(width, heads, 2)}
    assert len(sites) == count
    assert not any(site.joint for site in sites)
    assert all(site.rotary == (name == "hunyuan") for site in sites)


def test_zones_of_hunyuan_are_what_long_skips_join() -> None:
    module, sites = (
        module_of("hunyuan"),
        SITES["hunyuan"](architecture("hunyuan").configs["transformer"]),
    )
    led_to = [block.skip_linear is not None for block in module.blocks]
    assert [site.block == "up" for site in sites] == led_to
    zones = [site.block for site in sites]
    assert (zones.count("down"), zones.count("mid"), zones.count("up")) == (19, 2, 19)


@pytest.mark.parametrize("name", NAMES)
def test_facts_of_a_folder(name: str, small_checkpoints: Callable[[str], Path]) -> None:
    info = read_model_info(small_checkpoints(name))
    lengths = {"pixart": (120, 64), "hunyuan": (256, 64)}
    assert (info.family, info.vae_scale, info.side_multiple) == (name, 8, 16)
    assert (info.own_side, info.latent_channels) == (1024, 4)
    assert (info.text_length, info.text_width) == lengths[name]
    assert info.prediction_type == {"pixart": "epsilon", "hunyuan": "v_prediction"}[name]
    assert injected_layers(info, "all") == tuple(range(len(info.layers)))
    default = {"pixart": (0, 1), "hunyuan": (3,)}[name]
    assert injected_layers(info, "default") == default
    names = [port.name for port in input_ports(info)]
    assert names[7:9] == ["words", "text_mask"]


def test_a_picture_s_size_is_told_to_models_that_take_it(
    small_checkpoints: Callable[[str], Path], tmp_path: Path
) -> None:
    info = read_model_info(small_checkpoints("pixart"))
    told = family_of(info).conditions(info, (96, 48))
    assert told == {"resolution": (48.0, 96.0), "aspect_ratio": (0.5,)}
    folder = changed(
        small_checkpoints("pixart"), tmp_path, "transformer", use_additional_conditions=False
    )
    smaller = read_model_info(folder)
    assert family_of(smaller).conditions(smaller, (96, 48)) == {}
    assert [port.name for port in input_ports(smaller)][-1] == "text_mask"

    info = read_model_info(small_checkpoints("hunyuan"))
    assert family_of(info).conditions(info, (96, 48)) == {}
    folder = changed(
        small_checkpoints("hunyuan"),
        tmp_path / "1.1",
        "transformer",
        use_style_cond_and_image_meta_size=True,
    )
    older = read_model_info(folder)
    told = family_of(older).conditions(older, (96, 48))
    assert told == {"image_meta_size": (1024.0, 1024.0, 48.0, 96.0, 0.0, 0.0)}


def test_sigma_reads_longer_texts(small_checkpoints: Callable[[str], Path], tmp_path: Path) -> None:
    folder = changed(
        small_checkpoints("pixart"), tmp_path, "transformer", use_additional_conditions=False
    )
    set_values(folder / "model_index.json", _class_name="PixArtSigmaPipeline")
    assert read_model_info(folder).text_length == 300


def changed(folder: Path, to: Path, part: str, **values: Any) -> Path:
    """A copy of a folder, one of whose configs has other values."""
    copied = Path(shutil.copytree(folder, to / folder.name))
    name = "scheduler_config.json" if part == "scheduler" else "config.json"
    set_values(copied / part / name, **values)
    return copied


def set_values(file: Path, **values: Any) -> None:
    content = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps(content | values), encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "part", "values", "said"),
    [
        ("pixart", "transformer", {"caption_channels": 32}, "caption_channels: got 32, allowed 64"),
        ("pixart", "transformer", {"in_channels": 8}, "transformer.in_channels: got 8, allowed 4"),
        (
            "pixart",
            "transformer",
            {"out_channels": 6},
            r"out_channels: got 6, allowed 4 or 8 \(with a learnt variance\)",
        ),
        ("pixart", "transformer", {"cross_attention_dim": 64}, "got 64, allowed 48"),
        ("pixart", "transformer", {"norm_type": "ada_norm_zero"}, "allowed 'ada_norm_single'"),
        (
            "pixart",
            "transformer",
            {"sample_size": 64, "use_additional_conditions": True},
            "use_additional_conditions: got True, allowed False .PixArtAlphaPipeline tells no size",
        ),
        ("pixart", "scheduler", {"prediction_type": "sample"}, "allowed epsilon, v_prediction"),
        (
            "pixart",
            "scheduler",
            {"_class_name": "FlowMatchEulerDiscreteScheduler"},
            "scheduler._class_name: got 'FlowMatchEulerDiscreteScheduler', allowed DDIMScheduler",
        ),
        ("pixart", "vae", {"shift_factor": 0.5}, "vae.shift_factor: got 0.5, allowed null or 0"),
        ("pixart", "text_encoder", {"vocab_size": 20}, r"text_encoder.vocab_size: got 20, allowed"),
        ("hunyuan", "transformer", {"learn_sigma": False}, "learn_sigma: got False, allowed True"),
        ("hunyuan", "transformer", {"text_len": 64}, "text_len: got 64, allowed 77"),
        ("hunyuan", "transformer", {"text_len_t5": 77}, "text_len_t5: got 77, allowed 256"),
        ("hunyuan", "transformer", {"cross_attention_dim": 9}, "got 9, allowed 48"),
        ("hunyuan", "transformer", {"cross_attention_dim_t5": 9}, "got 9, allowed 64"),
        ("hunyuan", "transformer", {"hidden_size": 96}, "hidden_size: got 96, allowed 48"),
        (
            "hunyuan",
            "vae",
            {"block_out_channels": [8, 16]},
            "got 2 pixels a latent cell",
        ),
        (
            "hunyuan",
            "text_encoder",
            {"vocab_size": 20},
            r"text_encoder.vocab_size: got 20, allowed",
        ),
        (
            "hunyuan",
            "text_encoder",
            {"max_position_embeddings": 64},
            "max_position_embeddings: got 64, allowed 77 or more",
        ),
        ("hunyuan", "text_encoder_2", {"vocab_size": 20}, "text_encoder_2.vocab_size: got 20"),
    ],
)
def test_what_does_not_fit_is_refused(
    name: str,
    part: str,
    values: dict[str, Any],
    said: str,
    small_checkpoints: Callable[[str], Path],
    tmp_path: Path,
) -> None:
    folder = changed(small_checkpoints(name), tmp_path, part, **values)
    with pytest.raises(CheckpointError, match=said):
        check_checkpoint(folder)


def test_a_vocabulary_as_bert_s_were_published_is_counted(
    small_checkpoints: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(small_checkpoints("hunyuan"), tmp_path / "hunyuan"))
    info = read_model_info(folder)
    stack = family_of(info).text
    before = stack.vocabularies(folder, info)
    words = json.loads((folder / "tokenizer" / "tokenizer.json").read_text(encoding="utf-8"))
    (folder / "tokenizer" / "tokenizer.json").unlink()
    lines = "".join(f"{word}\n" for word in words["model"]["vocab"])
    (folder / "tokenizer" / "vocab.txt").write_text(lines, encoding="utf-8")
    assert stack.vocabularies(folder, info) == before
    assert stack.reader(folder, info).token_ids(["ab"])[0, 0, :4].tolist()[0] == 2
