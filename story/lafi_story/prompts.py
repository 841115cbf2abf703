"""Fuses scene, characters and action into prompts that fit the model's token length."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from lafi.board.error import StoryboardError, Verbatim, problem
from lafi.board.limits import folded
from lafi.board.storyboard import Character, Panel, Storyboard
from lafi_story.steps import Cast, Figure, Outline, PanelScript, Person, Script, quoted
from lafi_story.vocabulary import Vocabulary, plain

TokenCount = Callable[[str], int]
_SLOT: Final = re.compile(r"\{(\w+)\}")
_SIDES: Final = {
    2: ("on the left", "on the right"),
    3: ("on the left", "in the middle", "on the right"),
    4: ("on the far left", "on the left", "on the right", "on the far right"),
}
_CAPTION_SHARE: Final = 0.42
"""How much of the token length one description may take, so that two fit into a panel."""


def token_counter(vocabulary: Vocabulary) -> TokenCount:
    """Tokens of a text, its begin and end included; an upper estimate without a tokenizer.

    Raises StoryboardError for a tokenizer that is no file of tokenizers'.
    """
    if not vocabulary.tokenizer:
        return estimated_tokens
    from tokenizers import Tokenizer

    path = (vocabulary.folder or Path()) / vocabulary.tokenizer
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # tokenizers raises nothing narrower
        allowed = f"a tokenizer.json of the package tokenizers ({error})"
        raise StoryboardError([problem("tokenizer", Verbatim(path.name), allowed)]) from None
    return lambda text: len(tokenizer.encode(text).ids)


def estimated_tokens(text: str) -> int:
    """Two for begin and end, one for every three letters of a word, two for other characters."""
    words = re.findall(r"[A-Za-z0-9]+|[^A-Za-z0-9\s]", text)
    return 2 + sum((len(w) + 2) // 3 if w[0].isascii() else 2 for w in words)


def fuse(
    outline: Outline, cast: Cast, script: Script, vocabulary: Vocabulary, count: TokenCount
) -> tuple[Storyboard, tuple[str, ...]]:
    """The storyboard and notes on what was left out. Raises StoryboardError for edited steps that
    name characters which are not in the cast, or prompts that are no prompts."""
    notes: list[str] = []
    most = int(vocabulary.token_length * _CAPTION_SHARE)
    captions = {p.name: _caption(p, vocabulary, count, most, notes) for p in cast.characters}
    used: set[str] = set()
    panels = []
    for number, panel in enumerate(script.panels):
        made = panel_of(number, panel, captions, vocabulary, count, notes)
        used.update(made.characters)
        panels.append(made)
    characters = tuple(
        Character(name=name, prompt=text) for name, text in captions.items() if name in used
    )
    same = [
        n for n, text in captions.items() if n in used and list(captions.values()).count(text) > 1
    ]
    if same:
        notes.append(f"{', '.join(same)} look alike: give them looks in characters.yaml")
    board = Storyboard(title=outline.title, characters=characters, panels=tuple(panels))
    return board, tuple(map(quoted, notes))


def _caption(
    person: Person, vocabulary: Vocabulary, count: TokenCount, most: int, notes: list[str]
) -> str:
    """The description, without its last parts where it would be too long."""
    if person.prompt:
        if count(person.prompt) > vocabulary.token_length:
            got = Verbatim(f"{count(person.prompt)} tokens")
            allowed = f"at most {vocabulary.token_length}"
            raise StoryboardError([problem(f"{person.name}.prompt", got, allowed)])
        return person.prompt
    looks = dict(person.looks)
    while True:
        text = described(looks, vocabulary)
        if count(text) <= most or not looks:
            return text
        slot = next(reversed(looks))
        notes.append(f"{person.name}: no room in the description for {slot} {looks.pop(slot)}")


def described(looks: dict[str, str], vocabulary: Vocabulary) -> str:
    """`a slim child with long black hair, in a yellow top` from slots and values."""
    words = {slot: _word(slot, value, vocabulary) for slot, value in looks.items()}
    form = vocabulary.caption
    start = _filled(form.start, {"person": vocabulary.person, **words})
    parts = [start or f"a {vocabulary.person}"]
    groups = [("with", form.with_), ("in", form.in_)]
    for place, (lead, phrases) in enumerate(groups):
        filled = (
            _in_slots(own, words)
            if (own := _form(phrase, looks, vocabulary))
            else _filled(phrase, words)
            for phrase in phrases
        )
        said = [text for text in filled if text]
        if said:
            listed = ", ".join(said[:-1]) + (" and " if len(said) > 1 else "") + said[-1]
            parts.append(f"{',' if place and len(parts) > 1 else ''} {lead} {listed}")
    return re.sub(r"\ba ([aeiou])", r"an \1", "".join(parts))


def _form(phrase: str, looks: dict[str, str], vocabulary: Vocabulary) -> str:
    """The phrase that one of its values has instead, `{hair} hair in a bun`; "": none has."""
    for slot in _SLOT.findall(phrase):
        values = vocabulary.looks[slot].values if slot in vocabulary.looks else {}
        value = values.get(looks.get(slot, ""))
        if value is not None and value.form:
            return value.form
    return ""


def _word(slot: str, value: str, vocabulary: Vocabulary) -> str:
    values = vocabulary.looks[slot].values if slot in vocabulary.looks else {}
    return values[value].prompt if value in values else plain(value)


def _filled(phrase: str, words: dict[str, str]) -> str:
    """The phrase without slots that are not known; "": none is."""
    slots = _SLOT.findall(phrase)
    if slots and not any(words.get(slot) for slot in slots):
        return ""
    return _in_slots(phrase, words)


def _in_slots(phrase: str, words: dict[str, str]) -> str:
    return " ".join(_SLOT.sub(lambda m: words.get(m[1], ""), phrase).split())


def panel_of(
    number: int,
    panel: PanelScript,
    captions: Mapping[str, str],
    vocabulary: Vocabulary,
    count: TokenCount,
    notes: list[str],
) -> Panel:
    """The panel of a storyboard. captions: name -> description. notes: what had no room is added.

    Raises StoryboardError as `fuse`.
    """
    field = f"panels[{number}]"
    for figure in panel.figures:
        if figure.name not in captions:
            allowed = f"one of {', '.join(captions) or 'no characters'}"
            raise StoryboardError([problem(f"{field}.figures", figure.name, allowed)])

    def length(prompt: str) -> int:
        return count(described_in(prompt, captions))

    if panel.prompt:
        if length(panel.prompt) > vocabulary.token_length:
            got = Verbatim(f"{length(panel.prompt)} tokens")
            allowed = f"at most {vocabulary.token_length}"
            raise StoryboardError([problem(f"{field}.prompt", got, allowed)])
        return Panel(prompt=panel.prompt)
    figures, out = list(panel.figures), list[str]()
    while len(figures) > vocabulary.most_figures:
        out.append(_leaves(figures, panel))
    extras = _extras(panel, figures, vocabulary)
    while length(_prompt(panel, figures, extras, vocabulary)) > vocabulary.token_length:
        if extras:
            notes.append(f"panel {number}: no room in the prompt for {extras.pop()[1]!r}")
        elif figures:
            out.append(_leaves(figures, panel))
            extras = _extras(panel, figures, vocabulary)
        else:
            panel = panel.model_copy(update={"place": "", "light": "", "framing": "medium"})
            break
    if out:
        notes.append(f"panel {number}: no room in the picture for {', '.join(out)}")
    prompt = _prompt(panel, figures, extras, vocabulary)
    regions = regions_of([figure.name for figure in figures])
    return Panel(prompt=prompt, regions=regions) if regions else Panel(prompt=prompt)


def _leaves(figures: list[Figure], panel: PanelScript) -> str:
    """Take out whom the panel misses least: who says nothing, does nothing, and is named last."""
    speakers = {line.speaker for line in panel.lines}

    def told(figure: Figure) -> tuple[bool, bool]:
        return figure.name in speakers, bool(figure.action or figure.mood or figure.prop)

    least = min(reversed(figures), key=told)
    figures.remove(least)
    return least.name


def described_in(prompt: str, captions: Mapping[str, str]) -> str:
    """The prompt as the model gets it: with descriptions in place of `{names}`."""
    return re.sub(r"\{([^{}]*)\}", lambda m: captions.get(folded(m[1]), m[1]), prompt)


def prompt_of(panel: PanelScript, vocabulary: Vocabulary) -> str:
    """The whole prompt of a panel, however long."""
    figures = panel.figures
    return _prompt(panel, figures, _extras(panel, figures, vocabulary), vocabulary)


def _extras(
    panel: PanelScript, figures: Sequence[Figure], vocabulary: Vocabulary
) -> list[tuple[str, str]]:
    """What may be left out, the least important last: whose it is ("": the picture's), and what."""
    props = [(f.name, vocabulary.drawn("props", f.prop)) for f in figures if f.prop]
    moods = [(f.name, vocabulary.drawn("moods", f.mood)) for f in figures if f.mood]
    framing: str = getattr(vocabulary.framings, panel.framing)
    return [extra for extra in (*props, *moods, ("", framing)) if extra[1]]


def _prompt(
    panel: PanelScript,
    figures: Sequence[Figure],
    extras: Sequence[tuple[str, str]],
    vocabulary: Vocabulary,
) -> str:
    doing = [
        f"{{{figure.name}}} "
        + vocabulary.drawn("actions", figure.action or vocabulary.unknown_action)
        for figure in figures
    ]
    if len(doing) > 1:
        more = [" ".join(text for name, text in extras if name == f.name) for f in figures]
        sides = _SIDES[len(doing)]
        doing = [" ".join(filter(None, parts)) for parts in zip(doing, more, sides, strict=True)]
    who = (", ".join(doing[:-1]) + " and " if len(doing) > 1 else "") + (doing[-1] if doing else "")
    where = vocabulary.drawn("places", panel.place) if panel.place else ""
    when = vocabulary.drawn("lights", panel.light) if panel.light else ""
    setting = " ".join(filter(None, (where, when)))
    start = who or vocabulary.nobody
    joint = ", " if len(doing) > 1 and setting else " "
    rest = [text for name, text in extras if len(doing) == 1 or not name]
    return ", ".join(filter(None, (f"{start}{joint}{setting}".strip(), *rest)))


def regions_of(names: Sequence[str]) -> dict[str, tuple[float, float, float, float]]:
    """Side by side, as the prompt says it; none for one alone."""
    if len(names) < 2:
        return {}
    share = 1 / len(names)
    return {
        n: (round(i * share, 3), 0.0, round((i + 1) * share, 3), 1.0) for i, n in enumerate(names)
    }
