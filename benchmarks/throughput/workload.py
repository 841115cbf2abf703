"""The storyboards that all contestants draw: characters with references, and prompts."""

from dataclasses import dataclass
from itertools import cycle, islice

from lafi.board.injection import Injection
from lafi.board.reference_image import ReferenceImage
from lafi.board.stages import Sampling
from lafi.board.storyboard import Character, Panel, Storyboard
from lafi_tiny.hand.caption import plain_caption
from lafi_tiny.hand.reference_sheet import reference_png
from lafi_tiny.stages.agreement import held_out_wanted

PLAIN = Injection(layers="none")
PUBLISHED = Injection.as_published()
KEPT = Injection.as_published(reference_noise=0.1)

NAMES = ("mia", "tom", "ada", "leo")


@dataclass(frozen=True, slots=True)
class Workload:
    """How much is drawn, in DDIM with guidance 5.

    panels: of each storyboard. characters: of each storyboard, 0 to 4, each with a reference and
    all in every panel. side: pixels.
    """

    storyboards: int
    panels: int
    in_flight: int
    steps: int
    characters: int = 1
    side: int = 128

    def __post_init__(self) -> None:
        if not 0 <= self.characters <= len(NAMES):
            raise ValueError(f"characters: got {self.characters}, allowed 0 to {len(NAMES)}")

    @property
    def total(self) -> int:
        """Panels of all storyboards."""
        return self.storyboards * self.panels


def storyboards(load: Workload, injection: Injection, first: int = 0) -> list[Storyboard]:
    """The storyboards of a load; another `first` gives new characters.

    They ask for little progress: a pipeline that is measured beside a server tells none.
    """
    wanted = held_out_wanted(first + load.storyboards, 7)[first:]
    sampling = Sampling.model_validate({"steps": load.steps, "guidance": 5.0, "sampler": "DDIM"})
    casts = _casts(load, first)
    who = " and ".join(f"{{{name}}}" for name in NAMES[: load.characters]) or "a child"
    boards = []
    for number, cast in enumerate(casts, first):
        chosen = islice(cycle(wanted), load.panels)
        panels = tuple(
            Panel(prompt=plain_caption(w.action, w.scene, who=who), seed=1000 * number + index)
            for index, w in enumerate(chosen)
        )
        boards.append(
            Storyboard(
                width=load.side,
                height=load.side,
                characters=cast,
                panels=panels,
                sampling=sampling,
                injection=injection,
                progress_seconds=5.0,
            )
        )
    return boards


def _casts(load: Workload, first: int) -> list[tuple[Character, ...]]:
    """The characters of each storyboard."""
    looks = [
        held_out_wanted(first + load.storyboards, 7 + place) for place in range(load.characters)
    ]
    return [
        tuple(
            Character(
                name=name,
                prompt="a child",
                reference=ReferenceImage(data=reference_png(wanted[number].identity, seed=number)),
            )
            for name, wanted in zip(NAMES, looks, strict=False)
        )
        for number in range(first, first + load.storyboards)
    ]


def prompts(board: Storyboard) -> list[str]:
    """The prompts for a pipeline without characters."""
    return [panel.prompt_text(board) for panel in board.panels]
