"""The storyboards that everybody draws: a character each, with a reference, and prompts."""

from dataclasses import dataclass
from itertools import cycle, islice

from lafi.storyboard import Character, Injection, Panel, ReferenceImage, Sampling, Storyboard
from lafi_tiny.caption import plain_caption
from lafi_tiny.evaluate import held_out_wanted
from lafi_tiny.reference_sheet import reference_png


@dataclass(frozen=True, slots=True)
class Workload:
    """How much is drawn. DDIM, guidance 5, 64 px; storyboards have a character each."""

    storyboards: int
    panels: int
    in_flight: int
    steps: int

    @property
    def total(self) -> int:
        """Panels of all storyboards."""
        return self.storyboards * self.panels


def storyboards(load: Workload, injection: Injection, first: int = 0) -> list[Storyboard]:
    """The storyboards of a load; another `first` gives other characters, so nothing is known."""
    wanted = held_out_wanted(first + load.storyboards, 7)[first:]
    sampling = Sampling.model_validate({"steps": load.steps, "guidance": 5.0, "sampler": "DDIM"})
    boards = []
    for number, one in enumerate(wanted, first):
        reference = ReferenceImage(data=reference_png(one.identity, seed=number))
        who = Character(name="mia", prompt="a child", reference=reference)
        told = islice(cycle(wanted), load.panels)
        panels = tuple(
            Panel(prompt=plain_caption(w.action, w.scene, who="{mia}"), seed=1000 * number + index)
            for index, w in enumerate(told)
        )
        boards.append(
            Storyboard(characters=(who,), panels=panels, sampling=sampling, injection=injection)
        )
    return boards


def prompts(board: Storyboard) -> list[str]:
    """What a pipeline without characters is asked for."""
    return [panel.prompt_text(board) for panel in board.panels]
