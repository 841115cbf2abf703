"""What `lafi edit` and `lafi polish` do with a file. Both return an `Outcome` or raise."""

import difflib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console

from lafi.board.checks import storyboard_problems
from lafi.board.error import StoryboardError, problem
from lafi.board.file import read_text
from lafi.board.storyboard import Panel, Storyboard
from lafi_story.editing.changes import PanelChange, PanelEditor
from lafi_story.editing.kept_recurring import with_recurring
from lafi_story.editing.rules import RulePanelEditor
from lafi_story.editing.storyboard_text import with_changes
from lafi_story.llm.editing import LlmPanelEditor
from lafi_story.llm.options import LlmOptions
from lafi_story.step_folder import StepFolder
from lafi_story.steps import MAX_LINE
from lafi_story.vocabulary import Vocabulary, load_vocabulary

Load = Callable[[Path], Storyboard]
_BOM: Final = b"\xef\xbb\xbf"
_RULES: Final = LlmOptions()


@dataclass(frozen=True, slots=True)
class Work:
    """What both commands take.

    load: reads a storyboard's file, with recipes and all; it may raise StoryboardError.
    """

    load: Load
    vocabulary: Path | None = None
    llm: LlmOptions = _RULES
    dry_run: bool = False


def edit(path: Path, number: int, wish: str, work: Work) -> bool:
    """Change one panel of a file, counted from 0, as a wish in words has it.

    Shows the file's lines before and after on standard output; with `dry_run` the file stays.
    Returns whether the panel is another one. Raises StoryboardError with the file as it was.
    """
    board = work.load(path)
    last = len(board.panels) - 1
    if not 0 <= number <= last:
        raise StoryboardError([problem("the panel", number, f"0 to {last}")])
    if not wish.strip() or len(wish) > MAX_LINE:
        allowed = f"what is to be another one, in 1 to {MAX_LINE} characters"
        raise StoryboardError([problem("the wish", wish, allowed)])
    words = load_vocabulary(work.vocabulary)
    with _editor(work, words) as editor:
        change = with_recurring(board, editor.edit(board, number, wish), words)
    done = _write(path, board, [change], work)
    if not done:
        _say(f"panel {number} is like that already; nothing is changed")
    return bool(done)


def polish(path: Path, work: Work, numbers: Sequence[int] | None = None) -> list[int]:
    """Rewrite the prompts of a file's panels, all or those of these numbers, as `edit` does.

    Each change is a line on standard error, with what was left out. Returns the panels changed.
    """
    board = work.load(path)
    last = len(board.panels) - 1
    wanted = range(last + 1) if numbers is None else sorted(set(numbers))
    for number in wanted:
        if not 0 <= number <= last:
            raise StoryboardError([problem("--panel", number, f"0 to {last}")])
    words = load_vocabulary(work.vocabulary)
    with _editor(work, words) as editor:
        changes = [with_recurring(board, editor.polish(board, n), words) for n in wanted]
    done = _write(path, board, changes, work)
    _say(f"{len(done)} of {len(changes)} prompts {'would be' if work.dry_run else 'are'} rewritten")
    return done


def adopt(path: Path, board: Storyboard, shown: Storyboard, work: Work) -> list[int]:
    """Put prompts and seeds of the drawings that a critic chose into a file, as `edit` does.

    board: of the file. shown: with what was chosen. Returns the panels changed.
    """
    pairs = enumerate(zip(board.panels, shown.panels, strict=True))
    changes = [
        PanelChange(number, new.prompt, seed=new.seed if new.seed != old.seed else None)
        for number, (old, new) in pairs
        if (old.prompt, old.seed) != (new.prompt, new.seed)
    ]
    done = _write(path, board, changes, work)
    _say(f"{len(done)} panels {'would be' if work.dry_run else 'are'} as the critic has them")
    return done


def _write(path: Path, board: Storyboard, changes: Sequence[PanelChange], work: Work) -> list[int]:
    _check(board, changes)
    for note in (note for change in changes for note in change.notes):
        _say(f"note: {note}")
    real = [change for change in changes if change.changes(board.panels[change.number])]
    for change in real:
        old = board.panels[change.number]
        if change.seed is not None:
            _say(f"panel {change.number}: seed {old.seed} -> {change.seed}")
        if change.prompt != old.prompt:
            _say(f"panel {change.number}: {old.prompt!r} -> {change.prompt!r}")
        if change.prompt != old.prompt and old.control:
            kinds = ", ".join(control.kind for control in old.control)
            _say(f"note: panel {change.number}: its control ({kinds}) stays as it was")
        for place, stage in enumerate(board.effective_sampling(old).stages):
            if stage.prompt is not None:
                _say(f"note: panel {change.number}: stage {place} has its own prompt, unchanged")
    if not real:
        return []
    before = read_text(path, "a storyboard file")
    after = with_changes(before, real)
    for line in _difference(before, after, path.name):
        print(line)
    if not work.dry_run:
        _replace(path, after)
    return [change.number for change in real]


def _check(board: Storyboard, changes: Sequence[PanelChange]) -> None:
    """Raises StoryboardError for a storyboard that would be none."""
    panels = list(board.panels)
    for change in changes:
        panels[change.number] = _changed(panels[change.number], change)
    if problems := list(storyboard_problems(board.model_copy(update={"panels": tuple(panels)}))):
        raise StoryboardError(problems)


def _changed(panel: Panel, change: PanelChange) -> Panel:
    new = Panel(prompt=change.prompt)
    listed = change.characters
    if listed is None:
        own = "characters" in panel.model_fields_set
        listed = panel.characters if own else new.characters
    regions = panel.regions if change.regions is None else dict(change.regions)
    seed = panel.seed if change.seed is None else change.seed
    update = {"prompt": new.prompt, "characters": listed, "regions": regions, "seed": seed}
    return panel.model_copy(update=update)


def _replace(path: Path, text: str) -> None:
    """Raises StoryboardError where it cannot be written, or was changed meanwhile."""
    raw = path.read_bytes()
    StepFolder.write(path, (_BOM if raw.startswith(_BOM) else b"") + text.encode())


def _difference(before: str, after: str, name: str) -> Iterator[str]:
    old, new = before.splitlines(), after.splitlines()
    yield from difflib.unified_diff(old, new, name, name, n=1, lineterm="")


@contextmanager
def _editor(work: Work, words: Vocabulary) -> Iterator[PanelEditor]:
    if not work.llm.wanted:
        yield RulePanelEditor(words)
        return
    with work.llm.asker(None) as asker:
        try:
            yield LlmPanelEditor(asker, words)
        finally:
            _say(asker.usage.line(work.llm.prices()))


def _console() -> Console:
    return Console(stderr=True, soft_wrap=True, highlight=False, markup=False)


def _say(text: str) -> None:
    _console().print(text)
