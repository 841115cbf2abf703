"""Shows a storyboard's progress in a terminal: a bar of steps and a line per panel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType

from rich import progress as rich_progress
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from lafi.wire.events import (
    Accepted,
    Event,
    Failed,
    PanelImage,
    Portrait,
    Preview,
    Progress,
)
from lafi_client.preview import preview


class DrawingProgress:
    """Shows the events of one storyboard on `console`; a context manager.

    `steps`: the steps of each stage, for each panel to draw. The bar counts the steps of all
    panels and portraits together, because many are drawn at once. If the console is no terminal,
    only lines for notes, finished stages and finished panels are printed.
    """

    def __init__(
        self,
        console: Console,
        title: str,
        steps: Mapping[int, Sequence[int]],
        previews: bool = False,
    ) -> None:
        self._console = console
        self._previews = previews
        self._panels = len(steps)
        self._arrived = 0
        self._stage = ""
        self._taken: dict[int | str, int] = {}
        self._steps: dict[int | str, dict[int, int]] = {
            number: dict(enumerate(stages, 1)) for number, stages in steps.items()
        }
        """The number of steps of each stage (counted from 1), for each picture."""
        self._bar = rich_progress.Progress(
            SpinnerColumn(),
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[panels]}"),
            MofNCompleteColumn(),
            TextColumn("steps"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task(
            escape(title), total=self._total(), panels=self._panel_count()
        )

    def __enter__(self) -> DrawingProgress:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def show(self, event: Event) -> None:
        """Show the next event."""
        match event:
            case Accepted():
                self._say(f"accepted: panels {event.panels}, portraits first {event.portraits}")
                for note in event.notes:
                    self._say(f"note: {note}")
            case Progress():
                self._advance(event)
            case Preview():
                self._picture(f"panel {event.panel}  stage {event.stage} is done", event.png)
            case Portrait():
                self._finish(f"portrait {event.character}")
                self._picture(f"portrait of {event.character}", event.png)
            case PanelImage():
                self._arrived += 1
                self._finish(event.panel)
                self._picture(_finished_line(event), event.png)
            case Failed(panel=int(number)):
                self._finish(number)
                self._say(f"panel {number} failed: {event.error}")
        self._update()

    def _advance(self, event: Progress) -> None:
        key = event.panel if event.panel is not None else f"portrait {event.character}"
        stages = self._steps.setdefault(key, {})
        stages[event.stage] = event.steps
        before = sum(steps for stage, steps in stages.items() if stage < event.stage)
        self._taken[key] = before + event.step
        self._stage = f", stage {event.stage}/{event.stages}" if event.stages > 1 else ""

    def _finish(self, key: int | str) -> None:
        if key in self._steps:
            self._taken[key] = sum(self._steps[key].values())

    def _picture(self, line: str, picture: bytes) -> None:
        self._say(line)
        if self._previews:
            try:
                self._console.print(preview(picture))
            except OSError:
                self._say("(the picture cannot be decoded)")

    def _say(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False)

    def _update(self) -> None:
        taken = sum(self._taken.values())
        self._bar.update(
            self._task, total=self._total(), completed=taken, panels=self._panel_count()
        )

    def _total(self) -> int:
        return sum(sum(stages.values()) for stages in self._steps.values())

    def _panel_count(self) -> str:
        return f"{self._arrived}/{self._panels} panels{self._stage}"


def _finished_line(event: PanelImage) -> str:
    scores = "".join(f"  {name} {score:.2f}" for name, score in event.scores.items())
    best = f"  best of {event.attempts}, seed {event.seed}" if event.attempts > 1 else ""
    flagged = f"  flagged: safety {event.safety_score:.2f}" if event.flagged else ""
    return f"panel {event.panel}  {event.seconds:.1f} s{scores}{best}{flagged}"
