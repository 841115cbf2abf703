"""The results of a comparison with torch, judged by a tolerance; as JSON and as a table."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from lafi.model.graph_changes import GraphChange

PARITY_FILE = "parity.json"
"""Where an exported folder keeps its `ParityReport`."""


class ParityError(RuntimeError):
    """A tolerance is exceeded; the text names every such engine and panel."""


class Tolerance(BaseModel):
    """How far an engine may be from torch in fp32.

    Errors of engines are relative: divided by max(1, largest absolute value of torch).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_error: float = Field(gt=0)
    mean_error: float = Field(gt=0)
    max_pixel_error: int | None = Field(default=None, ge=0, lt=255)
    """Of any pixel of a drawn panel; None: no limit."""
    min_psnr: float = Field(gt=0)
    """Of drawn panels, in dB; 100 dB for equal panels."""
    min_cosine: float | None = Field(default=None, ge=-1, le=1)
    """Of any embedding of a text with torch's; None: no limit."""

    def allows_picture(self, max_error: int, psnr: float) -> bool:
        """Whether a picture may differ by this much: max_error in 1/255, psnr in dB."""
        limit = 255 if self.max_pixel_error is None else self.max_pixel_error
        return max_error <= limit and psnr >= self.min_psnr


TOLERANCES: dict[str, Tolerance] = {
    "f32": Tolerance(max_error=1e-4, mean_error=1e-5, max_pixel_error=2, min_psnr=60.0),
    "bf16": Tolerance(max_error=0.5, mean_error=0.03, min_psnr=30.0),
    "int8": Tolerance(max_error=0.1, mean_error=0.02, min_psnr=20.0, min_cosine=0.99),
}
"""By the precision of the denoiser; int8 is that of a text encoder, and of pictures drawn with it.

`max_error` and `mean_error` are the limits for engines. The limits for pictures are the worst pixel
and the PSNR in f32, and the PSNR alone in the others: bf16 keeps 8 bits of a number, so a single
pixel may differ by any amount in a correct picture.

bf16 was measured on the bundled model with OpenVINO 2026.4 on an Intel Xeon with AMX: errors of an
engine up to 0.255, 0.0062 in the mean. In the same case torch in bf16 has 0.045 and 0.0014 (keys of
the deepest layers; we do not know why OpenVINO's are larger). 27 pictures: 34.8 dB or more, median
48. SD1.5 at full size with random weights: 0.143 and 0.0205. A wrong engine returns NaN or an error
of 1.
"""


class EngineParity(BaseModel):
    """One engine on one random input."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    engine: str
    runtime: str
    precision: str
    case: str
    """Batch and size, and the routes of the denoiser."""
    max_error: float
    mean_error: float
    scale: float
    """Largest absolute value of torch."""
    cosine: float | None = None
    """Least cosine of an embedding with torch's; of text encoders in 8 bits."""
    passed: bool


class PixelParity(BaseModel):
    """One picture drawn by both engines; errors in 1/255."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    picture: str
    runtime: str
    precision: str
    max_error: int
    mean_error: float
    psnr: float
    passed: bool


class ParityReport(BaseModel):
    """All comparisons and the tolerance for them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    absent_parts: tuple[str, ...] = ()
    """Parts that the checkpoint was published without, on both sides."""
    weights_sha256: str
    graph_changes: tuple[GraphChange, ...] = ()
    """What OpenVINO is given otherwise than the denoiser's file has it."""
    graph_ratios: dict[str, float] = Field(default_factory=dict)
    """Time of a layer with each change to its time without; empty where nothing was measured."""
    engines: tuple[EngineParity, ...]
    pictures: tuple[PixelParity, ...]
    tolerances: dict[str, Tolerance]

    @property
    def lacking(self) -> tuple[str, ...]:
        """One line for each part that the checkpoint lacks."""
        return tuple(
            f"{part} is absent: the checkpoint was published without it, and the model reads zeros "
            "in place of its text"
            for part in self.absent_parts
        )

    @property
    def graph(self) -> tuple[str, ...]:
        """A line about the changes of the denoiser's graph, if any was made or measured."""
        if not self.graph_changes and not self.graph_ratios:
            return ()
        made = ", ".join(self.graph_changes) or "none"
        measured = ", ".join(f"{name} {ratio:.2f}" for name, ratio in self.graph_ratios.items())
        times = f" (time of a layer with it to time without: {measured})" if measured else ""
        return (f"changes of the denoiser's graph for OpenVINO: {made}{times}",)

    @property
    def passed(self) -> bool:
        """Whether all comparisons are within the tolerance."""
        return not self.failures

    @property
    def failures(self) -> tuple[str, ...]:
        """One line for each comparison beyond the tolerance."""
        lines = []
        for row in self.engines:
            if not row.passed:
                allowed = self.tolerances[row.precision]
                lines.append(
                    f"{row.engine} ({row.runtime}, {row.precision}) on {row.case}: "
                    f"got max error {row.max_error:.2e} and mean {row.mean_error:.2e}, "
                    f"allowed {allowed.max_error:.0e} and {allowed.mean_error:.0e}"
                    + ("" if row.cosine is None else _cosine_limit(row.cosine, allowed))
                )
        for picture in self.pictures:
            if not picture.passed:
                allowed = self.tolerances[picture.precision]
                most = "any" if allowed.max_pixel_error is None else allowed.max_pixel_error
                lines.append(
                    f"{picture.picture} ({picture.runtime}, {picture.precision}): "
                    f"got pixel error {picture.max_error} and {picture.psnr:.1f} dB, "
                    f"allowed {most} and {allowed.min_psnr:.0f} dB or more"
                )
        return tuple(lines)

    def check(self) -> None:
        """Raises ParityError if anything failed."""
        if self.failures:
            raise ParityError(
                "the exported engines differ from torch:\n" + "\n".join(self.failures)
            )

    def save(self, folder: Path) -> None:
        """Write `parity.json` and `parity.md` into `folder`."""
        json_text = self.model_dump_json(indent=2) + "\n"
        (folder / PARITY_FILE).write_text(json_text, encoding="utf-8")
        (folder / "parity.md").write_text(self.markdown(), encoding="utf-8")

    def markdown(self) -> str:
        """Two tables, and a list of failures."""
        return "\n".join(
            [
                f"# Parity of {self.model} with torch in fp32",
                "",
                "Errors of engines are relative to the largest value that torch gave, if above 1.",
                "",
                *(f"{line}\n" for line in (*self.lacking, *self.graph)),
                "| engine | runtime | precision | input | max error | mean error | passed |",
                "|---|---|---|---|---|---|---|",
                *(_engine_row(row) for row in self.engines),
                "",
                "| picture | runtime | precision | max pixel error | mean | PSNR, dB | passed |",
                "|---|---|---|---|---|---|---|",
                *(_picture_row(row) for row in self.pictures),
                "",
                *(_cosine_line(row) for row in self.engines if row.cosine is not None),
                *(f"- FAILED: {line}" for line in self.failures),
                "",
            ]
        )


def _engine_row(row: EngineParity) -> str:
    errors = f"{row.max_error:.1e} | {row.mean_error:.1e}"
    where = f"{row.engine} | {row.runtime} | {row.precision} | {row.case}"
    return f"| {where} | {errors} | {_yes(row.passed)} |"


def _cosine_limit(cosine: float, allowed: Tolerance) -> str:
    return f"; got cosine {cosine:.4f}, allowed {allowed.min_cosine} or more"


def _cosine_line(row: EngineParity) -> str:
    where = f"{row.engine} ({row.runtime}, {row.precision}) on {row.case}"
    return f"- {where}: least cosine with torch {row.cosine:.6f}"


def _picture_row(row: PixelParity) -> str:
    errors = f"{row.max_error} | {row.mean_error:.3f} | {row.psnr:.1f}"
    return f"| {row.picture} | {row.runtime} | {row.precision} | {errors} | {_yes(row.passed)} |"


def _yes(passed: bool) -> str:
    return "yes" if passed else "**no**"
