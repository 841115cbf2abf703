"""The options of an adapter go together; what torch.save wrote is converted."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from lafi.model.picture_prompt_info import AdapterFiles
from lafi.model.tensor_file import TensorFileError
from lafi_export.picture_prompts.option import PictureOptionError, parse_adapter, prepared_adapter


def test_both_or_neither(adapter: AdapterFiles) -> None:
    assert parse_adapter(None, None) is None
    assert parse_adapter(*adapter) == adapter
    with pytest.raises(
        PictureOptionError, match="--picture-prompts: got it alone, allowed with --"
    ):
        parse_adapter(adapter.adapter, None)
    with pytest.raises(PictureOptionError, match="--image-encoder: got it alone, allowed with --"):
        parse_adapter(None, adapter.image_encoder)


def test_what_is_not_there_is_refused(adapter: AdapterFiles, tmp_path: Path) -> None:
    with pytest.raises(PictureOptionError, match="allowed a file that is there"):
        parse_adapter(tmp_path / "none.bin", adapter.image_encoder)
    with pytest.raises(PictureOptionError, match="allowed a folder that is there"):
        parse_adapter(adapter.adapter, adapter.adapter)


def test_a_pickled_file_is_read_without_its_code(adapter: AdapterFiles, tmp_path: Path) -> None:
    """As the first adapters were published: two mappings in one."""
    tensors = load_file(adapter.adapter)
    nested: dict[str, dict[str, torch.Tensor]] = {"image_proj": {}, "ip_adapter": {}}
    for name, tensor in tensors.items():
        group, _, rest = name.partition(".")
        nested[group][rest] = tensor
    torch.save(nested, tmp_path / "adapter.bin")
    given = adapter._replace(adapter=tmp_path / "adapter.bin")
    with prepared_adapter(given, tmp_path) as ready:
        assert ready is not None
        assert ready.image_encoder == adapter.image_encoder
        read = load_file(ready.adapter)
        assert read.keys() == tensors.keys()
        assert all(torch.equal(read[name], tensors[name]) for name in tensors)
    assert not ready.adapter.exists()
    with prepared_adapter(adapter, tmp_path) as same:
        assert same == adapter
    with prepared_adapter(None, tmp_path) as nothing:
        assert nothing is None


def test_a_damaged_file_is_refused(adapter: AdapterFiles, tmp_path: Path) -> None:
    (tmp_path / "adapter.bin").write_bytes(b"PK\x03\x04 no archive")
    given = adapter._replace(adapter=tmp_path / "adapter.bin")
    with (
        pytest.raises(TensorFileError, match=r"adapter\.bin: is damaged"),
        prepared_adapter(given, tmp_path),
    ):
        pass
