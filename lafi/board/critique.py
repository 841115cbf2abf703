"""`Critic`: who says how good a drawn panel is, and the next version of a panel that is not.

Knows storyboards and picture files, not how they are drawn, nor who judges.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from lafi.board.checks import storyboard_problems
from lafi.board.error import StoryboardError, problem
from lafi.board.limits import MAX_SEED
from lafi.board.storyboard import Panel, Storyboard, mentioned

MAX_VERSIONS: Final = 9
"""Drawings of one panel, of which the best stays."""
SEED_STEP: Final = 1_000_000_007
"""From one version of a panel to the next; it meets no other panel's and no retry's usual seed."""
BELOW: Final = 0.6
"""A score from which on somebody passes, where neither panel nor storyboard has `retry_below`; near
the 0.63 at which the bundled recogniser errs equally often both ways."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a critic says of one drawing.

    score   drawings of one panel are compared by it, higher is better; infinite: nothing to judge
    faults  what is wrong, in a few words each; none: the panel stays as it is
    prompt  the panel's prompt as it would be better; "": its words are not the fault
    """

    score: float
    faults: tuple[str, ...] = ()
    prompt: str = ""


class Critic(Protocol):
    """The same drawing of the same panel has the same judgement."""

    @property
    def name(self) -> str:
        """Which critic it is, with all that decides its judgements."""
        ...

    @property
    def needs_scores(self) -> bool:
        """Whether it judges nothing without the scores of the server's recogniser."""
        ...

    def judge(
        self, board: Storyboard, number: int, png: bytes, scores: Mapping[str, float]
    ) -> Judgement:
        """png: panel `number` as it was drawn. scores: of the recogniser, -1 to 1, by character.

        Raises StoryboardError where there is no judgement.
        """
        ...


def version_seed(seed: int, version: int) -> int:
    """The seed of version `version` of a panel, counted from 0, which has the panel's own."""
    return (seed + version * SEED_STEP) % (MAX_SEED + 1)


def with_panel(board: Storyboard, number: int, prompt: str, seed: int) -> Storyboard:
    """The storyboard with another prompt and seed of one panel. Raises StoryboardError."""
    old = board.panels[number]
    if problems := prompt_problems(old, prompt):
        raise StoryboardError(problems)
    checked = Panel(prompt=prompt, seed=seed)
    panel = old.model_copy(update={"prompt": checked.prompt, "seed": checked.seed})
    panels = (*board.panels[:number], panel, *board.panels[number + 1 :])
    changed = board.model_copy(update={"panels": panels})
    if problems := storyboard_problems(changed):
        raise StoryboardError(problems)
    return changed


def prompt_problems(panel: Panel, prompt: str) -> list[str]:
    """A line where a prompt names others than the panel's own: the same people are to be in it."""
    names = mentioned(panel.prompt)
    if set(mentioned(prompt)) == set(names):
        return []
    wanted = ", ".join(f"{{{name}}}" for name in names)
    return [problem("prompt", prompt, f"a prompt that names {wanted or 'nobody'} in braces")]


def followers(board: Storyboard, number: int) -> list[int]:
    """The panels that begin with a panel as it was drawn."""
    return [other for other, panel in enumerate(board.panels) if number in board.sources(panel)]


def seeded(board: Storyboard, number: int) -> bool:
    """Whether some stage of a panel has the panel's seed, so that another one draws otherwise."""
    stages = board.effective_sampling(board.panels[number]).stages
    return any(stage.seed is None for stage in stages)


def own_words(board: Storyboard, number: int) -> bool:
    """Whether a panel's own prompt is that of all its stages."""
    stages = board.effective_sampling(board.panels[number]).stages
    return all(stage.prompt is None for stage in stages)


def unlike(board: Storyboard, number: int, scores: Mapping[str, float]) -> tuple[str, ...]:
    """Who does not look enough like their picture, a line for each."""
    own = board.panels[number].retry_below
    below = own if own is not None else board.retry_below
    below = BELOW if below is None else below
    return tuple(
        f"{name} is {score:g} like the picture, wanted {below:g}"
        for name, score in scores.items()
        if score < below
    )
