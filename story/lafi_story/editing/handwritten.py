"""Changes single phrases of a prompt that somebody wrote by hand; every other word stays."""

import re
from typing import Final

from lafi.board.error import StoryboardError, Verbatim, problem
from lafi.board.limits import folded
from lafi.board.storyboard import PLACEHOLDER
from lafi_story.editing.prompt_reading import PromptReader
from lafi_story.editing.wish import FIGURE_KINDS, SCENE_KINDS, Wish
from lafi_story.editing.words import Meant
from lafi_story.vocabulary import Vocabulary

_DEED_END: Final = re.compile(r"\s*(?:[,;.，。]|\band\b|\{|$)", re.IGNORECASE)
_KIND_OF: Final = {name: kind for kind, name in (*SCENE_KINDS.items(), *FIGURE_KINDS.items())}


class Handwritten:
    """One prompt, changed step by step."""

    def __init__(self, prompt: str, reader: PromptReader, vocabulary: Vocabulary) -> None:
        self.prompt = prompt
        self._reader = reader
        self._vocabulary = vocabulary

    def grant(self, wish: Wish) -> str:
        """The prompt with all of a wish that names no people. Raises StoryboardError."""
        for field, word in wish.scene.items():
            self._scene(field, word)
        for (name, field), word in wish.figures.items():
            self._figure(name, field, word)
        for name, field, word in sorted(wish.without):
            for one in reversed(self._of(name, field)):
                if one.word == word:
                    self._put(one.start, one.end, "")
        return self.prompt

    def _scene(self, field: str, word: str) -> None:
        phrase = self._phrase(field, word)
        if self._replaced(self._of("", field), phrase):
            return
        if not phrase:
            return
        if field == "framing":
            self._put(len(self.prompt), len(self.prompt), f", {phrase}")
            return
        places = self._of("", "place")
        if field == "light" and places:
            self._put(places[0].end, places[0].end, f" {phrase}")
            return
        names = list(PLACEHOLDER.finditer(self.prompt))
        comma = self.prompt.find(",", names[-1].end() if names else 0)
        at = comma if comma >= 0 else len(self.prompt)
        self._put(at, at, f"{',' if len(names) > 1 else ''} {phrase}")

    def _figure(self, name: str, field: str, word: str) -> None:
        phrase = self._phrase(field, word)
        if self._replaced(self._of(name, field), phrase):
            return
        start, end, several = self._part(name)
        known = [one.start for one in self._reader.read(self.prompt).found if one.start >= start]
        if field == "action":
            stop = _DEED_END.search(self.prompt, start)
            last = min(stop.start() if stop else end, *known, end)
            self._put(start, last, f" {phrase} ")
        elif several:
            deed = self._of(name, "action")
            at = deed[0].end if deed else start
            self._put(at, at, f" {phrase}")
        else:
            self._put(len(self.prompt), len(self.prompt), f", {phrase}")

    def _replaced(self, old: list[Meant], phrase: str) -> bool:
        """Whether there was one: the first becomes the phrase, others go."""
        for one in reversed(old[1:]):
            self._put(one.start, one.end, "")
        if old:
            self._put(old[0].start, old[0].end, phrase)
        return bool(old)

    def _of(self, name: str, field: str) -> list[Meant]:
        """The phrases of a kind; of a figure those between its name and the next one."""
        read = self._reader.read(self.prompt)
        found = [one for one in read.found if one.kind == _KIND_OF[field]]
        if not name:
            return found
        start, end, several = self._part(name)
        return [one for one in found if not several or start <= one.start < end]

    def _part(self, name: str) -> tuple[int, int, bool]:
        """Where a figure's own words begin and end, and whether others are named. Raises
        StoryboardError where its name is not in the prompt."""
        named = list(PLACEHOLDER.finditer(self.prompt))
        for place, match in enumerate(named):
            if folded(match[1]) == name:
                last = place + 1 == len(named)
                end = len(self.prompt) if last else named[place + 1].start()
                return match.end(), end, len({folded(one[1]) for one in named}) > 1
        got = Verbatim(f"no {{{name}}} in the prompt")
        raise StoryboardError([problem("the wish", got, "somebody whom the prompt names")])

    def _phrase(self, field: str, word: str) -> str:
        if field == "framing":
            phrase: str = getattr(self._vocabulary.framings, word)
            return phrase
        return self._vocabulary.drawn(_KIND_OF[field], word)

    def _put(self, start: int, end: int, phrase: str) -> None:
        text = self.prompt[:start] + phrase + self.prompt[end:]
        text = re.sub(r"\s+", " ", text)
        text = re.sub(r"\s+([,;.])", r"\1", text)
        text = re.sub(r",(?:\s*,)+", ",", text)
        self.prompt = text.strip(" ,")
