"""The model's people of all parts to a `Cast`: those whose names are in the text, each once."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from lafi.board.limits import MAX_CHARACTERS
from lafi_story.language import Gender
from lafi_story.llm.answers import LookFound, PeopleFound, PersonFound
from lafi_story.llm.checks import Notes, found_in, known_word, short, text_of, times
from lafi_story.llm.merging import Someone, merged, without_shared
from lafi_story.looks import looks_of
from lafi_story.naming import free_name
from lafi_story.steps import Cast, Outline, Person, Trait, quoted
from lafi_story.vocabulary import Vocabulary

PRONOUNS: Final = frozenset((
    "he", "him", "his", "she", "her", "hers", "it", "its", "they", "them", "their", "you", "your",
    "we", "us", "me", "my", "who", "somebody",
    "他", "她", "它", "他们", "她们", "你", "您", "我们", "你们", "大家", "谁",
))  # fmt: skip
_LONGEST_NAME: Final = 60


def cast_of(
    outline: Outline, answers: Iterable[tuple[range, PeopleFound]], vocabulary: Vocabulary
) -> Cast:
    """The characters, at most MAX_CHARACTERS, the most named first."""
    notes = Notes()
    everyone: list[Someone] = []
    for part, answer in answers:
        found = [
            one for p in answer.people if (one := _checked(p, part, outline, vocabulary, notes))
        ]
        own, shared = without_shared(found)
        if shared:
            notes.add(f"{', '.join(shared)}: a name of several people, used for none of them")
        everyone += own
    text = text_of(outline, 0, len(outline.paragraphs) - 1)
    counted = [(sum(times(text, name) for name in one.names), one) for one in merged(everyone)]
    counted.sort(key=lambda pair: -pair[0])
    kept, rest = counted[:MAX_CHARACTERS], counted[MAX_CHARACTERS:]
    taken: set[str] = {"narrator", "我"}
    people = tuple(_person(one, count, text, taken, vocabulary, notes) for count, one in kept)
    if rest:
        notes.add(f"{len(rest)} more have names than the {MAX_CHARACTERS} of a storyboard")
    return Cast(
        characters=people,
        others=tuple(quoted(one.names[0]) for _, one in rest),
        notes=notes.lines,
    )


def _checked(
    person: PersonFound, part: range, outline: Outline, vocabulary: Vocabulary, notes: Notes
) -> Someone | None:
    """Somebody with names and looks that the text has; None: no name is in it."""
    text = text_of(outline, part.start, part.stop - 1)
    names = []
    for name in person.names:
        line = " ".join(name.split())
        if not line or line.casefold() in PRONOUNS:
            continue
        if len(line) > _LONGEST_NAME or not times(text, line):
            notes.add(f"the name {short(name)} is not in the text; it is left out")
        else:
            names.append(quoted(line))
    if not names:
        said = ", ".join(map(short, person.names[:3])) or "somebody without a name"
        notes.add(f"{said}: no name of theirs is in the text; they are left out")
        return None
    looks = [
        found
        for look in person.looks
        if (found := _look(look, names[0], part, outline, vocabulary, notes))
    ]
    return Someone(tuple(names), (person.gender,), tuple(looks))


def _look(
    look: LookFound,
    name: str,
    part: range,
    outline: Outline,
    vocabulary: Vocabulary,
    notes: Notes,
) -> tuple[str, str, str, int] | None:
    if look.slot not in vocabulary.looks:
        notes.add(f"{name}: {short(look.slot)} is nothing of the looks that is drawn; left out")
        return None
    said = (
        found_in(outline.paragraphs[look.paragraph].text, look.said)
        if look.paragraph in part
        else ""
    )
    if not said:
        notes.add(
            f"{name}: {short(look.said)} is not in paragraph {look.paragraph}; its "
            f"{look.slot} is left open"
        )
        return None
    values = list(vocabulary.looks[look.slot].values)
    where = f"{name}: {look.slot}"
    value = known_word(values, look.value, where, notes, free=vocabulary.free)
    return (look.slot, value, quoted(said), look.paragraph) if value else None


def _person(
    one: Someone, count: int, text: str, taken: set[str], vocabulary: Vocabulary, notes: Notes
) -> Person:
    aliases = sorted(one.names, key=lambda name: (-times(text, name), name))
    narrates = aliases[0] in ("I", "我")
    name = free_name({"I": "narrator", "我": "我"}[aliases[0]] if narrates else aliases[0], taken)
    said = [Trait(slot=s, value=v, said=w, paragraph=n) for s, v, w, n in one.looks]
    looks = looks_of(said, vocabulary)
    against = [*looks.contradictions, *_genders(one.genders)]
    if not looks.values:
        notes.add(f"{name}: the text says nothing of the looks that is drawn; they are left open")
    for line in against:
        notes.add(f"{name}: {line}")
    return Person(
        name=name,
        aliases=tuple(aliases),
        gender=_gender(one.genders),
        mentions=count,
        looks=looks.values,
        said=looks.said,
        contradictions=tuple(against),
    )


def _gender(genders: Sequence[str]) -> Gender:
    """The most said; where two are said equally often, neither."""
    counts = Counter(g for g in genders if g != "unknown")
    female, male = counts["female"], counts["male"]
    return "unknown" if female == male else "female" if female > male else "male"


def _genders(genders: Sequence[str]) -> list[str]:
    if not {"female", "male"} <= set(genders):
        return []
    return [f"gender is both female and male; {_gender(genders)} is taken"]
