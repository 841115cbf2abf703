"""What `lafi export` does: exports, says each step, shows the parity report."""

from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lafi.engine.onnx import ArtifactsError, Precision, Runtime
from lafi.engine.torch import CheckpointError
from lafi_export.parity_report import ParityError, ParityReport
from lafi_export.repository import ExportError, export_checkpoint

_EXPECTED_ERRORS = (CheckpointError, ExportError, ArtifactsError, ParityError)


def export_command(
    checkpoint: Path,
    out: Path,
    runtime: Runtime = "openvino",
    precision: Precision = "f32",
    denoiser: bool = False,
    console: Console | None = None,
) -> int:
    """Exports `checkpoint` to `out`. Returns the exit code: 0, or 1 with the reason printed."""
    console = console or Console(highlight=False)
    try:
        with console.status("starting") as status:

            def tell(step: str) -> None:
                console.print(Text(step), style="dim")
                status.update(step)

            report = export_checkpoint(
                checkpoint,
                out,
                runtime=runtime,
                precision=precision,
                denoiser=denoiser,
                tell=tell,
            )
    except _EXPECTED_ERRORS as error:
        console.print(Text(f"error: {error}", style="red"), soft_wrap=True)
        return 1
    console.print(parity_table(report))
    console.print(Text(f"lafi serve {out}", style="cyan"))
    return 0


def parity_table(report: ParityReport) -> Table:
    """The worst case of each engine and every picture."""
    table = Table(title="Parity with torch in fp32")
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
