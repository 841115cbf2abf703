"""Reads what pages are made of: the pictures of a drawing, and the steps of its story."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from PIL import Image

from lafi.board.checked_model import CheckedModel
from lafi.board.error import StoryboardError, Verbatim, problem
from lafi.board.file import parse, read_text
from lafi.board.limits import MAX_PANELS
from lafi.board.storyboard import Storyboard, load_storyboard
from lafi_story.steps import Cast, Language, Outline, Script

Step = TypeVar("Step", bound=CheckedModel)
_PICTURE: Final = re.compile(r"panel_(\d{2,})\.png")
_MOST_PIXELS: Final = 8192 * 8192


@dataclass(frozen=True, slots=True)
class DrawnPanel:
    """The picture of a panel, and its size in pixels."""

    path: Path
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Source:
    """All that is known of a comic. script, storyboard: None where there is none.

    names: a character's name in the steps -> as the text calls it.
    """

    panels: tuple[DrawnPanel, ...]
    title: str = ""
    language: Language = "en"
    script: Script | None = None
    storyboard: Storyboard | None = None
    names: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def read_source(drawing: Path, story: Path | None) -> Source:
    """A folder of `lafi draw`, and `story.yaml` or its folder of steps.

    Either stands for both: the other lies beside it. Raises StoryboardError.
    """
    board_file, steps = _found(story)
    board = load_storyboard(board_file) if board_file else None
    script = _step(steps, "panels.yaml", Script) if steps else None
    panels = _drawn(drawing, len(script.panels) if script else len(board.panels) if board else None)
    if script is None:
        without = "no story was given" if story is None else f"{story} has no steps beside it"
        note = f"the pages have no text: {without} (--story: story.yaml, or its folder of steps)"
        return Source(panels, board.title if board else "", "en", None, board, {}, (note,))
    assert steps is not None
    notes = [] if board else ["no story.yaml beside the steps: figures are taken to stand in order"]
    outline = _optional(steps, "outline.yaml", Outline)
    cast = _optional(steps, "characters.yaml", Cast)
    if outline is None:
        notes.append("no outline.yaml beside panels.yaml: the text is taken for English")
    if board is not None and len(board.panels) != len(script.panels):
        got, wanted = len(board.panels), f"{len(script.panels)}, as panels.yaml has"
        raise StoryboardError([problem(f"{board_file}: panels", got, wanted)])
    return Source(
        panels,
        (outline.title if outline else "") or (board.title if board else ""),
        outline.language if outline else "en",
        script,
        board,
        {person.name: person.aliases[0] for person in cast.characters} if cast else {},
        tuple(notes),
    )


def _found(story: Path | None) -> tuple[Path | None, Path | None]:
    """The storyboard's file and the folder of steps, as far as they are there."""
    if story is None:
        return None, None
    if story.is_dir():
        beside = story.with_suffix(".yaml")
        return (beside if beside.is_file() else None), story
    steps = story.with_suffix(".steps")
    return story, (steps if (steps / "panels.yaml").is_file() else None)


def _optional(folder: Path, name: str, kind: type[Step]) -> Step | None:
    return _step(folder, name, kind) if (folder / name).is_file() else None


def _step(folder: Path, name: str, kind: type[Step]) -> Step:
    data: Any = parse(read_text(folder / name, "a file of steps"))
    try:
        return kind.model_validate({} if data is None else data)
    except StoryboardError as error:
        raise StoryboardError([f"{name}: {line}" for line in error.problems]) from None


def _drawn(drawing: Path, count: int | None) -> tuple[DrawnPanel, ...]:
    """The pictures by number. count: how many there must be; None: as many as there are."""
    try:
        names = sorted(path.name for path in drawing.iterdir())
    except OSError as error:
        allowed = f"a folder that `lafi draw` wrote ({error.strerror or error})"
        raise StoryboardError([problem("", Verbatim(drawing), allowed)]) from None
    numbers = {int(match[1]): name for name in names if (match := _PICTURE.fullmatch(name))}
    if not numbers:
        allowed = "a folder with panel_00.png and so on, as `lafi draw` names them without --name"
        raise StoryboardError([problem("", Verbatim(drawing), allowed)])
    wanted = max(numbers) + 1 if count is None else count
    if wanted > MAX_PANELS:
        raise StoryboardError([problem("panels", wanted, f"at most {MAX_PANELS}")])
    missing = [number for number in range(wanted) if number not in numbers]
    if missing or max(numbers) >= wanted:
        got = Verbatim(f"pictures {', '.join(map(str, sorted(numbers)))}")
        raise StoryboardError(
            [problem(str(drawing), got, f"one for each panel, 0 to {wanted - 1}")]
        )
    return tuple(_picture(drawing / numbers[number]) for number in range(wanted))


def _picture(path: Path) -> DrawnPanel:
    try:
        with Image.open(path, formats=["PNG"]) as image:
            if image.width * image.height > _MOST_PIXELS:
                raise ValueError("too many pixels")
            image.load()
            return DrawnPanel(path, image.width, image.height)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise StoryboardError([problem("", Verbatim(path), f"a PNG picture ({error})")]) from None
