"""`lafi export`: exports, prints each step and shows the parity reports."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.status import Status
from rich.table import Table
from rich.text import Text

from lafi.engine.onnx.graph import Precision, RuntimeName
from lafi.model.artifacts import ARTIFACTS, ArtifactsError
from lafi.model.checkpoint import CheckpointError
from lafi.model.info import TextPrecision, variant_folder
from lafi.model.tensor_file import TensorFileError
from lafi_export.beside import BesideOptionError, parse_beside, prepared_beside
from lafi_export.control.option import ControlOptionError, parse_controls
from lafi_export.control.repository import control_report
from lafi_export.control.source import prepared_controls
from lafi_export.ending import ended_like_an_error, made_folder
from lafi_export.graph_choice import MEASURED, GraphOptionError, parse_graph_changes
from lafi_export.learnt_words import TextualInversionError
from lafi_export.lora_file import LoraError
from lafi_export.parity_report import PARITY_FILE, ParityError, ParityReport
from lafi_export.picture_prompts.option import (
    PictureOptionError,
    parse_adapter,
    prepared_adapter,
)
from lafi_export.picture_prompts.repository import picture_report
from lafi_export.prepared_checkpoint import prepared
from lafi_export.repository import ExportError, export_checkpoint
from lafi_export.single_file import SingleFile
from lafi_export.variant_option import VariantOptionError, parse_variants

_EXPECTED_ERRORS = (
    ArtifactsError,
    BesideOptionError,
    CheckpointError,
    ControlOptionError,
    ExportError,
    GraphOptionError,
    LoraError,
    ParityError,
    PictureOptionError,
    TensorFileError,
    TextualInversionError,
    VariantOptionError,
)


def export_command(
    given: SingleFile,
    out: Path,
    runtime: RuntimeName | None = None,
    precision: Precision = "f32",
    text_precision: TextPrecision = "f32",
    graph_changes: str = MEASURED,
    denoiser: bool = False,
    variants: Sequence[str] = (),
    triggers: Sequence[str] = (),
    beside: Sequence[str] = (),
    controls: Sequence[str] = (),
    picture_prompts: Path | None = None,
    image_encoder: Path | None = None,
    recogniser: Path | None = None,
    console: Console | None = None,
) -> int:
    """Exports a checkpoint to `out`. Returns the exit code: 0, or 1 with the reason printed.

    given: a folder, a file, or files of parts. Ended by a signal, it leaves nothing behind.
    graph_changes, variants and triggers, beside, controls, picture_prompts and image_encoder: in
    the formats of `lafi_export.graph_choice`, `variant_option`, `beside`, `control.option` and
    `picture_prompts.option`. recogniser: its folder; None: the one beside the checkpoint.
    """
    console = console or Console(highlight=False)
    try:
        wanted, steering = parse_variants(variants, triggers), parse_controls(controls)
        adapter = parse_adapter(picture_prompts, image_encoder)
        others = parse_beside(beside, [variant.name for variant in wanted])
        with (
            ended_like_an_error(),
            made_folder(out.absolute().parent),
            console.status("starting") as status,
            prepared(given, out.absolute().parent) as checkpoint,
            prepared_controls(steering, checkpoint, out.absolute().parent) as folders,
            prepared_adapter(adapter, out.absolute().parent) as pictures,
            prepared_beside(others, out.absolute().parent) as there,
        ):
            report = export_checkpoint(
                checkpoint,
                out,
                runtime=runtime,
                precision=precision,
                text_precision=text_precision,
                graph_changes=parse_graph_changes(graph_changes),
                denoiser=denoiser,
                variants=wanted,
                beside=there,
                controls=folders,
                picture_prompts=pictures,
                recogniser=recogniser,
                tell=partial(_tell, console, status),
            )
    except _EXPECTED_ERRORS as error:
        console.print(Text(f"error: {error}", style="red"), soft_wrap=True)
        return 1
    named = [*(each.name for each in wanted), *others]
    _tell_reports(console, report, out, named, [*steering], adapter is not None)
    console.print(Text(f"lafi serve {out}", style="cyan"))
    return 0


def _tell(console: Console, status: Status, step: str) -> None:
    console.print(Text(step), style="dim")
    status.update(step)


def _tell_reports(
    console: Console,
    report: ParityReport,
    out: Path,
    variants: Sequence[str],
    controls: Sequence[str],
    pictures: bool,
) -> None:
    """Of the model, its variants, control networks and image encoder, and how each is asked for.

    variants: names, those of models beside too.
    """
    console.print(parity_table(report))
    for line in (*report.lacking, *report.graph):
        console.print(Text(line))
    for variant in variants:
        file = variant_folder(out / ARTIFACTS, variant) / PARITY_FILE
        console.print(parity_table(ParityReport.model_validate_json(file.read_bytes())))
        console.print(Text(f"a storyboard chooses it by `variant: {variant}`"))
    for name in controls:
        console.print(parity_table(control_report(out / ARTIFACTS, name)))
        console.print(Text(f"a panel asks for it by `control: [{{kind: {name}, image: FILE}}]`"))
    if pictures:
        console.print(parity_table(picture_report(out / ARTIFACTS)))
        console.print(Text("a panel asks for it by `picture_prompts: [{image: FILE}]`"))


def parity_table(report: ParityReport) -> Table:
    """A table of the worst case of each engine, and of every picture."""
    table = Table(title=f"Parity of {report.model} with torch in fp32")
    for column in ("what", "runtime", "precision", "max error", "mean error"):
        table.add_column(column)
    kinds = dict.fromkeys((row.engine, row.runtime, row.precision) for row in report.engines)
    for kind in kinds:
        rows = [row for row in report.engines if (row.engine, row.runtime, row.precision) == kind]
        worst = max(row.max_error for row in rows)
        mean = max(row.mean_error for row in rows)
        table.add_row(*kind, f"{worst:.1e}", f"{mean:.1e}")
    for picture in report.pictures:
        table.add_row(
            picture.picture,
            picture.runtime,
            picture.precision,
            f"{picture.max_error} of 255 ({picture.psnr:.0f} dB)",
            f"{picture.mean_error:.3f}",
        )
    return table
