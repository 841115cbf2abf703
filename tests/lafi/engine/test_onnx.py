"""ONNX engines are the torch engines in another runtime, and refuse what was tampered with."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from denoiser_rows import random_rows
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import lafi.engine.onnx.graph
from lafi.engine.onnx.engines import (
    load_denoiser,
    load_onnx_engines,
    load_reference_reader,
    load_text_encoder,
)
from lafi.engine.onnx.graph import (
    RUNTIMES,
    RuntimeName,
    cpu_has_bf16,
    model_info,
    open_graph,
)
from lafi.engine.onnx.packages import NO_TELEMETRY
from lafi.engine.torch.engines import load_torch_engines
from lafi.model.artifacts import VAE_DECODER, ArtifactsError, file_sha256, load_prompt_reader
from lafi.model.info import ModelInfoError, load_model_info
from lafi.ports.engines import Engines, ReferenceBatch


@pytest.fixture(scope="module")
def artifacts(repository: Path) -> Path:
    return repository / "artifacts"


@pytest.fixture(scope="module")
def torch_engines(checkpoint: Path) -> Engines:
    return load_torch_engines(checkpoint)


@pytest.fixture(scope="module", params=["onnxruntime", "openvino"])
def engines(request: pytest.FixtureRequest, artifacts: Path) -> Engines:
    return load_onnx_engines(artifacts, request.param, threads=1)


@pytest.fixture
def copied(artifacts: Path, tmp_path: Path) -> Path:
    """Artifacts that a test may spoil."""
    return Path(shutil.copytree(artifacts, tmp_path / "artifacts"))


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    seed=st.integers(0, 2**31),
    rows=st.integers(1, 5),
    references=st.integers(1, 4),
    height=st.integers(1, 3),
    width=st.integers(1, 3),
)
def test_the_denoiser_is_torchs_for_any_batch_size_and_routes(
    engines: Engines,
    torch_engines: Engines,
    seed: int,
    rows: int,
    references: int,
    height: int,
    width: int,
) -> None:
    batch = random_rows(torch_engines.info, seed, rows, references, height, width)
    got, wanted = engines.denoiser(batch), torch_engines.denoiser(batch)
    assert got.dtype == torch.float32
    torch.testing.assert_close(got, wanted, atol=2e-5, rtol=0)


@pytest.mark.parametrize("size", [(1, 16, 16), (3, 32, 48), (2, 64, 16)])
def test_text_and_vae_are_torchs(
    engines: Engines, torch_engines: Engines, size: tuple[int, int, int]
) -> None:
    batch, height, width = size
    gen = torch.Generator().manual_seed(batch)
    images = torch.rand(batch, 3, height, width, generator=gen) * 2 - 1
    latents = torch_engines.vae_encoder(images)
    torch.testing.assert_close(engines.vae_encoder(images), latents, atol=2e-5, rtol=0)
    torch.testing.assert_close(
        engines.vae_decoder(latents), torch_engines.vae_decoder(latents), atol=2e-5, rtol=0
    )
    tokens = torch.randint(0, 300, (batch, torch_engines.info.text_length), generator=gen)
    torch.testing.assert_close(
        engines.text_encoder(tokens)["text"],
        torch_engines.text_encoder(tokens)["text"],
        atol=2e-5,
        rtol=0,
    )


def test_a_batch_above_the_traced_limit_runs(engines: Engines, torch_engines: Engines) -> None:
    batch = random_rows(torch_engines.info, 0, 65, 1, 1, 1)
    torch.testing.assert_close(
        engines.denoiser(batch), torch_engines.denoiser(batch), atol=2e-5, rtol=0
    )


def test_openvino_reads_large_weights_where_they_lie(
    copied: Path, torch_engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lafi.engine.onnx.graph, "INLINE_BYTES", 1000)
    before = sorted(copied.iterdir())
    batch = random_rows(torch_engines.info, 4, 2, 1, 1, 1)
    got = load_denoiser(copied, "openvino", threads=1)(batch)
    torch.testing.assert_close(got, torch_engines.denoiser(batch), atol=2e-5, rtol=0)
    assert sorted(copied.iterdir()) == before


def test_calls_leave_no_trace_in_later_ones(engines: Engines) -> None:
    first = random_rows(engines.info, 1, 2, 1, 1, 1)
    other = random_rows(engines.info, 2, 4, 2, 2, 1)
    before = engines.denoiser(first)
    kept = before.clone()
    engines.denoiser(other)
    assert torch.equal(before, kept)
    assert torch.equal(engines.denoiser(first), kept)


def test_threads_may_share_an_engine(engines: Engines) -> None:
    batches = [random_rows(engines.info, seed, 1 + seed % 3, 1, 1, 1) for seed in range(6)]
    alone = [engines.denoiser(batch) for batch in batches]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(engines.denoiser, batches))
    for got, wanted in zip(together, alone, strict=True):
        assert torch.equal(got, wanted)


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_no_runtime_reports_to_its_makers(
    runtime: RuntimeName, artifacts: Path, tmp_path: Path
) -> None:
    """Both would begin with files of their own."""
    code = (
        "import sys; from pathlib import Path; from lafi.engine.onnx.graph import open_graph; "
        "open_graph(Path(sys.argv[1]), sys.argv[2], threads=1)"
    )
    environment = {k: v for k, v in os.environ.items() if k != NO_TELEMETRY}
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, str(artifacts / VAE_DECODER), runtime],
        env={**environment, "TMPDIR": str(tmp_path), "HOME": str(tmp_path)},
        timeout=120,
        check=True,
    )
    assert not [*tmp_path.iterdir()]


def test_the_info_names_the_runtime(engines: Engines, artifacts: Path) -> None:
    assert engines.info.engine in ("onnxruntime", "openvino")
    assert engines.info == model_info(artifacts, engines.info.engine, "f32")  # type: ignore[arg-type]
    assert (engines.prompts.token_ids(["a child"])[0] != engines.prompts.token_ids([""])[0]).any()


def test_bf16_is_near(artifacts: Path, torch_engines: Engines) -> None:
    if not cpu_has_bf16():
        with pytest.raises(ArtifactsError, match="this CPU has no bf16"):
            load_denoiser(artifacts, "openvino", "bf16")
        return
    batch = random_rows(torch_engines.info, 3, 3, 1, 2, 2)
    wanted = torch_engines.denoiser(batch)
    got = load_denoiser(artifacts, "openvino", "bf16", threads=1)(batch)
    error = (got - wanted).abs()
    assert 1e-5 < float(error.max()) < 0.15
    assert float(error.mean()) < 0.02


def relative_error(got: torch.Tensor, wanted: torch.Tensor) -> float:
    """Mean, as a share of the largest value; a NaN is below nothing."""
    return float((got - wanted).abs().mean() / wanted.abs().max().clamp(min=1.0))


@pytest.mark.parametrize(("rows", "height", "width"), [(9, 4, 4), (2, 1, 2), (3, 4, 2)])
def test_bf16_gives_numbers_where_fused_softmax_gives_none(
    artifacts: Path, torch_engines: Engines, rows: int, height: int, width: int
) -> None:
    if not cpu_has_bf16():
        pytest.skip("this CPU has no bf16")
    batch = random_rows(torch_engines.info, 3, rows, 1, height, width)
    plain = batch.changed(routes=torch.full_like(batch["routes"], -1))
    got = load_denoiser(artifacts, "openvino", "bf16", threads=2)(plain)
    assert relative_error(got, torch_engines.denoiser(plain)) < 0.02
    assert torch_engines.reference_reader is not None
    alone = {name: batch[name] for name in ("latents", "timesteps", "text")}
    read = ReferenceBatch(alone, batch["mask"])
    reader = load_reference_reader(artifacts, "openvino", "bf16", threads=2)
    for kept, wanted in zip(reader(read), torch_engines.reference_reader(read), strict=True):
        for one, other in zip(kept.values, wanted.values, strict=True):
            assert relative_error(one, other) < 0.02


def test_bf16_refuses_the_width_that_onednn_gets_wrong(artifacts: Path) -> None:
    if not cpu_has_bf16():
        pytest.skip("this CPU has no bf16")
    denoiser = load_denoiser(artifacts, "openvino", "bf16", threads=1)
    batch = random_rows(model_info(artifacts, "openvino", "bf16"), 0, 1, 1, 3, 1)
    with pytest.raises(ValueError, match="latents: got width 4, allowed 8 or more in bf16"):
        denoiser(batch)


def change_a_byte(folder: Path) -> None:
    path = folder / "denoiser.onnx"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def change_a_weight(folder: Path) -> None:
    path = folder / "weights" / "unet.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def change_json(file: str) -> Callable[[Path], None]:
    """Changes a file so that it can still be read."""

    def change(folder: Path) -> None:
        with (folder / file).open("a", encoding="utf-8") as stream:
            stream.write("\n")

    return change


def forget_the_hash(folder: Path) -> None:
    path = folder / "lafi.json"
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    del document["onnx_sha256"]["denoiser.onnx"]
    path.with_name("lafi.json.sha256").unlink()
    path.write_text(json.dumps(document), encoding="utf-8")


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (change_a_byte, r"denoiser.onnx: got SHA-256 \w{12}, lafi.json says \w{12}"),
        (change_a_weight, r"unet.safetensors: got SHA-256 \w{12}, lafi.json says \w{12}"),
        (lambda folder: (folder / "denoiser.onnx").unlink(), "denoiser.onnx: no such file"),
        (lambda folder: shutil.rmtree(folder / "tokenizer"), "tokenizer: no such folder"),
        (forget_the_hash, "denoiser.onnx: lafi.json has no hash of this file"),
        (
            change_json("tokenizer/tokenizer.json"),
            r"tokenizer.json: got SHA-256 \w{12}, lafi.json says \w{12}",
        ),
    ],
)
def test_a_spoilt_folder_asks_for_another_export(copied: Path, spoil: Any, error: str) -> None:
    spoil(copied)
    with pytest.raises(ArtifactsError, match=f"{error}; run `lafi export CHECKPOINT --out REPO`"):
        load_onnx_engines(copied, threads=1)


@pytest.mark.parametrize(
    "file",
    [
        "tokenizer/tokenizer_config.json",
        "scheduler/scheduler_config.json",
        "configs/unet/config.json",
        "configs/text_encoder/config.json",
        "configs/model_index.json",
    ],
)
def test_a_changed_config_is_refused_by_name(copied: Path, file: str) -> None:
    info = load_model_info(copied)
    load_prompt_reader(copied, info)
    change_json(file)(copied)
    with pytest.raises(ArtifactsError, match=rf"{file}: got SHA-256 \w{{12}}, lafi.json says"):
        load_prompt_reader(copied, info)


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (lambda file: file.unlink(), r"tokenizer_config.json: no such file"),
        (lambda file: (file.parent / "new.json").touch(), "new.json: lafi.json has no hash of"),
    ],
)
def test_a_tokenizer_has_the_files_that_it_had(copied: Path, spoil: Any, error: str) -> None:
    spoil(copied / "tokenizer" / "tokenizer_config.json")
    with pytest.raises(ArtifactsError, match=error):
        load_prompt_reader(copied, load_model_info(copied))


def test_a_folder_without_lafi_json(tmp_path: Path) -> None:
    with pytest.raises(ModelInfoError, match=r"lafi.json: no such file; `lafi export"):
        load_text_encoder(tmp_path, "onnxruntime")


@pytest.mark.parametrize(
    ("runtime", "precision", "threads", "error"),
    [
        ("tensorflow", "f32", 0, "runtime: got 'tensorflow', allowed onnxruntime, openvino"),
        ("openvino", "f8", 0, "precision: got 'f8', allowed f32, bf16"),
        ("onnxruntime", "bf16", 0, "precision: got 'bf16', allowed f32 with onnxruntime"),
        ("openvino", "f32", -1, r"threads: got -1, allowed 0 \(all cores\) or more"),
    ],
)
def test_settings_that_cannot_run(
    artifacts: Path, runtime: RuntimeName, precision: Any, threads: int, error: str
) -> None:
    with pytest.raises(ArtifactsError, match=error):
        open_graph(artifacts / "denoiser.onnx", runtime, precision, threads)


def test_an_export_whose_words_cannot_be_limited_is_refused(copied: Path) -> None:
    denoiser = copied / "denoiser.onnx"
    denoiser.write_bytes(denoiser.read_bytes().replace(b"\x05words", b"\x05wards"))
    info = load_model_info(copied)
    hashes = info.onnx_sha256 | {denoiser.name: file_sha256(denoiser)}
    info.model_copy(update={"onnx_sha256": hashes}).save(copied)
    with pytest.raises(ArtifactsError, match=r"denoiser\.onnx: got a denoiser without the input"):
        load_denoiser(copied, "onnxruntime")
