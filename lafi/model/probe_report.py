"""`ProbeReport`: what a probe found of each self-attention of a checkpoint, and sets of them.

`lafi probe` writes it into the checkpoint's folder, where its presets join those of the family.
Knows numbers, no networks.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

PROBE_FILE: Final = "probe.json"


class ProbeError(ValueError):
    """A probe's file is damaged, or of other weights."""


class SiteReport(BaseModel):
    """What one self-attention does to the pictures, on the average.

    position  PSNR in dB of pictures drawn with its positions disturbed, to those drawn as usual
    content   the same with its content disturbed; a low number means that it matters much
    layout    how far reading the reference here alone moves the layout towards the reference's
    texture   the same for the texture, wherever it lies: 0 not at all, 1 all the way
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    block: str
    position: float
    content: float
    layout: float
    texture: float


class ProbeSettings(BaseModel):
    """What the pictures were drawn with."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    weights_sha256: str
    storyboard_sha256: str
    steps: int
    guidance: float
    width: int
    height: int


class ProbeReport(BaseModel):
    """Sites in forward order; fewer than the model has while a probe is not finished."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    settings: ProbeSettings
    count: int
    """Self-attention layers of the model."""
    sites: tuple[SiteReport, ...] = ()

    @property
    def finished(self) -> bool:
        return len(self.sites) == self.count

    def presets(self) -> dict[str, tuple[int, ...]]:
        """Name -> sites. Raises ProbeError for a probe that is not finished."""
        if not self.finished:
            raise ProbeError(
                f"{PROBE_FILE}: got {len(self.sites)} of {self.count} layers, allowed all; "
                "`lafi probe CHECKPOINT` goes on where it stopped"
            )
        return chosen_sets(
            [site.texture for site in self.sites], [site.layout for site in self.sites]
        )

    def save(self, folder: Path) -> Path:
        """Write the file; one that is there is replaced as a whole."""
        path = Path(folder) / PROBE_FILE
        written = path.with_suffix(".part")
        written.write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")
        written.replace(path)
        return path


def chosen_sets(texture: Sequence[float], layout: Sequence[float]) -> dict[str, tuple[int, ...]]:
    """Presets from what each site alone does; this rule was written before any figure was seen.

    A site's share is its gain in the sum of all positive gains. `texture` has the sites whose share
    of texture is above their share of layout, `balanced` those where it is above half of it.
    """
    shares = [_shares(gains) for gains in (texture, layout)]
    pairs = list(zip(*shares, strict=True))
    return {
        "texture": tuple(i for i, (fine, coarse) in enumerate(pairs) if fine > coarse),
        "balanced": tuple(i for i, (fine, coarse) in enumerate(pairs) if fine > coarse / 2),
        "all": tuple(range(len(pairs))),
    }


def load_probe(folder: Path) -> ProbeReport | None:
    """The report in a checkpoint's folder; None if there is none. Raises ProbeError."""
    path = Path(folder) / PROBE_FILE
    if not path.is_file():
        return None
    try:
        return ProbeReport.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise ProbeError(f"{path}: {error}") from error


def _shares(gains: Sequence[float]) -> list[float]:
    positive = [max(0.0, gain) for gain in gains]
    total = sum(positive)
    return [gain / total if total else 0.0 for gain in positive]
