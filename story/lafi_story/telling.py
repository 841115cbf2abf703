"""Text of a novel to a storyboard: the steps in their order, each kept and taken up again."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from lafi.board.checked_model import CheckedModel
from lafi.board.error import StoryboardError, problem
from lafi.board.storyboard import Storyboard
from lafi_story.places import find_places, with_places
from lafi_story.planner import Planner, Report, silent
from lafi_story.poses import check_control, with_poses
from lafi_story.prompts import TokenCount, fuse, token_counter
from lafi_story.props import find_props, with_props
from lafi_story.protected import ProtectedNames
from lafi_story.reading import joined, outline_of, read_novel
from lafi_story.recurring import not_drawn
from lafi_story.step_folder import StepFolder, digest
from lafi_story.steps import Cast, Outline, Places, Props, Scenes, Script
from lafi_story.vocabulary import Vocabulary
from lafi_story.yaml_text import to_yaml

_NONE = ProtectedNames()
_Step = TypeVar("_Step", bound=CheckedModel)
HEADER = "# Made by `lafi story`. Who says what, and why, is in the steps beside it.\n"


@dataclass(frozen=True, slots=True)
class Told:
    """The storyboard, the steps behind it, and what is not as one may expect."""

    storyboard: Storyboard
    outline: Outline
    scenes: Scenes
    cast: Cast
    script: Script
    notes: Sequence[str]

    def to_yaml(self) -> str:
        """The storyboard's file."""
        data = self.storyboard.model_dump(mode="json", exclude_unset=True, by_alias=True)
        return HEADER + to_yaml(data)


def tell(
    data: bytes,
    planner: Planner,
    vocabulary: Vocabulary,
    *,
    title: str = "",
    encoding: str = "",
    panels: int = 0,
    folder: StepFolder | None = None,
    report: Report = silent,
    protected: ProtectedNames = _NONE,
    places: bool | None = None,
    props: bool | None = None,
    poses: str | None = None,
) -> Told:
    """The storyboard of a novel.

    panels: the most of them, 0: as many as the text has passages, up to 24. folder: where the
    steps are kept and read from; None: nowhere. protected: names that are refused, or replaced
    before anybody plans; `text.txt` keeps the text as it was. places, props: whether those that
    several panels show are drawn once, for all of them; None: where the vocabulary's model can.
    poses: the control that gets a pose for each figure; "": none; None: the vocabulary's, if any.

    Raises StoryboardError for a text that cannot be read or has a refused name, for edited steps
    that are wrong, and ModuleNotFoundError without the extra `story`.
    """
    if control := vocabulary.pose_control if poses is None else poses:
        check_control(control)
    count = token_counter(vocabulary)
    outline, renamed = protected.applied(_outline(data, title, encoding, folder))
    source = digest(joined(outline.paragraphs), to_yaml(outline.model_dump()), planner.identity)
    (scenes, cast, script), source = _planned(outline, planner, panels, folder, report, source)
    board, left_out = fuse(outline, cast, script, vocabulary, count)
    written = _Written(board, cast, script, vocabulary, count)
    board, recurring = _with_recurring(written, _Wanted(places, props), folder, source)
    left_out = (*left_out, *recurring)
    if control:
        board, without = with_poses(board, script, vocabulary, control)
        left_out = (*left_out, *without)
    protected.check_board(board)
    kept = folder.notes if folder is not None else []
    notes = (*outline.notes, *renamed, *kept, *scenes.notes, *cast.notes, *script.notes, *left_out)
    return Told(board, outline, scenes, cast, script, notes)


def _planned(
    outline: Outline,
    planner: Planner,
    panels: int,
    folder: StepFolder | None,
    report: Report,
    source: str,
) -> tuple[tuple[Scenes, Cast, Script], str]:
    """Each step from the file where it is kept, or made and kept there.

    source: the digest of what they come from; returned: of what comes after them. Raises
    StoryboardError for edited scenes that are none.
    """
    scenes = _step(folder, "scenes.yaml", Scenes, source, lambda: planner.scenes(outline, report))
    _check_scenes(scenes, outline)
    source = digest(source, scenes.model_dump_json())
    cast = _step(
        folder,
        "characters.yaml",
        Cast,
        source,
        lambda: planner.characters(outline, scenes, report),
    )
    source = digest(source, cast.model_dump_json(), str(panels))
    script = _step(
        folder,
        "panels.yaml",
        Script,
        source,
        lambda: planner.panels(outline, scenes, cast, panels, report),
    )
    return (scenes, cast, script), digest(source, script.model_dump_json())


class _Written(NamedTuple):
    """A storyboard without places and props, and what it was made of."""

    board: Storyboard
    cast: Cast
    script: Script
    vocabulary: Vocabulary
    count: TokenCount


class _Wanted(NamedTuple):
    """What is drawn once for several panels, as of `tell`; None: as the vocabulary has it."""

    places: bool | None
    props: bool | None


def _with_recurring(
    written: _Written, wanted: _Wanted, folder: StepFolder | None, source: str
) -> tuple[Storyboard, tuple[str, ...]]:
    """The storyboard with places and props as characters, and notes."""
    board, cast, script, vocabulary, count = written
    usual = vocabulary.empty_scenes
    notes: list[str] = []
    places = Places()
    if usual if wanted.places is None else wanted.places:
        places = _step(folder, "places.yaml", Places, source, lambda: find_places(cast, script))
        board, unread = with_places(board, script, places, vocabulary, count)
        notes += [*places.notes, *unread]
    elif wanted.places is None:
        notes += not_drawn("place", find_places(cast, script).places)
    if usual if wanted.props is None else wanted.props:
        source = digest(source, places.model_dump_json())
        props = _step(folder, "props.yaml", Props, source, lambda: find_props(cast, script, places))
        board, unread = with_props(board, script, props, vocabulary, count)
        notes += [*props.notes, *unread]
    elif wanted.props is None:
        notes += not_drawn("prop", find_props(cast, script, places).props)
    return board, tuple(notes)


def _step(
    folder: StepFolder | None, name: str, of: type[_Step], source: str, make: Callable[[], _Step]
) -> _Step:
    return make() if folder is None else folder.step(name, of, source, make)


def _outline(data: bytes, title: str, encoding: str, folder: StepFolder | None) -> Outline:
    if folder is None:
        return read_novel(data, title, encoding)
    source = digest(data, title, encoding)
    first: list[Outline] = []

    def read() -> Outline:
        if not first:
            first.append(read_novel(data, title, encoding))
        return first[0]

    text = folder.text("text.txt", source, lambda: joined(read().paragraphs))
    again = outline_of(text, title)
    source = digest(source, text)
    kept = folder.step("outline.yaml", Outline, source, lambda: first[0] if first else again)
    return kept.model_copy(update={"paragraphs": again.paragraphs})


def _check_scenes(scenes: Scenes, outline: Outline) -> None:
    """Raises StoryboardError unless edited scenes hold every paragraph once, in order."""
    at = 0
    for number, scene in enumerate(scenes.scenes):
        if scene.first != at:
            field = f"scenes.yaml: scenes[{number}].first"
            raise StoryboardError([problem(field, scene.first, f"{at}, after the scene before")])
        at = scene.last + 1
    if at != len(outline.paragraphs):
        field = f"scenes.yaml: scenes[{len(scenes.scenes) - 1}].last"
        allowed = f"{len(outline.paragraphs) - 1}, the last paragraph"
        raise StoryboardError([problem(field, at - 1, allowed)])
