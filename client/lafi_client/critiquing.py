"""Drawn panels judged by a critic, and drawn again where it finds fault; the better drawing stays.

Whoever judges is a `Critic`; a panel is never worse, to the same critic, than it was before.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Final

from rich.console import Console

from lafi.board.critique import (
    MAX_VERSIONS,
    Critic,
    Judgement,
    followers,
    own_words,
    seeded,
    version_seed,
    with_panel,
)
from lafi.board.error import StoryboardError, problem
from lafi.board.storyboard import Storyboard
from lafi.wire.events import Failed, PanelImage
from lafi_client.client import StoryboardClient
from lafi_client.critique_log import CritiqueLog, PanelLog, Version, version_file
from lafi_client.drawing_folder import DrawingFolder, panel_settings, sha256_of
from lafi_client.errors import StoryboardRefused
from lafi_client.progress import DrawingProgress

_MOST_SILENT: Final = 3
"""Panels in a row without a judgement, after which a critic is asked no more."""


@dataclass(frozen=True, slots=True)
class Critique:
    """Who judges, and how often a panel may be drawn.

    candidates  drawings of each panel with different seeds, of which the critic's choice stays
    changes     further drawings of a panel, at most, each for a fault that the critic finds
    """

    critic: Critic
    candidates: int = 1
    changes: int = 1

    def __post_init__(self) -> None:
        most = MAX_VERSIONS - self.candidates
        problems = []
        if not 1 <= self.candidates <= MAX_VERSIONS:
            problems.append(problem("--candidates", self.candidates, f"1 to {MAX_VERSIONS}"))
        elif not 0 <= self.changes <= most:
            allowed = f"0 to {most}, so that a panel is drawn {MAX_VERSIONS} times at most"
            problems.append(problem("--changes", self.changes, allowed))
        if problems:
            raise StoryboardError(problems)

    @property
    def key(self) -> str:
        """What a panel is settled by."""
        return f"{self.critic.name}; {self.candidates} candidates, {self.changes} changes"


@dataclass(frozen=True, slots=True)
class _Plan:
    """The next drawing of a panel. before: the version that it is a change of."""

    prompt: str
    seed: int
    reasons: tuple[str, ...]
    before: int


class CriticIsSilent(Exception):
    """The critic gave no judgement of several panels in a row."""


class Critiquing:
    """The critique of one folder of panels; `board` and `folder` are what is shown so far."""

    def __init__(
        self,
        client: StoryboardClient,
        asked: Storyboard,
        folder: DrawingFolder,
        critique: Critique,
        log: CritiqueLog,
        console: Console,
    ) -> None:
        """asked: as it was written; log: what was judged before, see `CritiqueLog.shown`."""
        self.board = log.shown(asked)
        self.folder = folder
        self.unjudged: set[int] = set()
        self._client, self._asked, self._log = client, asked, log
        self._critique, self._console = critique, console
        self._judged: dict[int, Judgement] = {}
        self._tried: Counter[int] = Counter()
        self._silent = 0

    def run(self, numbers: Sequence[int]) -> None:
        """Judge panels and draw again what the critic finds fault with.

        What is better is in the folder at once, so that nothing is lost if this ends early. Raises
        the errors of `StoryboardClient.events`, but for a refusal, which is said.
        """
        try:
            for number in numbers:
                self._begin(number)
            for place in range(1, self._critique.candidates):
                told = f"candidate {place + 1} of {self._critique.candidates}"
                self._round(told, self._candidates(told))
            for place in range(self._critique.changes):
                self._round(f"change {place + 1} of {self._critique.changes}", self._changes())
        except CriticIsSilent:
            self._say(f"{self._critique.critic.name} is asked no more: no panel changes from here")
            self.unjudged.update(n for n in numbers if n not in self._judged)
            self._log.write(self._critique.critic.name)
            return
        for number in self._judged:
            log = self._log.panels[number]
            log.settled = self._critique.key
            log.sha256 = sha256_of(self.folder.panel(number) or b"")
        self._log.write(self._critique.critic.name)
        self._summary()

    def _begin(self, number: int) -> None:
        """Judge a panel as it is, unless nothing is left to try."""
        picture, record = self.folder.panel(number), self.folder.record(number)
        if picture is None or record is None or not self.folder.current(number):
            return
        if self._log.settled(number, picture, self._critique.key):
            return
        judgement = self._judgement(self.board, number, picture, record.scores)
        if judgement is None:
            return
        panel = self.board.panels[number]
        seed, address = panel.seed, record.address
        first = _version(version_file(number, 0), panel.prompt, seed, judgement, address=address)
        self.folder.write(first.file, picture)
        self._log.panels[number] = PanelLog(panel_settings(self._asked, number), [first])
        self._judged[number] = judgement

    def _candidates(self, told: str) -> Iterator[tuple[int, _Plan]]:
        for number in self._judged:
            kept = self._log.panels[number].shown
            if kept.score is not None and self._may_change(number, ""):
                yield number, self._plan(number, "", (told,))

    def _changes(self) -> Iterator[tuple[int, _Plan]]:
        for number, judgement in self._judged.items():
            if not judgement.faults:
                continue
            prompt = judgement.prompt if own_words(self.board, number) else ""
            if judgement.prompt and not prompt:
                self._say(f"panel {number}: its stages have prompts of their own, which stay")
            if self._may_change(number, prompt):
                yield number, self._plan(number, prompt, judgement.faults)

    def _may_change(self, number: int, prompt: str) -> bool:
        """Whether there is another version of a panel; says why there is none."""
        if later := followers(self.board, number):
            said = ", ".join(map(str, later))
            self._say(f"panel {number} stays as it is: panels that begin with it: {said}")
            return False
        same = prompt in ("", self.board.panels[number].prompt)
        if same and not seeded(self.board, number):
            self._say(f"panel {number} stays as it is: its stages have seeds of their own")
            return False
        return True

    def _plan(self, number: int, prompt: str, reasons: tuple[str, ...]) -> _Plan:
        log = self._log.panels[number]
        self._tried[number] += 1  # one that fails, or is not judged, counts too
        seed = version_seed(self._asked.panels[number].seed, self._tried[number])
        return _Plan(prompt or log.shown.prompt, seed, reasons, log.kept)

    def _round(self, told: str, planned: Iterator[tuple[int, _Plan]]) -> None:
        """Draw the next version of some panels in one storyboard, and keep what is better."""
        plans = dict(planned)
        if not plans:
            return
        try:
            self._draw(told, plans)
        except (StoryboardRefused, StoryboardError) as error:
            if len(plans) == 1:
                number = next(iter(plans))
                self._say(f"panel {number} stays as it is: its {told} is refused: {error}")
                return
            for number, plan in plans.items():
                self._round(told, iter([(number, plan)]))

    def _draw(self, told: str, plans: Mapping[int, _Plan]) -> None:
        board = self.board
        for number, plan in plans.items():
            board = with_panel(board, number, plan.prompt, plan.seed)
        steps = {
            number: [stage.steps for stage in board.effective_sampling(board.panels[number]).stages]
            for number in plans
        }
        with (
            DrawingProgress(self._console, told, steps, False) as progress,
            closing(self._client.events(board, only=list(plans))) as events,
        ):
            for event in events:
                progress.show(event)
                if isinstance(event, PanelImage):
                    self._take(board, event, plans[event.panel], told)
                elif isinstance(event, Failed) and event.panel is not None:
                    self._say(f"panel {event.panel} stays as it is: its {told} failed")

    def _take(self, board: Storyboard, image: PanelImage, plan: _Plan, told: str) -> None:
        """Judge a new version, and keep it where it is better."""
        number, log = image.panel, self._log.panels[image.panel]
        judgement = self._judgement(board, number, image.png, image.scores)
        if judgement is None:
            return
        new = _version(
            version_file(number, len(log.versions)),
            plan.prompt,
            plan.seed,
            judgement,
            plan,
            image.address,
        )
        old = log.shown
        self.folder.write(new.file, self.folder.signed(new.file, image.png))
        log.versions.append(new)
        better = new.level > old.level
        if better:
            log.kept = len(log.versions) - 1
            self.board = with_panel(self.board, number, plan.prompt, plan.seed)
            self.folder = self.folder.of(self.board)
            self._judged[number] = judgement
        self._log.write(self._critique.critic.name)
        if better:
            self.folder.save_panel(image)
        why = "; ".join(plan.reasons)
        words = f", prompt {old.prompt!r} -> {new.prompt!r}" if new.prompt != old.prompt else ""
        stays = "the new one stays" if better else "the one before stays"
        told = told if plan.reasons == (told,) else f"{told} ({why})"
        self._say(f"panel {number}, {told}{words}: {_shown(old)} -> {_shown(new)}, {stays}")

    def _judgement(
        self, board: Storyboard, number: int, png: bytes, scores: Mapping[str, float]
    ) -> Judgement | None:
        """None: there is none, and that is said. Raises CriticIsSilent after several in a row."""
        try:
            found = self._critique.critic.judge(board, number, png, scores)
        except StoryboardError as error:
            self.unjudged.add(number)
            self._say(f"panel {number}: not judged: {error}")
            self._silent += 1
            if self._silent >= _MOST_SILENT:
                raise CriticIsSilent from None
            return None
        self._silent = 0
        return found

    def _summary(self) -> None:
        """How many were judged and drawn again, and of whom there is nothing to judge."""
        logs = {number: self._log.panels[number] for number in self._judged}
        again = sum(len(log.versions) > 1 for log in logs.values())
        better = sum(log.kept > 0 for log in logs.values())
        name = self._critique.critic.name
        text = f"{name}: {len(logs)} panels judged, {again} drawn again, {better} of them better"
        if empty := [str(number) for number, log in logs.items() if log.shown.score is None]:
            text += f"; nothing to judge in {', '.join(empty)}"
        self._say(text)

    def _say(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)


def _version(
    file: str,
    prompt: str,
    seed: int,
    judgement: Judgement,
    plan: _Plan | None = None,
    address: str = "",
) -> Version:
    return Version(
        file=file,
        prompt=prompt,
        seed=seed,
        score=None if math.isinf(judgement.score) else round(judgement.score, 4),
        faults=judgement.faults,
        reasons=() if plan is None else plan.reasons,
        before=None if plan is None else plan.before,
        address=address,
    )


def _shown(version: Version) -> str:
    return "nothing to judge" if version.score is None else f"{version.score:g}"
