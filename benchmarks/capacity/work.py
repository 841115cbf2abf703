"""What is asked of a cluster, and what each part of the work takes on one pod."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

ROWS_OF_A_PANEL = 2
"""With guidance, which is the usual case."""


@dataclass(frozen=True, slots=True)
class Load:
    """Storyboards that come at random, all of one kind.

    per_hour: of all clients. panels: of a storyboard. megapixels: of a panel. stages: (steps,
    share of the full area) of each stage. characters: of a storyboard, each with a reference.
    known: share of characters whose reference the server has read before. resent: share of
    storyboards that were drawn before and are in the store.
    """

    per_hour: float
    panels: int = 6
    megapixels: float = 0.016384
    stages: tuple[tuple[int, float], ...] = ((20, 1.0),)
    characters: int = 1
    known: float = 0.5
    resent: float = 0.1

    def __post_init__(self) -> None:
        if self.per_hour < 0 or self.panels < 1 or self.characters < 0 or self.megapixels <= 0:
            raise ValueError(
                f"got {self}, allowed: per_hour and characters 0 or more, panels 1 or more, "
                "megapixels above 0"
            )
        if not (0 <= self.known <= 1 and 0 <= self.resent <= 1):
            raise ValueError(f"known, resent: got {self.known}, {self.resent}, allowed: 0 to 1")
        if not self.stages or any(s < 1 or not 0 < share <= 1 for s, share in self.stages):
            raise ValueError(f"stages: got {self.stages}, allowed: (1 step or more, above 0 to 1)")

    @property
    def steps(self) -> int:
        """Of a panel, all stages together."""
        return sum(steps for steps, _ in self.stages)


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds on one pod. Measured by `calibrate`; of another machine: from a file.

    call: of a denoiser call, whatever is in it. row: of each of its rows, for each megapixel.
    panel: to finish one panel, for each megapixel (VAE, PNG, store). storyboard: to take one on
    (texts, answers). character: to read one reference anew. resent: to find a storyboard again.
    start: until a new pod takes work. max_rows: of one call.
    """

    call: float
    row: float
    panel: float
    storyboard: float
    character: float = 0.0
    resent: float = 0.0
    start: float = 60.0
    max_rows: int = 20

    def __post_init__(self) -> None:
        low = {name: value for name, value in asdict(self).items() if value < 0}
        if low or self.max_rows < ROWS_OF_A_PANEL or self.row + self.call <= 0:
            raise ValueError(f"times: got {low or self}, allowed: 0 or more; a call takes time")

    @property
    def places(self) -> int:
        """Panels of one call."""
        return self.max_rows // ROWS_OF_A_PANEL

    def call_seconds(self, panels: int, megapixels: float) -> float:
        """Of a call for so many panels of that size."""
        return self.call + self.row * ROWS_OF_A_PANEL * panels * megapixels

    def scaled(self, factor: float) -> Times:
        """Of a machine that is so many times slower in everything but its start."""
        slower = {
            name: factor * getattr(self, name)
            for name in ("call", "row", "panel", "storyboard", "character", "resent")
        }
        return replace(self, **slower)

    def fixed_seconds(self, load: Load) -> float:
        """Of a storyboard that is drawn, beside its panels: texts, references, answers."""
        return self.storyboard + (1 - load.known) * load.characters * self.character
