"""An adapter comes out of an export as it went in; one that does not fit is refused."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from exported_conditions import LEFT, SHOWN, check_facts_of_picture_prompts, drawn
from safetensors.torch import load_file, save_file

from drawn_twice import distance
from lafi.engine.onnx.engines import load_onnx_engines
from lafi.engine.torch.engines import load_torch_engines
from lafi.model.artifacts import ARTIFACTS, ArtifactsError
from lafi.model.checkpoint import CheckpointError
from lafi.model.info import load_model_info, variant_folder
from lafi.model.picture_prompt_info import ENCODER, AdapterFiles, picture_prompt_folder
from lafi.ports.engines import Engines
from lafi_export.repository import ExportError, export_checkpoint
from lafi_export.variant_option import parse_variants


@pytest.fixture(scope="module")
def artifacts(
    checkpoint: Path, adapter: AdapterFiles, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    repository = tmp_path_factory.mktemp("prompted") / "repository"
    export_checkpoint(checkpoint, repository, runtime="onnxruntime", picture_prompts=adapter)
    return repository / ARTIFACTS


def pixels(engines: Engines) -> list[np.ndarray]:
    """Panels with one picture, with two of which one has a region, and without, in one batch."""
    return drawn(engines, [{"picture_prompts": given} for given in ([SHOWN], [SHOWN, LEFT], [])])


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
    varied = {}
    for name in ("ink", "mia"):
        folder = variant_folder(out / ARTIFACTS, name)
        assert load_model_info(folder).picture_prompts == model.picture_prompts
        varied[name] = pixels(load_onnx_engines(folder, "onnxruntime", threads=1))
        assert distance(varied[name][0], varied[name][2]) > 10
    assert distance(varied["ink"][0], own[0]) > 2
    assert [distance(*pair) for pair in zip(varied["mia"], own, strict=True)] == [0, 0, 0]
    copies = [path.parent.parent.name for path in out.rglob("picture_prompts.safetensors")]
    assert sorted(copies) == ["artifacts", "ink"]


@pytest.mark.slow
def test_the_manifest_and_the_report_name_it(artifacts: Path) -> None:
    check_facts_of_picture_prompts(artifacts)


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
