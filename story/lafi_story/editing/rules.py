"""`PanelEditor` by rules: knows the words of the vocabulary and nothing else."""

from dataclasses import replace

from lafi.board.error import StoryboardError, Verbatim, problem
from lafi.board.limits import MAX_CHARACTERS_PER_PANEL
from lafi.board.storyboard import Panel, Storyboard
from lafi_story.editing.changes import PanelChange, captions_of, people_of, room_for
from lafi_story.editing.handwritten import Handwritten
from lafi_story.editing.made_prompt import changed, from_left, made
from lafi_story.editing.prompt_reading import PromptRead, PromptReader
from lafi_story.editing.wish import SCENE_KINDS, Wish, read_wish
from lafi_story.prompts import TokenCount, described_in, token_counter
from lafi_story.steps import Figure, PanelScript
from lafi_story.vocabulary import Vocabulary


class RulePanelEditor:
    """As `PanelEditor`. The same wish on the same panel gives the same change."""

    def __init__(self, vocabulary: Vocabulary, count: TokenCount | None = None) -> None:
        """count: tokens of a text; default: by the vocabulary's tokenizer."""
        self._vocabulary = vocabulary
        self._count = count or token_counter(vocabulary)
        self._reader = PromptReader(vocabulary)

    def edit(self, board: Storyboard, number: int, wish: str) -> PanelChange:
        """As `PanelEditor`."""
        panel = board.panels[number]
        read = self._reader.read(panel.prompt)
        present = [figure.name for figure in read.script.figures]
        asked = read_wish(wish, present, people_of(board), self._vocabulary)
        self._check_people(asked, present, number)
        if not read.whole:
            return self._by_hand(board, number, asked)
        script = granted(asked, read.script)
        if script == read.script:
            return PanelChange(number, panel.prompt)
        words = room_for(board, self._vocabulary, self._count)
        new, notes = made(board, number, script, words, self._count)
        if notes:  # what was asked for must not be what is left out
            raise StoryboardError([f"{note}; nothing is changed" for note in notes])
        return changed(board, number, new)

    def polish(self, board: Storyboard, number: int) -> PanelChange:
        """As `PanelEditor`. Words that are not the vocabulary's go, unless it is free."""
        panel = board.panels[number]
        read = self._reader.read(panel.prompt)
        if left := self._left_alone(read, panel):
            return PanelChange(number, panel.prompt, notes=(f"panel {number}: {left}",))
        words = room_for(board, self._vocabulary, self._count)
        script, tail = self._with_rest(read)
        script = from_left(script, panel.regions)
        new, notes = made(board, number, script, words, self._count)
        prompt, gone = self._with_tail(new.prompt, tail, captions_of(board), words)
        said = tuple(
            f"panel {number}: {word!r} is no word of the vocabulary; left out" for word in gone
        )
        return replace(changed(board, number, new, prompt), notes=(*notes, *said))

    def _check_people(self, wish: Wish, present: list[str], number: int) -> None:
        """Raises StoryboardError for people who are not where the wish has them."""
        here = f"in panel {number}: {', '.join(present) or 'nobody'}"
        there = [n for n in wish.only or [*present, *wish.add] if n not in wish.remove]
        named = [
            *(name for name, _ in wish.figures),
            *(name for name, _, _ in wish.without if name),
        ]
        for name in named:
            if name not in there:
                allowed = f"somebody who is then {here}; `add {name}` puts them into it"
                raise StoryboardError([problem("the wish", name, allowed)])
        if (wish.only or wish.add) and len(set(there)) > self._most:
            got = Verbatim(f"{len(set(there))} figures: {', '.join(dict.fromkeys(there))}")
            raise StoryboardError([problem("the wish", got, f"at most {self._most}")])

    @property
    def _most(self) -> int:
        return min(self._vocabulary.most_figures, MAX_CHARACTERS_PER_PANEL)

    def _by_hand(self, board: Storyboard, number: int, wish: Wish) -> PanelChange:
        prompt = board.panels[number].prompt
        if wish.people:
            allowed = (
                "light, place, framing, actions, moods and props alone, as its prompt is not one "
                "that `lafi story` writes: `lafi polish` makes it one, --llm URL reads it as it is"
            )
            got = Verbatim("who is in it")
            raise StoryboardError([problem(f"panels[{number}]", got, allowed)])
        new = Handwritten(prompt, self._reader, self._vocabulary).grant(wish)
        words = room_for(board, self._vocabulary, self._count)
        length = self._count(described_in(new, captions_of(board)))
        before = self._count(described_in(prompt, captions_of(board)))
        if length > max(words.token_length, before):
            got = Verbatim(f"{length} tokens with this wish")
            field = f"panels[{number}].prompt"
            raise StoryboardError([problem(field, got, f"at most {words.token_length}")])
        kinds = {SCENE_KINDS[kind]: kind for kind in SCENE_KINDS if SCENE_KINDS[kind] in wish.scene}
        left = [
            new[one.start : one.end]
            for one in self._reader.read(new).inside
            if any(one.kind == kind and one.word != wish.scene[f] for f, kind in kinds.items())
        ]
        said = tuple(f"panel {number}: {word!r} in its prompt is left as it is" for word in left)
        return PanelChange(number, new, notes=said)

    def _left_alone(self, read: PromptRead, panel: Panel) -> str:
        """Why a prompt is not rewritten; "": it is."""
        if len({name.word for name in read.names}) > len(read.script.figures):
            return f"more than {MAX_CHARACTERS_PER_PANEL} characters; left as it is"
        if not read.names and read.rest and not self._vocabulary.free:
            return (
                f"nobody is in it by {{name}}, and {read.rest[0]!r} may be somebody; left as it is"
            )
        return ""

    def _with_rest(self, read: PromptRead) -> tuple[PanelScript, tuple[str, ...]]:
        """With a free vocabulary other words stay: as the action of somebody who has none."""
        rest = list(read.rest)
        if not self._vocabulary.free or not rest:
            return read.script, read.rest
        figures = list(read.script.figures)
        if len(figures) == 1 and not figures[0].action:
            figures[0] = figures[0].model_copy(update={"action": rest.pop(0)})
        return read.script.model_copy(update={"figures": tuple(figures)}), tuple(rest)

    def _with_tail(
        self, prompt: str, tail: tuple[str, ...], captions: dict[str, str], words: Vocabulary
    ) -> tuple[str, tuple[str, ...]]:
        """The prompt with as many other words as a free vocabulary has room for, and the rest."""
        if not self._vocabulary.free:
            return prompt, tail
        for place, words_of_it in enumerate(tail):
            longer = f"{prompt}, {words_of_it}"
            if self._count(described_in(longer, captions)) > words.token_length:
                return prompt, tail[place:]
            prompt = longer
        return prompt, ()


def granted(wish: Wish, script: PanelScript) -> PanelScript:
    """The panel with a wish that fits it."""
    old = {figure.name: figure for figure in script.figures}
    names = list(wish.only) or [*old, *(name for name in wish.add if name not in old)]
    figures = []
    for name in (n for n in dict.fromkeys([*names, *wish.add]) if n not in wish.remove):
        own = {field: word for (whose, field), word in wish.figures.items() if whose == name}
        figure = old.get(name, Figure(name=name)).model_copy(update=own)
        gone = {f: "" for n, f, w in wish.without if n == name and getattr(figure, f) == w}
        figures.append(figure.model_copy(update=gone))
    scene = dict(wish.scene)
    for whose, field, word in wish.without:
        if not whose and getattr(script, field) == word:
            scene[field] = "medium" if field == "framing" else ""
    return script.model_copy(update={"figures": tuple(figures), **scene})
