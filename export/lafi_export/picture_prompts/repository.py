"""Writes the image encoder of a model: REPO/artifacts/picture_prompts/, with its parity report."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch

from lafi.engine.onnx.graph import Precision, RuntimeName
from lafi.engine.onnx.picture_prompts import load_picture_encoder
from lafi.model.artifacts import WEIGHTS, file_sha256
from lafi.model.info import ModelInfo
from lafi.model.picture_prompt_info import (
    ENCODER,
    PICTURE_PROMPTS,
    AdapterFiles,
    picture_prompt_folder,
)
from lafi.ports.picture_encoder import PictureEncoder
from lafi_export.onnx_export import export_graph
from lafi_export.parity import engine_row
from lafi_export.parity_report import (
    PARITY_FILE,
    TOLERANCES,
    EngineParity,
    ParityError,
    ParityReport,
)
from lafi_export.picture_prompts.network import encoder_graph, load_encoder

Tell = Callable[[str], None]
_BATCHES = (1, 3)


def write_picture_encoder(
    files: AdapterFiles | None, checkpoint: Path, artifacts: Path, info: ModelInfo, tell: Tell
) -> tuple[ModelInfo, PictureEncoder | None]:
    """Exports the encoder; the model's facts with its hashes, and the encoder in torch.

    files: that `info.picture_prompts` was made of; None: nothing is written.
    """
    if files is None or info.picture_prompts is None:
        return info, None
    tell(f"exporting {PICTURE_PROMPTS}")
    folder = picture_prompt_folder(artifacts)
    folder.mkdir(parents=True)
    modules = load_encoder(files, checkpoint, info, folder / WEIGHTS)
    export_graph(encoder_graph(modules), folder / ENCODER, [modules.weights])
    hashes = {file: file_sha256(folder / file) for file in (ENCODER, modules.weights.location)}
    facts = info.picture_prompts.model_copy(update={"sha256": hashes})
    return info.model_copy(update={"picture_prompts": facts}), modules.engine()


def compare_picture_encoder(
    reference: PictureEncoder | None,
    artifacts: Path,
    info: ModelInfo,
    runtimes: Sequence[RuntimeName],
    threads: int = 0,
) -> None:
    """Saves a report beside it. Raises ParityError if it is wrong in any of the runtimes."""
    if reference is None or info.picture_prompts is None:
        return
    folder = picture_prompt_folder(artifacts)
    rows = [
        row
        for runtime in dict.fromkeys(runtimes)
        for row in _rows(
            reference, load_picture_encoder(artifacts, info, runtime, threads), info, runtime
        )
    ]
    precision: Precision = "f32"
    report = ParityReport(
        model=f"{info.name}, {PICTURE_PROMPTS}",
        weights_sha256=info.picture_prompts.encoder_sha256,
        engines=tuple(rows),
        pictures=(),
        tolerances={precision: TOLERANCES[precision]},
    )
    try:
        report.check()
    except ParityError as error:
        raise ParityError(f"{PICTURE_PROMPTS}: {error}") from error
    report.save(folder)


def picture_report(artifacts: Path) -> ParityReport:
    """The report of an encoder that was exported."""
    file = picture_prompt_folder(artifacts) / PARITY_FILE
    return ParityReport.model_validate_json(file.read_bytes())


def _rows(
    reference: PictureEncoder,
    candidate: PictureEncoder | None,
    info: ModelInfo,
    runtime: RuntimeName,
) -> Iterator[EngineParity]:
    """Of random pictures, and of none."""
    assert candidate is not None
    assert info.picture_prompts is not None
    side = info.picture_prompts.side
    generator = torch.Generator().manual_seed(6)
    for batch in _BATCHES:
        pictures = torch.randn(batch, 3, side, side, generator=generator)
        pair = reference(pictures), candidate(pictures)
        yield engine_row("image_encoder", f"batch {batch}", runtime, "f32", *pair)
    pair = reference.nothing(), candidate.nothing()
    yield engine_row("image_encoder", "no picture", runtime, "f32", *pair)
