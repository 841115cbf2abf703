"""From a diffusers folder to a folder that `lafi serve` serves.

    OUT/models/<model>/config.pbtxt and 1/model.py    what Triton Server loads
    OUT/artifacts/lafi.json, *.onnx, tokenizer/, scheduler/, parity.json, parity.md
    OUT/artifacts/weights/<part>.safetensors          float32, what the ONNX files point into

The folder appears whole or not at all.
"""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Final

from lafi.contract import ModelSpec, config_pbtxt, served_models
from lafi.engine.base import Engines
from lafi.engine.onnx import Precision, Runtime, check_runtime, file_sha256, load_onnx_engines
from lafi.engine.session import DENOISER, WEIGHTS, tokenizer_folders
from lafi.engine.torch import read_model_info
from lafi.model_info import MODEL_INFO_FILE, ModelInfo
from lafi_export.modules import load_modules
from lafi_export.onnx_export import export_graph, graphs
from lafi_export.parity import compare_engines, compare_pictures
from lafi_export.parity_cases import SIZES, Sizes
from lafi_export.parity_report import TOLERANCES, EngineParity, ParityReport, PixelParity

ARTIFACTS: Final = "artifacts"
LARGE: Final = 2**30
"""Bytes of float32 weights of a denoiser from which on fewer comparisons are made."""
LARGE_SIZES: Final[Sizes] = ((2, 2, 2),)
MODELS: Final = "models"

EngineLoader = Callable[[Path, Runtime, Precision, int], Engines]
"""(artifacts, runtime, precision, threads) -> engines; `lafi.engine.onnx.load_onnx_engines`."""


class ExportError(ValueError):
    """The output folder cannot be written."""


def export_checkpoint(
    checkpoint: Path,
    out: Path,
    *,
    runtime: Runtime = "openvino",
    precision: Precision = "f32",
    denoiser: bool = False,
    threads: int = 0,
    load_engines: EngineLoader = load_onnx_engines,
    tell: Callable[[str], None] = lambda step: None,
) -> ParityReport:
    """Write a model repository and return how near its engines are to torch.

    checkpoint: a diffusers `StableDiffusionPipeline` folder, weights in any precision; the
    export is fp32. out: a new folder, an empty one, or an earlier export, which is replaced.
    runtime, precision: what the served models run with. denoiser: serve it as a model too.
    threads: for the comparison, 0 for all cores. tell: gets a line before each step.
    Raises CheckpointError for a folder that lacks a part, ExportError for an `out` that holds
    something else, ArtifactsError for a precision that this machine does not have, and
    ParityError where a tolerance is broken; then `out` is as it was.
    """
    check_runtime(runtime, precision)
    _check_out(out)
    info = read_model_info(checkpoint, engine=runtime, precision=precision)
    with _replaced(out) as folder:
        artifacts = folder / ARTIFACTS
        artifacts.mkdir()
        info, reference = _write_artifacts(checkpoint, artifacts, info, tell)
        tell("comparing with torch")
        report = _compare(reference, artifacts, info, (runtime, precision), threads, load_engines)
        report.check()
        report.save(artifacts)
        tell("writing the model repository")
        for spec in served_models(info, with_denoiser=denoiser):
            _write_model(folder / MODELS / spec.name, spec, info)
    return report


def _write_artifacts(
    checkpoint: Path, artifacts: Path, info: ModelInfo, tell: Callable[[str], None]
) -> tuple[ModelInfo, Engines]:
    """Weights, ONNX files, tokenizers, scheduler and `lafi.json`.

    Returns the info with the files' hashes, and torch engines of the same weights.
    """
    tell("writing the weights")
    modules = load_modules(checkpoint, artifacts / WEIGHTS)
    hashes = {part.location: file_sha256(part.path) for part in modules.weights}
    weights = {}
    for graph in graphs(modules, info):
        tell(f"exporting {graph.file}")
        path = artifacts / graph.file
        weights[graph.file] = export_graph(graph, path, modules.weights)
        hashes[graph.file] = file_sha256(path)
    shutil.copytree(checkpoint / "scheduler", artifacts / "scheduler")
    for folder in tokenizer_folders(artifacts, info):
        shutil.copytree(checkpoint / folder.name, folder)
    info = info.model_copy(update={"onnx_sha256": hashes, "onnx_weights": weights})
    info.save(artifacts)
    return info, modules.engines(checkpoint, info.model_copy(update={"engine": "torch"}))


def _compare(
    reference: Engines,
    artifacts: Path,
    info: ModelInfo,
    chosen: tuple[Runtime, Precision],
    threads: int,
    load_engines: EngineLoader,
) -> ParityReport:
    """Both runtimes in f32, since either may serve the files, and the chosen precision.

    Of a large model only the chosen kind, on one size, without pictures: a comparison of all would
    take longer than the export, and hold the weights once more for each runtime.
    """
    large = _denoiser_bytes(artifacts, info) > LARGE
    kinds: list[tuple[Runtime, Precision]] = [("onnxruntime", "f32"), ("openvino", "f32")]
    if large or chosen not in kinds:
        kinds = [chosen] if large else [*kinds, chosen]
    engines: list[EngineParity] = []
    pictures: list[PixelParity] = []
    for kind in kinds:
        candidate = load_engines(artifacts, *kind, threads)
        vocabulary = min(len(tokenizer) for tokenizer in reference.tokenizers)
        engines += compare_engines(
            reference,
            candidate,
            vocabulary=vocabulary,
            precision=kind[1],
            sizes=LARGE_SIZES if large else SIZES,
        )
        if kind == chosen and not large:
            pictures += compare_pictures(reference, candidate, precision=kind[1])
    return ParityReport(
        model=info.name,
        weights_sha256=info.weights_sha256,
        engines=tuple(engines),
        pictures=tuple(pictures),
        tolerances={precision: TOLERANCES[precision] for _, precision in kinds},
    )


def _denoiser_bytes(artifacts: Path, info: ModelInfo) -> int:
    files = info.onnx_weights.get(DENOISER, ())
    return sum((artifacts / file).stat().st_size for file in files)


def _write_model(folder: Path, spec: ModelSpec, info: ModelInfo) -> None:
    version = folder / "1"
    version.mkdir(parents=True)
    parameters = {
        "artifacts": f"../{ARTIFACTS}",
        "runtime": info.engine,
        "precision": info.precision,
    }
    text = config_pbtxt(spec, parameters=parameters)
    (folder / "config.pbtxt").write_text(text, encoding="utf-8")
    template = files("lafi_repository") / spec.name / "1" / "model.py"
    (version / "model.py").write_bytes(template.read_bytes())


def _check_out(out: Path) -> None:
    if out.is_dir() and (not any(out.iterdir()) or (out / ARTIFACTS / MODEL_INFO_FILE).is_file()):
        return
    if out.exists() or out.is_symlink():
        raise ExportError(
            f"{out}: holds something that `lafi export` did not write; "
            "allowed: a new folder, an empty one, or an earlier export"
        )


@contextmanager
def _replaced(out: Path) -> Iterator[Path]:
    """A new folder beside `out` that takes its place when all went well."""
    out = out.absolute()
    out.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    new, old = work / "new", work / "old"
    new.mkdir()
    try:
        yield new
        if out.exists():
            out.rename(old)
        new.rename(out)
    finally:
        shutil.rmtree(work)
