"""Captions in English and Chinese: who (half of the time), doing what, where, how seen.

They say only what the picture shows. What is usual, a medium front view of somebody calm with
nothing in the hands, is seldom said, so that it is also what an unsaid thing means.
"""

from dataclasses import dataclass

import numpy as np

from lafi_tiny.hand.attributes import IDENTITY_NAMES, Scene, pick_weighted
from lafi_tiny.hand.figure import Figure
from lafi_tiny.hand.looks import Rng, describe, shuffled, word
from lafi_tiny.hand.picture import Picture
from lafi_tiny.hand.visibility import visible_attributes
from lafi_tiny.hand.words import (
    ACTION_WORDS,
    EXPRESSION_WORDS,
    FRAMING_WORDS,
    LIGHT_WORDS,
    PLACE_WORDS,
    PROP_WORDS,
    VIEW_WORDS,
    Language,
)

LOOKS_SAID: dict[str, float] = {"none": 0.46, "some": 0.32, "all": 0.22}
"""How much of the looks of a single figure is said."""
LOOKS_SAID_OF_SEVERAL = {"none": 0.5, "some": 0.4, "all": 0.1}
SAID = {"action": 0.93, "place": 0.92, "light": 0.87, "prop": 0.85}
"""How often these are said; of several figures, actions always."""
USUAL = {"expression": "neutral", "view": "front", "framing": "medium"}
SAID_IF_USUAL, SAID_IF_NOT = 0.2, 0.8
SAID_IF_FEW = 0.4
"""How often something unusual is said where there is much to say; 77 tokens are the limit."""
ALONE: dict[Language, tuple[str, ...]] = {
    "en": ("a child", "a kid", "someone", "a character"),
    "zh": ("一个孩子", "一个人"),
}
# Half of the pictures that show a character twice do not say so: the same one is the rule.
TWICE: dict[Language, tuple[str, ...]] = {
    "en": ("the same child twice", "a child twice", "a child", "a kid"),
    "zh": ("同一个孩子出现两次", "一个孩子"),
}
SEVERAL: dict[int, dict[Language, tuple[str, ...]]] = {
    2: {"en": ("two different children", "two children"), "zh": ("两个不同的孩子", "两个孩子")},
    3: {"en": ("three different children", "three children"), "zh": ("三个不同的孩子", "三个孩子")},
}
ONE_CHILD: dict[Language, tuple[str, ...]] = {
    "en": ("the same child", "a child"),
    "zh": ("同一个孩子", "一个孩子"),
}
POSITIONS: dict[int, dict[Language, tuple[str, ...]]] = {
    2: {"en": ("left", "right"), "zh": ("左边", "右边")},
    3: {"en": ("left", "middle", "right"), "zh": ("左边", "中间", "右边")},
}


def random_caption(rng: np.random.Generator, picture: Picture) -> str:
    """A caption for a picture; two in three are English."""
    language = random_language(rng)
    if picture.kind == "strip":
        return _strip(rng, picture, language)
    if len(picture.figures) > 1:
        return _several(rng, picture, language)
    return _single(rng, picture, language)


def random_language(rng: np.random.Generator) -> Language:
    """Two in three are English."""
    return "en" if rng.random() < 0.67 else "zh"


def some_attributes(
    rng: np.random.Generator, names: tuple[str, ...], fewest: int, most: int
) -> tuple[str, ...]:
    """From `fewest` to `most` of the names by chance, none twice."""
    count = min(len(names), int(rng.integers(fewest, most + 1)))
    return tuple(names[i] for i in rng.permutation(len(names))[:count])


def plain_caption(
    action: str,
    scene: Scene,
    *,
    who: str,
    language: Language = "en",
    rng: Rng = None,
) -> str:
    """One figure's caption; wording is drawn with `rng`, or is the first one without."""
    doing = word(rng, ACTION_WORDS[language][action])
    where = word(rng, PLACE_WORDS[language][scene.place])
    when = word(rng, LIGHT_WORDS[language][scene.light])
    return sentence(who, doing, where, when, (), language, rng)


def sentence(
    who: str,
    doing: str,
    where: str,
    when: str,
    more: tuple[str, ...],
    language: Language,
    rng: Rng = None,
) -> str:
    """Put the parts in order; any but `who` may be empty."""
    if language == "zh":
        return ",".join(part for part in (when, f"{who}{where}{doing}", *more) if part)
    if rng is not None and rng.random() < 0.3:
        rest = [f"{who} is {doing}" if doing else who, where]
        opening = f"{when}, " if when else ""
    else:
        rest, opening = [who, doing, where, when], ""
    text = opening + " ".join(part for part in rest if part)
    return ", ".join((text, *more))


@dataclass(frozen=True, slots=True)
class _Said:
    """What is said of one figure besides its looks."""

    mood: str
    extras: tuple[str, ...]


def _single(rng: np.random.Generator, picture: Picture, language: Language) -> str:
    figure, scene = picture.figures[0], picture.scenes[0]
    seen = visible_attributes(picture, figure)
    looks = _looks(rng, seen, LOOKS_SAID)
    said = _said(rng, figure, seen, language, SAID_IF_NOT)
    who, more = _who(rng, figure, looks, said, language), list(said.extras)
    framing = ""
    if _mentioned(rng, "framing", picture.framing, SAID_IF_NOT):
        framing = word(rng, FRAMING_WORDS[language][picture.framing])
    doing = where = when = ""
    if rng.random() < SAID["action"]:
        doing = word(rng, ACTION_WORDS[language][figure.action])
    if rng.random() < SAID["place"]:
        where = word(rng, PLACE_WORDS[language][scene.place])
    if rng.random() < SAID["light"]:
        when = word(rng, LIGHT_WORDS[language][scene.light])
    if framing and rng.random() < 0.5:
        more = [*more, framing]
        framing = ""
    text = sentence(who, doing, where, when, tuple(shuffled(rng, more)), language, rng)
    return f"{framing},{' ' if language == 'en' else ''}{text}" if framing else text


def _looks(
    rng: np.random.Generator, seen: frozenset[str], shares: dict[str, float], most: int = 4
) -> tuple[str, ...]:
    """Which identity attributes are said; only such as can be seen."""
    names = tuple(name for name in IDENTITY_NAMES if name in seen)
    how = pick_weighted(rng, shares)
    if how == "none":
        return ()
    return names if how == "all" else some_attributes(rng, names, 1, most)


def _said(
    rng: np.random.Generator,
    figure: Figure,
    seen: frozenset[str],
    language: Language,
    share: float,
) -> _Said:
    """Mood, prop and view in words, where they are said."""
    extras, mood = [], ""
    if "expression" in seen and _mentioned(rng, "expression", figure.expression, share):
        mood = word(rng, EXPRESSION_WORDS[language][figure.expression])
    if (
        figure.prop != "none"
        and "prop" in seen
        and rng.random() < SAID["prop"] * share / SAID_IF_NOT
    ):
        extras.append(word(rng, PROP_WORDS[language][figure.prop]))
    if _mentioned(rng, "view", figure.view, share):
        extras.append(word(rng, VIEW_WORDS[language][figure.view]))
    return _Said(mood, tuple(extras))


def _mentioned(rng: np.random.Generator, name: str, value: str, share: float) -> bool:
    return rng.random() < (SAID_IF_USUAL * share if value == USUAL[name] else share)


def _who(
    rng: np.random.Generator,
    figure: Figure,
    looks: tuple[str, ...],
    said: _Said,
    language: Language,
) -> str:
    if looks or said.mood:
        return describe(figure.identity, looks, language, rng=rng, mood=said.mood)
    return word(rng, ALONE[language])


def _several(rng: np.random.Generator, picture: Picture, language: Language) -> str:
    """Who is where and does what; a character shown twice is described once."""
    figures, twins = picture.figures, picture.kind == "twins"
    scene = picture.scenes[0]
    where = word(rng, PLACE_WORDS[language][scene.place])
    when = word(rng, LIGHT_WORDS[language][scene.light])
    seen = [visible_attributes(picture, figure) for figure in figures]
    words: tuple[str, ...] = TWICE[language] if twins else SEVERAL[len(figures)][language]
    people = word(rng, words)
    looks: list[tuple[str, ...]] = [()] * len(figures)
    if twins:
        common = _looks(rng, seen[0] & seen[1], LOOKS_SAID_OF_SEVERAL)
        if common:
            people = describe(figures[0].identity, common, language, rng=rng)
            people += word(rng, (" twice", "") if language == "en" else ("出现两次", ""))
    else:
        looks = _looks_of_each(rng, seen)
    long = len(figures) > 2 or len(looks[0]) > 4
    share = SAID_IF_FEW if long else SAID_IF_NOT
    items = [
        _item(rng, figure, names, _said(rng, figure, shown, language, share), language)
        for figure, names, shown in zip(figures, looks, seen, strict=True)
    ]
    return _placed(rng, people, where, when, items, bool(looks[0]), language)


def _looks_of_each(rng: np.random.Generator, seen: list[frozenset[str]]) -> list[tuple[str, ...]]:
    """Looks that are said of each of several characters: of all of them or of none."""
    how = pick_weighted(rng, LOOKS_SAID_OF_SEVERAL)
    if how == "none":
        return [()] * len(seen)
    if how == "all" and len(seen) == 2:
        return [_looks(rng, shown, {"all": 1.0}) for shown in seen]
    return [_looks(rng, shown, {"some": 1.0}, 4 if len(seen) == 2 else 2) for shown in seen]


def _item(
    rng: np.random.Generator,
    figure: Figure,
    looks: tuple[str, ...],
    said: _Said,
    language: Language,
) -> str:
    """One of several figures in a few words; who it is may be left out."""
    doing = word(rng, ACTION_WORDS[language][figure.action])
    extras = said.extras
    if looks:
        who = describe(figure.identity, looks, language, rng=rng, mood=said.mood)
        if language == "zh":
            return "".join((who, doing, *extras))
        return " ".join((who, doing, *extras))
    if language == "zh":
        return "".join((f"{said.mood}地" if said.mood else "", doing, *extras))
    mood = f"looking {said.mood}" if said.mood else ""
    return " ".join(part for part in (doing, *extras, mood) if part)


def _placed(
    rng: np.random.Generator,
    people: str,
    where: str,
    when: str,
    items: list[str],
    described: bool,
    language: Language,
) -> str:
    positions = POSITIONS[len(items)][language]
    if language == "zh":
        listed = ",".join(f"{at}{item}" for at, item in zip(positions, items, strict=True))
        opening = (
            f"{when},{where}" if described and rng.random() < 0.5 else f"{when},{where},{people}"
        )
        return f"{opening},{listed}"
    if described and rng.random() < 0.5:
        parts = [
            f"{item} {'in the' if at == 'middle' else 'on the'} {at}"
            for at, item in zip(positions, items, strict=True)
        ]
        together = ", ".join(parts[:-1]) + " and " + parts[-1]
        return f"{together}, {where} {when}"
    listed = ", ".join(f"{at} {item}" for at, item in zip(positions, items, strict=True))
    return f"{people} {where} {when}, {listed}"


def _strip(rng: np.random.Generator, picture: Picture, language: Language) -> str:
    seen = [visible_attributes(picture, figure) for figure in picture.figures]
    people = word(rng, ONE_CHILD[language])
    looks = _looks(rng, seen[0] & seen[1], LOOKS_SAID_OF_SEVERAL)
    if looks:
        people = describe(picture.figures[0].identity, looks, language, rng=rng)
    panels = []
    for figure, scene, shown in zip(picture.figures, picture.scenes, seen, strict=True):
        said = _said(rng, figure, shown, language, SAID_IF_FEW)
        item = _item(rng, figure, (), said, language)
        where = word(rng, PLACE_WORDS[language][scene.place])
        when = word(rng, LIGHT_WORDS[language][scene.light])
        panels.append(f"{when}{where}{item}" if language == "zh" else f"{item} {where} {when}")
    if language == "zh":
        return f"两格漫画,{people},左边:{panels[0]},右边:{panels[1]}"
    return f"a strip of two panels, {people}, left {panels[0]}, right {panels[1]}"
