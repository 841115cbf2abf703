"""A diffusers folder: its facts, and one clear error for one in which something is off."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from lafi.engine.torch.engines import load_torch_engines
from lafi.model.checkpoint import (
    CheckpointError,
    read_model_info,
    weight_files,
    weight_parts,
    weights_variant,
)
from lafi.model.families.registry import families
from lafi.model.families.unet import UNET


@pytest.fixture
def sdxl(small_checkpoints: Callable[[str], Path], tmp_path: Path) -> Path:
    """A copy that a test may spoil; its weights are links."""
    folder = tmp_path / "sdxl"
    shutil.copytree(small_checkpoints("sdxl"), folder, copy_function=_link)
    return folder


def _link(source: str, target: str) -> None:
    if source.endswith(".safetensors"):
        os.link(source, target)
    else:
        shutil.copy(source, target)


def edit(path: Path, **fields: Any) -> None:
    content = json.loads(path.read_text(encoding="utf-8")) | fields
    path.write_text(json.dumps(content), encoding="utf-8")


def unknown_pipeline(folder: Path) -> None:
    edit(folder / "model_index.json", _class_name="WanPipeline")


def no_second_encoder(folder: Path) -> None:
    shutil.rmtree(folder / "text_encoder_2")


def encoder_without_projection(folder: Path) -> None:
    edit(folder / "model_index.json", text_encoder_2=["transformers", "CLIPTextModel"])


def narrow_cross_attention(folder: Path) -> None:
    edit(folder / "unet" / "config.json", cross_attention_dim=64)


def inpainting(folder: Path) -> None:
    edit(folder / "unet" / "config.json", in_channels=9)


def other_time_width(folder: Path) -> None:
    edit(folder / "unet" / "config.json", addition_time_embed_dim=32)


def no_conditioning(folder: Path) -> None:
    edit(folder / "unet" / "config.json", addition_embed_type=None)


def few_ids(folder: Path) -> None:
    edit(folder / "text_encoder" / "config.json", vocab_size=500)


def other_prediction(folder: Path) -> None:
    edit(folder / "scheduler" / "scheduler_config.json", prediction_type="sample")


def no_weights(folder: Path) -> None:
    (folder / "vae" / "diffusion_pytorch_model.safetensors").unlink()


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (
            unknown_pipeline,
            "model_index.json: _class_name: got 'WanPipeline', "
            f"allowed {', '.join(name for one in families().values() for name in one.parts)}",
        ),
        (
            no_second_encoder,
            "has no text_encoder_2; allowed: a folder that "
            "StableDiffusionXLPipeline.save_pretrained wrote",
        ),
        (
            encoder_without_projection,
            "model_index.json: text_encoder_2: got 'CLIPTextModel', "
            "allowed CLIPTextModelWithProjection",
        ),
        (
            narrow_cross_attention,
            "unet.cross_attention_dim: got 64, allowed 160 (the width of the text, "
            "64 of text_encoder and 96 of text_encoder_2)",
        ),
        (inpainting, "unet.in_channels: got 9, allowed 4 (the VAE's latent_channels)"),
        (
            other_time_width,
            "unet.projection_class_embeddings_input_dim: got 192, allowed 288 "
            "(96 of text_encoder_2.projection_dim and 6 times 32)",
        ),
        (
            no_conditioning,
            "unet.addition_embed_type: got None, allowed 'text_time' (as with two text encoders)",
        ),
        (
            few_ids,
            "text_encoder.vocab_size: got 500, allowed 514 or more, the ids of tokenizer",
        ),
        (
            other_prediction,
            "scheduler.prediction_type: got 'sample', allowed epsilon, v_prediction",
        ),
        (no_weights, "vae has no *.safetensors weights"),
    ],
)
def test_what_is_off_is_named(sdxl: Path, spoil: Callable[[Path], None], text: str) -> None:
    spoil(sdxl)
    with pytest.raises(CheckpointError) as refused:
        read_model_info(sdxl)
    assert str(refused.value) == f"{sdxl}: {text}"


def test_all_that_is_off_is_in_one_error(sdxl: Path) -> None:
    for spoil in (narrow_cross_attention, inpainting, few_ids):
        spoil(sdxl)
    with pytest.raises(CheckpointError) as refused:
        read_model_info(sdxl)
    for field in ("unet.cross_attention_dim", "unet.in_channels", "text_encoder.vocab_size"):
        assert field in str(refused.value)


def test_a_model_with_one_text_encoder_takes_no_further_conditions(
    small_checkpoints: Callable[[str], Path], tmp_path: Path
) -> None:
    folder = tmp_path / "sd21"
    shutil.copytree(small_checkpoints("sd21"), folder, copy_function=_link)
    info = read_model_info(folder)
    assert (info.pooled_width, info.prediction_type) == (0, "v_prediction")
    assert not info.zero_empty_negative
    edit(folder / "unet" / "config.json", addition_embed_type="text_time")
    with pytest.raises(CheckpointError, match="got 'text_time', allowed None"):
        read_model_info(folder)


def test_shards_are_all_of_the_weights(sdxl: Path) -> None:
    part = sdxl / "unet"
    whole = part / "diffusion_pytorch_model.safetensors"
    tensors = load_file(whole)
    halves = [dict(list(tensors.items())[i::2]) for i in range(2)]
    names = [f"diffusion_pytorch_model-0000{i}-of-00002.safetensors" for i in (1, 2)]
    for name, half in zip(names, halves, strict=True):
        save_file(half, part / name, metadata={"format": "pt"})
    whole.unlink()
    index = part / "diffusion_pytorch_model.safetensors.index.json"
    places = {key: name for name, half in zip(names, halves, strict=True) for key in half}
    index.write_text(json.dumps({"metadata": {}, "weight_map": places}), encoding="utf-8")
    assert [file.name for file in weight_files(part)] == names
    (part / names[1]).unlink()
    with pytest.raises(CheckpointError, match=f"unet has no {names[1]}"):
        weight_files(part)


def test_another_precision_is_taken_only_where_it_is_the_only_one(sdxl: Path) -> None:
    parts = weight_parts(sdxl, UNET)
    assert parts == ("text_encoder", "text_encoder_2", "vae", "unet")
    for part in parts:
        (plain,) = weight_files(sdxl / part)
        half = plain.with_name(plain.name.replace(".safetensors", ".fp16.safetensors"))
        tensors = {name: value.half() for name, value in load_file(plain).items()}
        save_file(tensors, half, metadata={"format": "pt"})
        assert weight_files(sdxl / part) == (plain,)
        assert weights_variant(sdxl / part) is None
        plain.unlink()
        assert weight_files(sdxl / part) == (half,)
        assert weights_variant(sdxl / part) == "fp16"
    assert load_torch_engines(sdxl).info.pooled_width == 96


def test_two_files_without_an_index_are_ambiguous(sdxl: Path) -> None:
    (plain,) = weight_files(sdxl / "vae")
    shutil.copy(plain, plain.with_name("other.safetensors"))
    with pytest.raises(CheckpointError, match=r"vae: got diffusion_.*, other.*; allowed: one file"):
        weight_files(sdxl / "vae")
