"""An adapter comes out of an export as it went in; one that does not fit is refused."""

import io
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file, save_file

from drawn_twice import distance
from lafi.board.storyboard import Panel, Storyboard
from lafi.drawing.pipeline import draw
from lafi.engine.onnx.engines import load_onnx_engines
from lafi.engine.torch.engines import load_torch_engines
from lafi.model.artifacts import ArtifactsError
from lafi.model.checkpoint import CheckpointError
from lafi.model.info import load_model_info, variant_folder
from lafi.model.picture_prompt_info import ENCODER, AdapterFiles, picture_prompt_folder
from lafi.ports.engines import Engines
from lafi.wire.events import PanelImage
from lafi_export.picture_prompts.repository import picture_report
from lafi_export.repository import ARTIFACTS, ExportError, export_checkpoint
from lafi_export.variant_option import parse_variants

SIDE = 32


@pytest.fixture(scope="module")
def artifacts(
    checkpoint: Path, adapter: AdapterFiles, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    repository = tmp_path_factory.mktemp("prompted") / "repository"
    export_checkpoint(checkpoint, repository, runtime="onnxruntime", picture_prompts=adapter)
    return repository / ARTIFACTS


def picture(seed: int) -> bytes:
    blocks = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(blocks).resize((40, 50), Image.Resampling.NEAREST).save(stream, "PNG")
    return stream.getvalue()


def pixels(engines: Engines) -> list[np.ndarray]:
    """Panels with one picture, with two of which one has a region, and without, in one batch."""
    one: list[dict[str, Any]] = [{"image": picture(1), "strength": 0.8}]
    two = [*one, {"image": picture(2), "region": [0, 0, 0.5, 1]}]
    board = Storyboard(
        width=SIDE,
        height=SIDE,
        sampling={"steps": 3, "sampler": "DDIM", "guidance": 3},
        injection={"layers": "none"},
        panels=[Panel(prompt="a child", seed=1, picture_prompts=p) for p in (one, two, [])],
    )
    panels = {e.panel: e.png for e in draw(board, engines) if isinstance(e, PanelImage)}
    return [np.asarray(Image.open(io.BytesIO(panels[i])), dtype=np.int16) for i in sorted(panels)]


@pytest.mark.slow
@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_it_draws_what_torch_draws(
    artifacts: Path, checkpoint: Path, adapter: AdapterFiles, runtime: Any
) -> None:
    ours = pixels(load_onnx_engines(artifacts, runtime, threads=1))
    theirs = pixels(load_torch_engines(checkpoint, picture_prompts=adapter))
    for got, want in zip(ours, theirs, strict=True):
        assert distance(got, want) <= 2
    assert min(distance(*ours[:2]), distance(*ours[1:]), distance(ours[0], ours[2])) > 10


@pytest.mark.slow
def test_its_variants_have_it_too(
    checkpoint: Path, adapter: AdapterFiles, variant_options: tuple[str, ...], tmp_path: Path
) -> None:
    """One with weights of its own has a copy of the adapter's beside them."""
    variants, out = parse_variants(variant_options), tmp_path / "out"
    export_checkpoint(
        checkpoint, out, runtime="onnxruntime", picture_prompts=adapter, variants=variants
    )
    model = load_model_info(out / ARTIFACTS)
    own = pixels(load_onnx_engines(out / ARTIFACTS, "onnxruntime", threads=1))
    drawn = {}
    for name in ("ink", "mia"):
        folder = variant_folder(out / ARTIFACTS, name)
        assert load_model_info(folder).picture_prompts == model.picture_prompts
        drawn[name] = pixels(load_onnx_engines(folder, "onnxruntime", threads=1))
        assert distance(drawn[name][0], drawn[name][2]) > 10
    assert distance(drawn["ink"][0], own[0]) > 2
    assert [distance(*pair) for pair in zip(drawn["mia"], own, strict=True)] == [0, 0, 0]
    copies = [path.parent.parent.name for path in out.rglob("picture_prompts.safetensors")]
    assert sorted(copies) == ["artifacts", "ink"]


@pytest.mark.slow
def test_the_manifest_and_the_report_name_it(artifacts: Path) -> None:
    info = load_model_info(artifacts)
    assert info.picture_prompts is not None
    assert sorted(info.picture_prompts.sha256) == [ENCODER, "weights/encoder.safetensors"]
    assert "weights/picture_prompts.safetensors" in info.onnx_weights["denoiser.onnx"]
    assert "weights/picture_prompts.safetensors" not in info.onnx_weights["reference.onnx"]
    report = picture_report(artifacts)
    assert {row.case for row in report.engines} == {"batch 1", "batch 3", "no picture"}
    assert {row.runtime for row in report.engines} == {"onnxruntime", "openvino"}


@pytest.mark.slow
def test_a_changed_file_is_refused(artifacts: Path, tmp_path: Path) -> None:
    shutil.copytree(artifacts, tmp_path / "copy")
    file = picture_prompt_folder(tmp_path / "copy") / ENCODER
    file.write_bytes(file.read_bytes() + b" ")
    with pytest.raises(ArtifactsError, match=r"encoder\.onnx: got SHA-256"):
        load_onnx_engines(tmp_path / "copy", "onnxruntime", threads=1)


def test_one_of_another_architecture_is_refused_before_any_work(
    checkpoint: Path, adapter: AdapterFiles, tmp_path: Path
) -> None:
    tensors = load_file(adapter.adapter)
    del tensors["ip_adapter.1.to_v_ip.weight"]
    save_file(tensors, tmp_path / "other.safetensors")
    given = adapter._replace(adapter=tmp_path / "other.safetensors")
    told: list[str] = []
    with pytest.raises(CheckpointError, match=r"ip_adapter: misses 1\.to_v_ip\.weight"):
        export_checkpoint(checkpoint, tmp_path / "out", picture_prompts=given, tell=told.append)
    assert not told
    assert not (tmp_path / "out").exists()


def test_the_served_denoiser_goes_without(
    checkpoint: Path, adapter: AdapterFiles, tmp_path: Path
) -> None:
    with pytest.raises(ExportError, match="--denoiser: got it with picture prompts, allowed"):
        export_checkpoint(checkpoint, tmp_path / "out", picture_prompts=adapter, denoiser=True)
