"""What OpenVINO has compiled is kept, is the same network, and is never trusted when damaged."""

import logging
import os
import shutil
import time
from pathlib import Path

import pytest
import torch
from denoiser_rows import random_rows
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lafi.engine.onnx import compiled, graph
from lafi.engine.onnx.engines import OnnxDenoiser, load_denoiser, load_text_encoder
from lafi.engine.onnx.graph import load_graph
from lafi.engine.onnx.packages import openvino_package
from lafi.model.artifacts import DENOISER, TEXT_ENCODER
from lafi.model.info import load_model_info


@pytest.fixture(scope="module")
def artifacts(repository: Path) -> Path:
    return repository / "artifacts"


@pytest.fixture(scope="module")
def folder(artifacts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With the denoiser, compiled."""
    made = tmp_path_factory.mktemp("state") / "compiled"
    load_denoiser(artifacts, "openvino", threads=1, compiled=made)
    return made


@pytest.fixture(scope="module")
def pair(artifacts: Path, folder: Path) -> tuple[OnnxDenoiser, OnnxDenoiser]:
    """Compiled now, and from the folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(graph, "_read_inlined", None)
        kept = load_denoiser(artifacts, "openvino", threads=1, compiled=folder)
    return load_denoiser(artifacts, "openvino", threads=1), kept


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 2**31),
    rows=st.integers(1, 5),
    references=st.integers(1, 3),
    side=st.integers(1, 3),
)
def test_it_gives_the_same_bits(
    artifacts: Path,
    pair: tuple[OnnxDenoiser, OnnxDenoiser],
    seed: int,
    rows: int,
    references: int,
    side: int,
) -> None:
    batch = random_rows(load_model_info(artifacts), seed, rows, references, side, side)
    fresh, kept = pair
    assert torch.equal(fresh(batch), kept(batch))


def test_only_its_owner_may_read_what_is_kept(folder: Path) -> None:
    assert folder.stat().st_mode & 0o777 == 0o700
    assert [path.stat().st_mode & 0o777 for path in folder.iterdir()] == [0o600]


def test_other_settings_and_other_files_are_kept_apart(artifacts: Path, tmp_path: Path) -> None:
    for threads, file in ((1, TEXT_ENCODER), (2, TEXT_ENCODER), (1, DENOISER), (1, TEXT_ENCODER)):
        load_graph(artifacts, file, "openvino", threads=threads, compiled=tmp_path)
    assert len(list(tmp_path.iterdir())) == 3


def test_onnx_runtime_keeps_nothing(artifacts: Path, tmp_path: Path) -> None:
    load_graph(artifacts, TEXT_ENCODER, "onnxruntime", threads=1, compiled=tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: b"",
        lambda data: data[:20],
        lambda data: data[:-1],
        lambda data: data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 1]) + b"x",
        lambda data: bytes([data[0] ^ 1]) + data[1:],
    ],
    ids=["empty", "within the hash", "cut off", "a bit flipped", "another hash"],
)
def test_what_is_damaged_is_compiled_anew_and_said(
    artifacts: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, spoil: object
) -> None:
    assert callable(spoil)
    wanted = text_of(artifacts, tmp_path)
    (kept,) = tmp_path.iterdir()
    kept.write_bytes(spoil(kept.read_bytes()))
    assert torch.equal(text_of(artifacts, tmp_path), wanted)
    assert "compiled anew" in caplog.text
    caplog.clear()
    assert torch.equal(text_of(artifacts, tmp_path), wanted)
    assert "compiled anew" not in caplog.text


def test_what_another_openvino_made_under_this_name_is_compiled_anew(
    artifacts: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    wanted = text_of(artifacts, tmp_path)
    (kept,) = tmp_path.iterdir()
    compiled._write(kept, memoryview(b"other"))
    assert torch.equal(text_of(artifacts, tmp_path), wanted)
    assert "it cannot be loaded" in caplog.text


def test_a_folder_that_cannot_be_written_to_is_no_failure(
    artifacts: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    with caplog.at_level(logging.WARNING):
        text_of(artifacts, tmp_path / "file")
    assert "what was compiled is not kept" in caplog.text


def test_a_folder_that_others_may_write_to_is_not_trusted(
    artifacts: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    text_of(artifacts, tmp_path)
    (kept,) = tmp_path.iterdir()
    compiled._write(kept, memoryview(b"other"))
    tmp_path.chmod(0o777)
    text_of(artifacts, tmp_path)
    assert "others may write to its folder" in caplog.text
    assert "it cannot be loaded" not in caplog.text


def test_a_network_that_cannot_be_kept_is_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Unkept:
        def export_model(self) -> None:
            raise RuntimeError("not implemented")

    network = compiled.CompiledNetwork(tmp_path, ("ab",))
    core = openvino_package().Core()
    made = Unkept()
    assert network.load(core, {}, lambda: made) is made
    assert "what was compiled is not kept: not implemented" in caplog.text


def test_what_was_not_used_for_longest_goes(
    artifacts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for second in range(4):
        (tmp_path / f"{second}.openvino").write_bytes(bytes(2**20))
        os.utime(tmp_path / f"{second}.openvino", (second, second))
    for name, second in (("new", time.time()), ("old", 0)):
        (tmp_path / f"{name}.partial").touch()
        os.utime(tmp_path / f"{name}.partial", (second, second))
    before = text_of(artifacts, tmp_path / "size")
    (made,) = (tmp_path / "size").iterdir()
    size = made.stat().st_size
    shutil.rmtree(tmp_path / "size")
    monkeypatch.setattr(compiled, "KEPT_BYTES", size + 2 * 2**20)
    assert torch.equal(text_of(artifacts, tmp_path), before)
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"2.openvino", "3.openvino", made.name, "new.partial"}


def test_a_disk_that_is_nearly_full_is_spared(
    artifacts: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(compiled, "SPARED", 2**40)
    text_of(artifacts, tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert "the disk is nearly full" in caplog.text


def test_a_large_network_is_not_kept_a_second_time(
    artifacts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graph, "INLINE_BYTES", 1000)
    copied = shutil.copytree(artifacts, tmp_path / "artifacts")
    load_graph(copied, TEXT_ENCODER, "openvino", threads=1, compiled=tmp_path / "compiled")
    assert not (tmp_path / "compiled").exists()


def text_of(artifacts: Path, compiled_folder: Path) -> torch.Tensor:
    run = load_graph(artifacts, TEXT_ENCODER, "openvino", threads=1, compiled=compiled_folder)
    plain = load_text_encoder(artifacts, "openvino", threads=1)
    plain._run = run
    tokens = torch.ones(1, load_model_info(artifacts).text_length, dtype=torch.int64)
    return torch.cat([each.flatten() for each in plain(tokens).values()])
