"""Headers of safetensors files: read as the format's own reader does, or said what is wrong."""

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from brought_files import LFS_POINTER, saved
from lafi.model.tensor_file import TensorFileError, is_safetensors, read_header


def headed(content: object) -> bytes:
    """A file with this header and no tensors."""
    text = json.dumps(content).encode()
    return len(text).to_bytes(8, "little") + text


def test_names_shapes_and_notes(tmp_path: Path) -> None:
    path = saved(
        tmp_path / "a.safetensors", {"a": torch.ones(2, 3), "b": torch.ones(())}, {"x": "y"}
    )
    header = read_header(path)
    assert {name: place.shape for name, place in header.tensors.items()} == {"a": (2, 3), "b": ()}
    assert header.metadata["x"] == "y"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (LFS_POINTER.encode(), "a git-lfs pointer"),
        (b"<html></html>", "a web page"),
        (b"PK\x03\x04 and more", "what torch.save writes"),
        (b"\x00" * 4, "cut off, damaged"),
        (b"\x02" + b"\x00" * 7 + b"[]", "header cannot be read"),
        (headed({"__metadata__": ["x"]}), "header cannot be read"),
        (headed({"__metadata__": {"modelspec.prediction_type": 5}}), "header cannot be read"),
    ],
)
def test_what_is_wrong_is_said(content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(content)
    with pytest.raises(TensorFileError, match=said) as refused:
        read_header(tmp_path / "a.safetensors")
    assert str(tmp_path / "a.safetensors") in str(refused.value)


@given(cut=st.integers(min_value=0, max_value=200))
def test_no_part_of_a_file_is_taken_for_the_whole(
    cut: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = saved(tmp_path_factory.mktemp("cut") / "a.safetensors", {"a": torch.ones(50)})
    whole = path.read_bytes()
    path.write_bytes(whole[: min(cut, len(whole) - 1)])
    with pytest.raises(TensorFileError):
        read_header(path)


def test_the_name_or_the_beginning_tells(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(1)}, tmp_path / "a.bin")
    assert not is_safetensors(tmp_path / "a.bin")
    assert is_safetensors(saved(tmp_path / "b", {"a": torch.ones(1)}))
