"""What a prompt says in the vocabulary's words, and what else stands in it."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from lafi.board.limits import MAX_CHARACTERS_PER_PANEL, folded
from lafi.board.storyboard import PLACEHOLDER
from lafi_story.editing.wish import FIGURE_KINDS, SCENE_KINDS
from lafi_story.editing.words import Meant, WordFinder
from lafi_story.prompts import prompt_of
from lafi_story.steps import Figure, PanelScript
from lafi_story.vocabulary import Vocabulary

_SIDES: Final = r"\b(?:on the (?:far )?(?:left|right)|in the middle)\b"
_SMALL: Final = r"\b(?:and|is|are|the|a|an|in|on|at|with|by|of|to|who|his|her|their|while|it)\b"
_LITTLE: Final = re.compile(
    rf"^(?:{_SMALL}|[\s,;.，。、和在与])+|(?:{_SMALL}|[\s,;.，。、和在与])+$", re.IGNORECASE
)
_LEADS: Final = re.compile(r"(?:in|on|at|by|with|looking)\b", re.IGNORECASE)
_WHERE: Final = "in|on|at|by|under|through|into|with|during|across|along|inside|near"
_WHICH: Final = "the|a|an|his|her|their|some"
_LIKE: Final = rf"(?!(?:{_WHERE}|{_WHICH}|and)\b)[^\W\d_]+\s+"
_BEFORE: Final = re.compile(
    rf"(?:\b(?:{_WHERE})\s+(?:(?:{_WHICH})\s+(?:{_LIKE}){{0,3}}|{_LIKE})?|在)$", re.IGNORECASE
)
_GOES_ON: Final = re.compile(r"\s+(?!(?:and|in|on|at|by|under|with|while|as)\b)[^\W\d_{]", re.I)


@dataclass(frozen=True, slots=True)
class PromptRead:
    """found: phrases of the vocabulary with their place. inside: its words that only tell more of
    another one, `dark` in `the dark tower`. rest: all that is in no phrase.

    whole: whether the prompt is, word by word, what `lafi story` would write of `script`.
    """

    script: PanelScript
    found: tuple[Meant, ...]
    inside: tuple[Meant, ...]
    names: tuple[Meant, ...]
    rest: tuple[str, ...]
    whole: bool


class PromptReader:
    """Reads prompts with `{names}`."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self._finder = WordFinder(vocabulary)

    def read(self, prompt: str) -> PromptRead:
        """Any prompt of a panel. The same kind of word said twice counts as it is first said."""
        names = tuple(
            Meant(m.start(), m.end(), "name", folded(m[1])) for m in PLACEHOLDER.finditer(prompt)
        )
        text = PLACEHOLDER.sub(lambda m: " " * len(m[0]), prompt)
        words = tuple(self._finder.find(text))
        found, inside = _phrases(prompt, words)
        script = _script(tuple(found), names)
        plain = PLACEHOLDER.sub(lambda m: f"{{{folded(m[1])}}}", prompt)
        whole = prompt_of(script, self._vocabulary) == plain
        rest = (
            ()
            if whole
            else tuple(self._rest(prompt, (*(w for w in words if w not in inside), *names)))
        )
        return PromptRead(script, tuple(found), tuple(inside), names, rest, whole)

    def _rest(self, prompt: str, known: tuple[Meant, ...]) -> Iterator[str]:
        text = list(prompt)
        for one in known:
            text[one.start : one.end] = "\n" * (one.end - one.start)
        left = re.sub(_SIDES, "\n", "".join(text)).replace(self._vocabulary.nobody, "\n")
        for part in re.split(r"\n+|[,;，。]", left):
            words = _LITTLE.sub("", part).strip()
            if any(c.isalnum() for c in words):
                yield words


def _script(found: tuple[Meant, ...], names: tuple[Meant, ...]) -> PanelScript:
    """Each figure does what stands between its name and the next one; before the first, it too."""
    said: dict[str, dict[str, str]] = {one.word: {} for one in names}
    scene: dict[str, Any] = {}
    for one in found:
        if one.kind in SCENE_KINDS:
            scene.setdefault(SCENE_KINDS[one.kind], one.word)
        elif said:
            said[_owner(one, names)].setdefault(FIGURE_KINDS[one.kind], one.word)
    named = list(said.items())[:MAX_CHARACTERS_PER_PANEL]
    figures = tuple(Figure(name=name, **words) for name, words in named)
    return PanelScript(scene=0, first=0, last=0, sentence="", figures=figures, **scene)


def _owner(one: Meant, names: tuple[Meant, ...]) -> str:
    before = [name for name in names if name.end <= one.start]
    return (before[-1] if before else names[0]).word


def _phrases(prompt: str, words: Iterable[Meant]) -> tuple[list[Meant], list[Meant]]:
    """Words with what belongs to them, `in the dark forest` of `forest`; and those like `dark`,
    which only tell more of the next word."""
    phrases: list[Meant] = []
    inside: list[Meant] = []
    for one in words:
        if one.kind not in ("places", "lights", "props") or _LEADS.match(prompt, one.start):
            phrases.append(one)
        elif _GOES_ON.match(prompt, one.end):
            inside.append(one)
        else:
            phrases.append(_phrase(prompt, one, phrases[-1].end if phrases else 0))
    return phrases, inside


def _phrase(prompt: str, one: Meant, after: int) -> Meant:
    """after: where it may begin."""
    before = _BEFORE.search(prompt, after, one.start)
    if before is None:
        return one
    end = one.end
    if before[0] == "在" and prompt[end : end + 1] in tuple("里上中边下"):
        end += 1
    return Meant(before.start(), end, one.kind, one.word)
