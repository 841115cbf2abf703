"""The texts of a panel: its narration as a caption, its lines as speech, in reading order."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from lafi.board.error import StoryboardError
from lafi.board.limits import folded
from lafi_story.pages.line_breaks import SetText
from lafi_story.pages.source import Source
from lafi_story.pages.typeface import Typeface, lacking, typeface_for
from lafi_story.quotes import quotes_of
from lafi_story.steps import Line, PanelScript

Captions = Literal["sentence", "none"]
MOST_SIGNS: Final = 600
"""Of a text on a page."""
_STOPS: Final = {",": ".", "，": "。"}
_JOINT: Final = {"en": " ", "zh": ""}
_BALLOON: Final = {"en": 120, "zh": 45}
"""Signs up to which what one person says in one go stands in one balloon."""
_COLON: Final = {"en": ": ", "zh": "："}


@dataclass(frozen=True, slots=True)
class Letters:
    """One text. field: its place in panels.yaml, for messages.

    speaker: as the text calls them; "": a caption, or nobody knows. stands: the part of the picture
    where the speaker stands, from 0 to 1; None: not in it.
    """

    kind: Literal["speech", "caption"]
    field: str
    shown: SetText
    speaker: str = ""
    stands: tuple[float, float] | None = None


def letters_of(
    source: Source, typefaces: Sequence[Typeface], captions: Captions
) -> tuple[list[tuple[Letters, ...]], list[str]]:
    """The texts of each panel, and what is to be said about them.

    Raises StoryboardError for texts that are too long and for signs that no font has.
    """
    if source.script is None:
        return [() for _ in source.panels], []
    tailless: list[str] = []
    problems: list[str] = []
    found = []
    for number, panel in enumerate(source.script.panels):
        texts = list(_texts(source, number, panel, captions))
        letters = []
        for one in texts:
            signs = one.text if one.kind == "caption" else _quoted(one.text, one.speaker, source)
            face = typeface_for(signs, typefaces)
            if len(one.text) > MOST_SIGNS:
                got = f"{len(one.text)} characters"
                problems.append(f"{one.field}: got {got}, allowed: at most {MOST_SIGNS} on a page")
            elif face is None:
                problems.append(lacking(one.field, signs, typefaces))
            else:
                shown = SetText(one.text, face, source.language)
                letters.append(Letters(one.kind, one.field, shown, one.speaker, one.stands))
            if one.kind == "speech" and one.stands is None:
                tailless.append(f"{one.field} ({one.speaker or 'not known'})")
        found.append(tuple(letters))
    if problems:
        raise StoryboardError(problems)
    if not tailless:
        return found, []
    return found, [f"no tail, as the speaker is not in the picture: {', '.join(tailless)}"]


@dataclass(frozen=True, slots=True)
class _Text:
    kind: Literal["speech", "caption"]
    field: str
    text: str
    speaker: str = ""
    stands: tuple[float, float] | None = None


def _texts(source: Source, number: int, panel: PanelScript, captions: Captions) -> list[_Text]:
    field = f"panels.yaml: panels[{number}]"
    found = []
    if captions == "sentence" and panel.sentence.strip() and not quotes_of(panel.sentence):
        found.append(_Text("caption", f"{field}.sentence", panel.sentence))
    places = places_of(source, number)
    before: Line | None = None
    for at, line in enumerate(panel.lines):
        text = _ended(line, panel.lines[at + 1 : at + 2])
        if not text:
            continue
        joint = _JOINT[source.language]
        if before is not None and _goes_on(before, line):
            whole = found[-1].text + joint + text
            if len(whole) <= _BALLOON[source.language]:
                found[-1] = replace(found[-1], text=whole)
                continue
        name = folded(line.speaker)
        speaker, stands = source.names.get(name, line.speaker), places.get(name)
        found.append(_Text("speech", f"{field}.lines[{at}].text", text, speaker, stands))
        before = line
    return found


def _goes_on(before: Line, line: Line) -> bool:
    """Whether both are one speech with `said Mia` between: `“Look,” said Mia, “over there!”`."""
    return bool(line.speaker) and (before.speaker, before.paragraph) == (
        line.speaker,
        line.paragraph,
    )


def _ended(line: Line, following: Sequence[Line]) -> str:
    """What is said. A comma before `said Mia` becomes a full stop, unless the sentence goes on."""
    text = line.text.strip()
    goes_on = any(
        (other.speaker, other.paragraph) == (line.speaker, line.paragraph)
        and other.text.strip()
        and not other.text.strip()[0].isupper()
        for other in following
    )
    return text if goes_on or text[-1:] not in _STOPS else text[:-1] + _STOPS[text[-1]]


def places_of(source: Source, number: int) -> dict[str, tuple[float, float]]:
    """Where each figure of a panel stands, from the left border to the right one, 0 to 1.

    The storyboard's regions, else side by side in the order of panels.yaml.
    """
    board = source.storyboard
    if board is not None:
        panel = board.panels[number]
        boxes = {n: panel.regions[n] for n in board.figures(panel) if n in panel.regions}
        if boxes:
            return {name: (box[0], box[2]) for name, box in boxes.items()}
    if source.script is None:
        return {}
    names = [figure.name for figure in source.script.panels[number].figures]
    if board is not None:  # those for whom the picture had room
        names = [name for name in names if name in board.panels[number].characters]
    if len(names) == 1:
        return {names[0]: (0.25, 0.75)}
    return {name: (at / len(names), (at + 1) / len(names)) for at, name in enumerate(names)}


def under_the_panel(letters: Letters, source: Source) -> Letters:
    """The text as it stands in the caption under a panel: with the speaker's name."""
    text = letters.shown.text
    if letters.kind == "speech":
        text = _quoted(text, letters.speaker, source)
    return replace(letters, shown=SetText(text, letters.shown.face, source.language))


def _quoted(text: str, speaker: str, source: Source) -> str:
    return f"{speaker}{_COLON[source.language]}“{text}”" if speaker else f"“{text}”"
