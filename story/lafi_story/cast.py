"""Finds the characters of a text: which names are people, which names are one person."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from lafi.board.limits import MAX_CHARACTERS
from lafi_story.language import Age, Gender, LanguageReader, Reading
from lafi_story.looks import merged_looks
from lafi_story.naming import free_name
from lafi_story.resolving import Known, Resolver, Understood, Votes
from lafi_story.steps import Cast, Person, quoted
from lafi_story.vocabulary import Vocabulary

_NARRATOR_SENTENCES: Final = 4
_FEWEST_ROLE_MENTIONS: Final = 2


@dataclass(slots=True)
class _Form:
    """One spelling of a name."""

    text: str
    count: int = 0
    told: int = 0
    """Mentions outside quotes, and not only in somebody's thoughts."""
    person: int = 0


@dataclass(slots=True)
class _Group:
    """All spellings of one person, the most frequent first."""

    forms: list[str] = field(default_factory=list)
    name: str = ""
    gender: Gender = "unknown"


def find_cast(
    readings: Sequence[Reading],
    borders: Collection[int],
    reader: LanguageReader,
    vocabulary: Vocabulary,
) -> Cast:
    """The characters, at most MAX_CHARACTERS, with aliases, looks and contradictions."""
    forms = _forms(readings)
    groups = _grouped(forms, readings, reader)
    narrator = _narrator(readings)
    known = _known(groups, narrator, reader)
    resolver = Resolver(known, borders)
    resolver.run(readings)
    _use_votes(groups, resolver.votes, readings, reader)
    known = _known(groups, narrator, reader)
    final = Resolver(known, borders)
    understood = final.run(readings)
    counts = Counter(name for one in understood for name in (*one.who.values(), *one.speakers))
    people = [
        _person(group, counts, readings, understood, vocabulary)
        for group in _with_narrator(groups, narrator, final.votes)
        if counts[group.name]
    ]
    people.sort(key=lambda person: -person.mentions)
    kept, rest = people[:MAX_CHARACTERS], people[MAX_CHARACTERS:]
    notes = [
        f"{person.name}: the text says nothing of the looks that is drawn; they are left open"
        for person in kept
        if not person.looks
    ]
    notes += [f"{person.name}: {line}" for person in kept for line in person.contradictions]
    if rest:
        notes.append(f"{len(rest)} more have names than the {MAX_CHARACTERS} of a storyboard")
    return Cast(
        characters=tuple(kept),
        others=tuple(person.aliases[0] for person in rest),
        notes=tuple(map(quoted, notes)),
    )


def known_of(cast: Cast) -> Known:
    """What a cast, maybe an edited one, tells a `Resolver`."""
    aliases: dict[str, str] = {}
    for person in cast.characters:
        for alias in (person.name, *person.aliases):
            aliases.setdefault(alias.casefold(), person.name)
    narrators = [p.name for p in cast.characters if {"I", "我"} & set(p.aliases)]
    return Known(
        aliases=aliases,
        genders={person.name: person.gender for person in cast.characters},
        narrator=narrators[0] if narrators else "",
    )


def _forms(readings: Sequence[Reading]) -> dict[str, _Form]:
    """Names that are people."""
    forms: dict[str, _Form] = {}
    for reading in readings:
        acting = {deed.subject for deed in reading.deeds if deed.human}
        for mention in reading.mentions:
            if mention.kind != "name":
                continue
            form = forms.setdefault(mention.text, _Form(mention.text))
            form.count += 1
            form.told += not (mention.quoted or mention.thought)
            form.person += mention.person + 2 * (mention.start in acting)
    return {text: form for text, form in forms.items() if 2 * form.person >= form.count}


def _grouped(
    forms: Mapping[str, _Form], readings: Sequence[Reading], reader: LanguageReader
) -> list[_Group]:
    """Names of one person together; only those who are told of, not only spoken of."""
    groups: list[_Group] = []
    said = Counter(pair for reading in readings for pair in reading.same)
    for form in sorted(forms.values(), key=lambda f: (-len(f.text.split()), -f.count, f.text)):
        mates = [
            group
            for group in groups
            if any(
                (one, form.text) in said
                or (form.text, one) in said
                or (reader.same_name(one, form.text) and (form.told or not reader.vague(form.text)))
                for one in group.forms
            )
        ]
        if mates:
            best = max(mates, key=lambda group: sum(forms[f].count for f in group.forms))
            best.forms.append(form.text)
        else:
            groups.append(_Group([form.text]))
    for group in groups:
        group.forms.sort(key=lambda text: (-forms[text].count, text))
        for one, other in said:
            _join_role(groups, group, one, other)
        genders: Counter[Gender] = Counter(
            g for f in group.forms if (g := reader.gender_of(f)) != "unknown"
        )
        group.gender = max(genders, key=lambda g: genders[g]) if genders else "unknown"
    roles = Counter(m.text for r in readings for m in r.mentions if m.kind == "role")
    told = [group for group in groups if _is_told(group, forms, roles, reader)]
    _give_names(told)
    return told


def _is_told(
    group: _Group, forms: Mapping[str, _Form], roles: Mapping[str, int], reader: LanguageReader
) -> bool:
    """Named outside quotes, and more than once or with a full name or title.

    Somebody who is named once has no second panel in which to look the same.
    """
    own = [forms[form] for form in group.forms if form in forms]
    count = sum(form.count for form in own)
    count += sum(n for r, n in roles.items() if any(reader.same_name(f.text, r) for f in own))
    whole = any(" " in form.text for form in own)
    return any(form.told for form in own) and (count > 1 or whole)


def _join_role(groups: list[_Group], group: _Group, one: str, other: str) -> None:
    """`my sister Beatrice`: the role is another name of hers, if it is nobody else's."""
    if one in group.forms and all(other not in g.forms for g in groups):
        group.forms.append(other)


def _give_names(groups: list[_Group]) -> None:
    """A name of a storyboard for each, from its most frequent spelling; none twice."""
    taken = {"narrator", "我", *(group.name for group in groups if group.name)}
    for group in groups:
        group.name = group.name or free_name(group.forms[0], taken)


def _known(groups: Sequence[_Group], narrator: str, reader: LanguageReader) -> Known:
    aliases: dict[str, str] = {}
    for group in groups:
        for form in group.forms:
            aliases.setdefault(form.casefold(), group.name)
    genders = {group.name: group.gender for group in groups}
    ages: dict[str, Age] = {}
    for group in groups:
        told = (reader.age_of(form) for form in group.forms)
        ages[group.name] = next((age for age in told if age), "")
    return Known(aliases, genders, narrator, ages)


def _use_votes(
    groups: list[_Group], votes: Votes, readings: Sequence[Reading], reader: LanguageReader
) -> None:
    """Join roles and called names to characters; make characters of roles that are nobody else."""
    by_name = {group.name: group for group in groups}
    _join_called(by_name, votes.called, reader)
    for name, genders in votes.genders.items():
        if name in by_name and by_name[name].gender == "unknown":
            by_name[name].gender = max(genders, key=lambda g: genders[g])
    quoted_too = Counter(
        m.text for reading in readings for m in reading.mentions if m.kind == "role" and m.definite
    )
    roles = Counter(
        m.text
        for reading in readings
        for m in reading.mentions
        if m.kind == "role" and not m.quoted and m.definite
    )
    said = [pair for reading in readings for pair in reading.same]
    for text in sorted(roles, key=lambda text: (-roles[text], text)):
        for one, other in said:
            if other == text and (group := next((g for g in groups if one in g.forms), None)):
                _join_role(groups, group, one, other)
        if any(text in group.forms for group in groups):
            continue
        titled = [g for g in groups if any(reader.same_name(f, text) for f in g.forms)]
        if len(titled) == 1:
            titled[0].forms.append(text)
            continue
        joined = _join(by_name, text, votes.roles.get(text, Counter()), reader)
        if not joined and quoted_too[text] >= _FEWEST_ROLE_MENTIONS:
            groups.append(_Group([text], gender=reader.gender_of(text.split()[-1])))
    _give_names(groups)


def _join_called(
    by_name: Mapping[str, _Group], called: Mapping[str, Counter[str]], reader: LanguageReader
) -> None:
    """Names that are only called: each is another name of whom it most often calls."""
    for text, votes in called.items():
        likely: Counter[str] = Counter()
        for name, count in votes.items():
            forms = by_name[name].forms if name in by_name else ()
            if forms and not any(reader.differ(form, text) for form in forms):
                likely[name] = count + any(reader.same_name(form, text) for form in forms)
        best = by_name.get(likely.most_common(1)[0][0]) if likely else None
        others = (group for group in by_name.values() if group is not best)
        if best and not any(_share(text, form) for group in others for form in group.forms):
            joined = _join(by_name, text, likely, reader)
            if joined and best.gender == "unknown":
                best.gender = reader.gender_of(text)


def _share(one: str, other: str) -> bool:
    """Whether two names have a word in common: a family's, maybe."""
    return bool({*one.casefold().split()} & {*other.casefold().split()})


def _join(
    by_name: Mapping[str, _Group], text: str, votes: Counter[str], reader: LanguageReader
) -> bool:
    """Give a character one more alias, if most of the text agrees; False: it does not."""
    name = max(votes, key=lambda n: (votes[n], n)) if votes else ""
    if name not in by_name or 2 * votes[name] < votes.total():
        return False
    group, gender = by_name[name], reader.gender_of(text.split()[-1])
    if "unknown" not in (gender, group.gender) and gender != group.gender:
        return False
    group.forms.append(text)
    return True


def _narrator(readings: Sequence[Reading]) -> str:
    """The name of somebody who tells the story as `I`; "": nobody does."""
    own = [m for r in readings for m in r.mentions if m.kind == "narrator" and not m.quoted]
    if len(own) < max(_NARRATOR_SENTENCES, len(readings) // 20):
        return ""
    return "我" if own[0].text == "我" else "narrator"


def _with_narrator(groups: list[_Group], narrator: str, votes: Votes) -> Iterator[_Group]:
    yield from groups
    if narrator:
        called = [
            text
            for text, who in votes.called.items()
            if who.most_common(1)[0][0] == narrator and not any(text in g.forms for g in groups)
        ]
        yield _Group(["I" if narrator == "narrator" else "我", *called], narrator)


def _person(
    group: _Group,
    counts: Mapping[str, int],
    readings: Sequence[Reading],
    understood: Sequence[Understood],
    vocabulary: Vocabulary,
) -> Person:
    looks = merged_looks(group.name, readings, understood, vocabulary)
    return Person(
        name=group.name,
        aliases=tuple(dict.fromkeys(map(quoted, group.forms))),
        gender=group.gender,
        mentions=counts[group.name],
        looks=looks.values,
        said=looks.said,
        contradictions=looks.contradictions,
    )
