"""Weights files rewritten tensor by tensor."""

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from lafi_export.weights_file import rewrite_weights, tensor_places, tensor_shapes

DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.int64)


@st.composite
def files(draw: st.DrawFn) -> dict[str, Tensor]:
    """A few small tensors of several dtypes, scalars and empty ones among them."""
    shapes = st.lists(st.integers(0, 3), max_size=3)
    names = draw(st.lists(st.text("ab._1", min_size=1, max_size=6), min_size=1, unique=True))
    return {
        name: torch.full(draw(shapes), i, dtype=draw(st.sampled_from(DTYPES)))
        for i, name in enumerate(names[:5])
    }


@settings(max_examples=25, deadline=None)
@given(tensors=files())
def test_a_file_rewritten_unchanged_reads_the_same(
    tensors: dict[str, Tensor], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("weights")
    save_file(tensors, folder / "a.safetensors", metadata={"format": "pt"})
    rewrite_weights(folder / "a.safetensors", folder / "b.safetensors", lambda name, old: old)
    again = load_file(folder / "b.safetensors")
    assert again.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert again[name].dtype == tensor.dtype
        assert torch.equal(again[name], tensor)
    assert tensor_shapes(folder / "b.safetensors") == {k: tuple(v.shape) for k, v in again.items()}
    with safe_open(folder / "b.safetensors", framework="pt") as file:
        assert file.metadata() == {"format": "pt"}


def test_a_tensor_may_grow_where_it_is_said_and_nowhere_else(tmp_path: Path) -> None:
    save_file({"a": torch.ones(2, 3), "b": torch.zeros(4)}, tmp_path / "old.safetensors")

    def twice(name: str, old: Tensor) -> Tensor:
        return torch.cat([old, old])

    with pytest.raises(ValueError, match=r"got torch.float32 \[4, 3\], allowed F32 \[2, 3\]"):
        rewrite_weights(tmp_path / "old.safetensors", tmp_path / "new.safetensors", twice)
    grown = {"a": (4, 3), "b": (8,)}
    rewrite_weights(tmp_path / "old.safetensors", tmp_path / "new.safetensors", twice, grown)
    assert tensor_shapes(tmp_path / "new.safetensors") == grown


def test_a_tensor_lies_where_the_header_says(tmp_path: Path) -> None:
    stored = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.arange(4, dtype=torch.int64)}
    path = tmp_path / "x.safetensors"
    save_file(stored, path)
    content = path.read_bytes()
    for name, place in tensor_places(path).items():
        raw = content[place.offset : place.offset + place.length]
        assert raw == stored[name].numpy().tobytes()
        assert place.shape == tuple(stored[name].shape)
