"""`LlmPanelEditor`: asks how a panel is after a wish, or what its prompt shows, and checks it."""

from collections.abc import Callable
from typing import Final

from lafi.board.error import StoryboardError, Verbatim, problem
from lafi.board.limits import folded
from lafi.board.storyboard import Storyboard
from lafi_story.editing.changes import PanelChange, people_of, room_for
from lafi_story.editing.made_prompt import changed, from_left, made
from lafi_story.llm import instructions
from lafi_story.llm.answers import PanelChanged
from lafi_story.llm.asking import Asker
from lafi_story.llm.checks import short
from lafi_story.llm.question import LlmError
from lafi_story.prompts import TokenCount, token_counter
from lafi_story.steps import Figure, PanelScript, quoted
from lafi_story.vocabulary import Vocabulary, plain

_LONGEST: Final = 200
"""Characters of words that are not the vocabulary's own."""


class LlmPanelEditor:
    """As `PanelEditor`. What it answers becomes a prompt in the form that `lafi story` writes."""

    def __init__(
        self, asker: Asker, vocabulary: Vocabulary, count: TokenCount | None = None
    ) -> None:
        """count: tokens of a text; default: by the vocabulary's tokenizer."""
        self._asker = asker
        self._vocabulary = vocabulary
        self._count = count or token_counter(vocabulary)

    def edit(self, board: Storyboard, number: int, wish: str) -> PanelChange:
        """As `PanelEditor`. Raises LlmError, also where the model refuses the wish."""
        asked = instructions.about_wish(board, number, wish, self._vocabulary)
        answer = self._ask(board, asked)
        if answer.refused.strip():
            raise LlmError([
                f"the language model {self._asker.model} does not change panel {number}: "
                f"{short(answer.refused)}"
            ])  # fmt: skip
        return self._change(board, number, answer, complete=True)

    def polish(self, board: Storyboard, number: int) -> PanelChange:
        """As `PanelEditor`. Raises LlmError."""
        answer = self._ask(board, instructions.about_prompt(board, number, self._vocabulary))
        if answer.refused.strip():
            note = f"panel {number}: the language model left it as it is: {short(answer.refused)}"
            return PanelChange(number, board.panels[number].prompt, notes=(note,))
        return self._change(board, number, answer, complete=False)

    def _ask(self, board: Storyboard, asked: str) -> PanelChanged:
        check = _checker(board, self._vocabulary)
        return self._asker.ask(PanelChanged, instructions.EDITOR, asked, check)

    def _change(
        self, board: Storyboard, number: int, answer: PanelChanged, *, complete: bool
    ) -> PanelChange:
        """complete: nothing may be left out for want of room."""
        panel = board.panels[number]
        figures = tuple(
            Figure(
                name=folded(figure.name.strip()),
                action=_word(figure.action),
                mood=_word(figure.mood),
                prop=_word(figure.prop),
            )
            for figure in answer.figures
        )
        script = PanelScript(
            scene=0,
            first=0,
            last=0,
            sentence="",
            figures=figures,
            place=_word(answer.place),
            light=_word(answer.light),
            framing=answer.framing,
        )
        if {f.name for f in figures} == set(board.figures(panel)):
            script = from_left(script, panel.regions)
        words = room_for(board, self._vocabulary, self._count)
        new, notes = made(board, number, script, words, self._count)
        if notes and complete:
            raise StoryboardError([f"{note}; nothing is changed" for note in notes])
        found = changed(board, number, new)
        return PanelChange(
            number, found.prompt, found.regions, found.characters, (*found.notes, *notes)
        )


def _word(text: str) -> str:
    return quoted(text.strip())


def _checker(board: Storyboard, vocabulary: Vocabulary) -> Callable[[PanelChanged], None]:
    """A check that an answer names what there is, so that nothing of a wish is lost in silence."""
    names = people_of(board)

    def check(answer: PanelChanged) -> None:
        problems = [] if answer.refused.strip() else list(_wrong(answer, names, vocabulary))
        if problems:
            raise StoryboardError(problems)

    return check


def _wrong(answer: PanelChanged, names: list[str], vocabulary: Vocabulary) -> list[str]:
    found = []
    if len(answer.figures) > vocabulary.most_figures:
        got = Verbatim(f"{len(answer.figures)} of them")
        found.append(problem("figures", got, f"at most {vocabulary.most_figures}"))
    seen: set[str] = set()
    for place, figure in enumerate(answer.figures):
        field, name = f"figures[{place}]", folded(figure.name.strip())
        if name not in names or name in seen:
            allowed = f"each once, one of {', '.join(names) or 'nobody'}"
            found.append(problem(f"{field}.name", figure.name, allowed))
        seen.add(name)
        for kind, word in (("action", figure.action), ("mood", figure.mood), ("prop", figure.prop)):
            found += _strange(f"{field}.{kind}", f"{kind}s", word, vocabulary)
    found += _strange("place", "places", answer.place, vocabulary)
    return found + _strange("light", "lights", answer.light, vocabulary)


def _strange(field: str, kind: str, word: str, vocabulary: Vocabulary) -> list[str]:
    word = word.strip()
    known = list(getattr(vocabulary, kind))
    if not word or word in known:
        return []
    if vocabulary.free and plain(word) == " ".join(word.split()) and len(word) <= _LONGEST:
        return []
    allowed = "a few words without marks" if vocabulary.free else f"one of {', '.join(known)}"
    return [problem(field, word, f'{allowed}; or ""')]
