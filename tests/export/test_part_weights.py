"""Weights as float32 files that graphs point into: copied, converted, or refused by name."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from lafi.model.checkpoint import CheckpointError
from lafi_export.part_weights import PartWeights, write_part

SHAPES = {"encoder.weight": (2, 3), "encoder.bias": (2,)}


def checkpoint(folder: Path, tensors: dict[str, Tensor]) -> Path:
    (folder / "vae").mkdir(parents=True)
    file = folder / "vae" / "diffusion_pytorch_model.safetensors"
    save_file(tensors, file, metadata={"format": "pt"})
    return folder


def check_places(written: PartWeights, expected: dict[str, Tensor]) -> None:
    content = written.path.read_bytes()
    assert written.places.keys() == expected.keys()
    for name, place in written.places.items():
        raw = content[place.offset : place.offset + place.length]
        assert raw == expected[name].numpy().tobytes()
    for name, value in written.load().items():
        assert value.dtype == torch.float32
        assert torch.equal(value, expected[name])


def test_float32_weights_are_copied(tmp_path: Path) -> None:
    tensors = {"encoder.weight": torch.randn(2, 3), "encoder.bias": torch.randn(2)}
    source = checkpoint(tmp_path / "model", tensors | {"extra": torch.zeros(9)})
    written = write_part(source, "vae", SHAPES, tmp_path / "out")
    assert written.location == "weights/vae.safetensors"
    (file,) = (source / "vae").iterdir()
    assert written.path.read_bytes() == file.read_bytes()
    check_places(written, tensors)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_others_are_converted(tmp_path: Path, dtype: torch.dtype) -> None:
    stored = {"encoder.weight": torch.randn(2, 3).to(dtype), "encoder.bias": torch.randn(2)}
    source = checkpoint(tmp_path / "model", stored)
    written = write_part(source, "vae", SHAPES, tmp_path / "out")
    check_places(written, {name: value.float() for name, value in stored.items()})


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_what_is_not_finite_is_refused(tmp_path: Path, dtype: torch.dtype, value: float) -> None:
    stored = {"encoder.weight": torch.randn(2, 3), "encoder.bias": torch.tensor([1.0, value])}
    source = checkpoint(tmp_path / "model", {name: one.to(dtype) for name, one in stored.items()})
    with pytest.raises(CheckpointError, match=r"safetensors: encoder\.bias: .* not finite"):
        write_part(source, "vae", SHAPES, tmp_path / "out")


def test_quantized_weights_are_refused(tmp_path: Path) -> None:
    stored = {"encoder.weight": torch.ones(2, 3, dtype=torch.int8), "encoder.bias": torch.ones(2)}
    source = checkpoint(tmp_path / "model", stored)
    with pytest.raises(CheckpointError, match=r"encoder\.weight: got I8, quantized"):
        write_part(source, "vae", SHAPES, tmp_path / "out")


def test_weights_may_have_other_names(tmp_path: Path) -> None:
    shapes = {
        "mid.attentions.0.to_q.weight": (4, 4),
        "mid.attentions.0.to_out.0.bias": (4,),
        "embeddings.token_embedding.weight": (3, 4),
        "layers.0.mlp.up_proj.weight": (5, 4),
    }
    old = {
        "mid.attentions.0.query.weight": torch.randn(4, 4, 1, 1),
        "mid.attentions.0.proj_attn.bias": torch.randn(4),
        "text_model.embeddings.token_embedding.weight": torch.randn(3, 4),
        "model.layers.0.mlp.up_proj.weight": torch.randn(5, 4),
    }
    source = checkpoint(tmp_path / "model", {name: value.half() for name, value in old.items()})
    written = write_part(source, "vae", shapes, tmp_path / "out")
    for (name, value), stored in zip(written.load().items(), old.values(), strict=True):
        assert tuple(value.shape) == shapes[name]
        assert torch.equal(value.flatten(), stored.half().float().flatten())


def test_what_does_not_fit_is_named(tmp_path: Path) -> None:
    source = checkpoint(tmp_path / "model", {"encoder.weight": torch.zeros(3, 3)})
    with pytest.raises(CheckpointError) as refused:
        write_part(source, "vae", SHAPES, tmp_path / "out")
    assert str(refused.value) == (
        f"{source}: weights of vae: encoder.weight: got shape [3, 3], allowed [2, 3]; "
        "encoder.bias is missing"
    )
    assert not (tmp_path / "out").exists()


def test_a_long_list_is_cut(tmp_path: Path) -> None:
    source = checkpoint(tmp_path / "model", {"a": torch.zeros(1)})
    shapes = {f"layer.{i}": (1,) for i in range(8)}
    with pytest.raises(CheckpointError, match=r"layer\.4 is missing; and 3 more$"):
        write_part(source, "vae", shapes, tmp_path / "out")
