"""Who says each quote of a text, found for all quotes together: what stands beside each of them,
who is near, and that people who talk take turns.

The best whole sequence of speakers is found by dynamic programming (Viterbi, 1967), so that what
is known later, such as a name in a line, tells whose the lines before it are.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

NOBODY: Final = ""
_UNKNOWN: Final = -2.5
"""Points of a quote whose speaker stays open."""
_BEST: Final = 5
"""People who are tried for each quote."""
_TURNS: Final = {
    # How a quote follows the one before -> points for the same speaker, for the one before that.
    "adjacent": (-6.0, 1.5),
    "goes on": (6.0, 0.0),
    "said": (2.0, 0.0),
    "beat": (0.0, 0.5),
    "paragraph": (-2.0, 1.5),
    "open": (6.0, 0.0),
    "then": (-1.5, 0.5),
    "apart": (-0.5, 0.5),
    "scene": (0.0, 0.0),
}
_AWAY: Final = 0.35
"""Points that somebody loses for each paragraph since they were there."""
_ANSWERS: Final = 1.5
"""For whom the quote before calls."""
_ASKS_ON, _ANSWERS_ONESELF = -0.5, -2.0
"""For whoever asks twice, and for whoever answers the own question."""


@dataclass(slots=True)
class Cue:
    """What is known of one quote.

    points: character -> how much speaks for it; between: as much speaks for it as the speaker of
    this quote or of the one before. called: whom it calls by name. asks: it is a question.
    follows: a key of how it follows the quote before: `adjacent` without a word between, `goes on`
    after a comma, `said` after words that say whose the one before is, `beat` with other words
    between (`then` in Chinese, where a speaker seldom goes on so), `paragraph` in the next one,
    `open` where the paragraph before did not close its quote, `apart` later, `scene` in another
    scene.
    """

    points: dict[str, float] = field(default_factory=dict)
    between: dict[str, float] = field(default_factory=dict)
    called: tuple[str, ...] = ()
    follows: str = "scene"
    asks: bool = False

    def add(self, name: str, points: float) -> None:
        """Count points for a character."""
        self.points[name] = self.points.get(name, 0.0) + points


def best_speakers(cues: Sequence[Cue]) -> tuple[str, ...]:
    """One for each cue; "": nobody is likely enough, or two are equally likely."""
    pairs = zip(_sequence(cues, 1e-9), _sequence(cues, -1e-9), strict=True)
    return tuple(one if one == other else NOBODY for one, other in pairs)


def _sequence(cues: Sequence[Cue], margin: float) -> Sequence[str]:
    """The best one; margin: by how much a way must be better than one that was found before.

    Where two ways are equally good, a margin above 0 takes the first and one below 0 the last.
    """
    # A state is who speaks and who spoke before that; each keeps its points and the way there.
    states: dict[tuple[str, str], float] = {(NOBODY, NOBODY): 0.0}
    ways: list[dict[tuple[str, str], tuple[str, str]]] = []
    before = Cue()
    for cue in cues:
        reached: dict[tuple[str, str], float] = {}
        way: dict[tuple[str, str], tuple[str, str]] = {}
        for name, own in _candidates(cue):
            for state, points in states.items():
                total = points + own + _turn(name, state, cue, before)
                following = (name, state[0] if name != state[0] else state[1])
                if total > reached.get(following, -1e9) + margin:
                    reached[following], way[following] = total, state
        states, before = reached, cue
        ways.append(way)
    state = (NOBODY, NOBODY)
    best = -1e9
    for ending, points in states.items():
        if points > best + margin:
            state, best = ending, points
    found: list[str] = []
    for way in reversed(ways):
        found.append(state[0])
        state = way[state]
    return found[::-1]


def _candidates(cue: Cue) -> Sequence[tuple[str, float]]:
    ranked = sorted(cue.points.items(), key=lambda pair: (-pair[1], pair[0]))[:_BEST]
    return [*ranked, (NOBODY, _UNKNOWN)]


def _turn(name: str, state: tuple[str, str], cue: Cue, before: Cue) -> float:
    """Points for this speaker after those of the state."""
    last, other = state
    points = max(cue.between.get(name, 0.0), cue.between.get(last, 0.0))
    if name == NOBODY or cue.follows == "scene":
        return points
    same, back = _TURNS[cue.follows]
    if name == last:
        points += same
        if before.asks and cue.follows not in ("goes on", "open"):
            points += _ASKS_ON if cue.asks else _ANSWERS_ONESELF
    elif name == other:
        points += back
    if name in before.called and cue.follows != "goes on":
        points += _ANSWERS
    return points


def nearness(
    acting: Sequence[Sequence[str]], borders: frozenset[int], *, back: int = 12, ahead: int = 4
) -> list[dict[str, float]]:
    """Who is near each paragraph, with points, 0 or less.

    acting: for each paragraph who is there by name or deed. borders: where
    scenes begin. back, ahead: paragraphs after or before which somebody is near no more.
    """
    points: list[dict[str, float]] = [{} for _ in acting]
    last: dict[str, float] = {}
    for number, names in enumerate(acting):
        for name in last:
            last[name] += 1.0 if number not in borders else 4.0
        last.update(dict.fromkeys(names, 0.0))
        last = {name: away for name, away in last.items() if away <= back}
        points[number].update({name: -_AWAY * away for name, away in last.items()})
    coming: dict[str, float] = {}
    for number in reversed(range(len(acting))):
        if number + 1 in borders:
            coming.clear()
        for name in coming:
            coming[name] += 1.0
        coming.update(dict.fromkeys(acting[number], 0.0))
        coming = {name: away for name, away in coming.items() if away <= ahead}
        for name, away in coming.items():
            later = -0.5 - 0.5 * away if away else 0.0
            points[number][name] = max(points[number].get(name, -99.0), later)
    return points
