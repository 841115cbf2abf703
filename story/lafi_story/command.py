"""What `lafi story` does. Returns the process's exit code."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from lafi.board.error import StoryboardError
from lafi_story.llm.options import LlmOptions
from lafi_story.llm.planner import LlmPlanner
from lafi_story.llm.question import LlmError
from lafi_story.notes import show_notes
from lafi_story.plan import Plan
from lafi_story.planner import Planner
from lafi_story.protected import ProtectedNames, load_protected
from lafi_story.reading import MAX_TEXT
from lafi_story.rules import RulePlanner
from lafi_story.step_folder import StepFolder
from lafi_story.telling import Told, tell
from lafi_story.vocabulary import Vocabulary, load_vocabulary

STANDARD: Final = "-"
_BYTES: Final = 4 * MAX_TEXT
_USUAL: Final = Plan()


def story(
    novel: str,
    out: str,
    plan: Plan = _USUAL,
    *,
    steps: Path | None = None,
    overwrite: bool = False,
) -> int:
    """Plan a storyboard of a text file and write it. "-": standard input or output.

    steps: the folder of the steps; None: beside `out`. overwrite: even what was changed by hand.

    0: written; 1: refused, with a line for each problem on standard error.
    """
    console = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
    kept: Path | None = None
    try:
        words = load_vocabulary(plan.vocabulary)
        names = ProtectedNames() if plan.protected is None else load_protected(plan.protected)
        data = _read(novel)
        target = None if out == STANDARD else Path(out)
        if target is not None and not target.name:
            raise StoryboardError([f"--out: got {out!r}, allowed: a file's name, or -"])
        kept = steps or (target.with_suffix(".steps") if target is not None else None)
        folder = StepFolder(kept) if kept is not None else None
        if target is not None and folder is not None and not overwrite and folder.edited(target):
            allowed = "a new file, or --overwrite: it is not as `lafi story` wrote it"
            raise StoryboardError([f"--out: got {target}, allowed: {allowed}"])
        name = plan.title or ("" if novel == STANDARD else Path(novel).stem)
        with _planner(words, plan.llm, kept, console) as planner, _Bar(console) as bar:
            told = tell(
                data,
                planner,
                words,
                title=name,
                encoding=plan.encoding,
                panels=plan.panels,
                folder=folder,
                report=bar.report,
                protected=names,
                places=plan.places,
                props=plan.props,
                poses=plan.poses,
            )
        _write(told.to_yaml(), target, folder)
    except StoryboardError as error:
        for line in error.problems:
            console.print(f"error: {line}")
        if isinstance(error, LlmError) and kept is not None:
            console.print(f"what is done is kept in {kept}: the same command goes on from there")
        return 1
    _say(told, out, kept, console)
    return 0


def _write(text: str, target: Path | None, folder: StepFolder | None) -> None:
    """target None: to standard output."""
    if target is None:
        sys.stdout.buffer.write(text.encode())
        sys.stdout.flush()
    elif folder is not None:
        folder.wrote(target, text)


def was_edited(storyboard: Path, steps: Path) -> bool:
    """Whether a storyboard is there that is not as `story` wrote it. Raises StoryboardError."""
    return storyboard.exists() and StepFolder(steps).edited(storyboard)


@contextmanager
def _planner(
    words: Vocabulary, llm: LlmOptions, steps: Path | None, console: Console
) -> Iterator[Planner]:
    """What a language model was asked for is said at the end, also of a run that fails."""
    if not llm.wanted:
        yield RulePlanner(words)
        return
    with llm.asker(steps) as asker:
        try:
            yield LlmPlanner(asker, words)
        finally:
            console.print(asker.usage.line(llm.prices()))


def _say(told: Told, out: str, kept: Path | None, console: Console) -> None:
    show_notes(told.notes, console)
    count, names = len(told.storyboard.panels), [c.name for c in told.storyboard.characters]
    where = f"; its steps, to edit and run again, are in {kept}" if kept is not None else ""
    console.print(f"{out}: {count} panels, characters: {', '.join(names) or 'none'}{where}")


def _read(novel: str) -> bytes:
    """Raises StoryboardError."""
    try:
        if novel == STANDARD:
            data = sys.stdin.buffer.read(_BYTES + 1)
        else:
            with Path(novel).open("rb") as stream:
                data = stream.read(_BYTES + 1)
    except OSError as error:
        reason = error.strerror or str(error)
        raise StoryboardError([f"got {novel}, allowed: a text file ({reason})"]) from None
    if len(data) > _BYTES:
        raise StoryboardError([f"{novel}: got more than {_BYTES} bytes, allowed: at most that"])
    return data


class _Bar:
    """A line for each step, only where a person looks at it."""

    def __init__(self, console: Console) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
        self._progress = Progress(*columns, console=console, disable=not console.is_terminal)
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> "_Bar":
        self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._progress.stop()

    def report(self, step: str, done: int, whole: int) -> None:
        """As `Report`."""
        if step not in self._tasks:
            self._tasks[step] = self._progress.add_task(step, total=whole)
        self._progress.update(self._tasks[step], completed=done)
