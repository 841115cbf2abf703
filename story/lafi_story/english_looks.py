"""What an English paragraph says of somebody's looks, in the words of a vocabulary."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lafi_story.language import LookSaid, Mention, inside
from lafi_story.quotes import Quote
from lafi_story.vocabulary import Vocabulary

if TYPE_CHECKING:
    from spacy.tokens import Doc, Span, Token


def looks_in(
    doc: Doc,
    mentions: tuple[Mention, ...],
    quotes: tuple[Quote, ...],
    vocabulary: Vocabulary,
    lexicon: dict[str, Any],
) -> Iterator[LookSaid]:
    """Looks that are said outside quotes, each with the mention of whose they are."""
    wearing = frozenset(lexicon["wearing"])
    worn = _words_of(vocabulary)
    people = frozenset((*lexicon["men"], *lexicon["women"], *lexicon["people"], "one"))
    for sentence in doc.sents:
        if inside(sentence.start_char, quotes) and inside(sentence.end_char - 1, quotes):
            continue
        # Somebody wears or has it, or is with it: `a boy in a green shirt`.
        said = any(
            t.lemma_.lower() in wearing or t.lower_ in ("with", "in", "behind") for t in sentence
        )
        for token in sentence:
            if not inside(token.idx, quotes):
                yield from _of_token(token, sentence, mentions, vocabulary, said, people, worn)


def _of_token(
    token: Token,
    sentence: Span,
    mentions: tuple[Mention, ...],
    vocabulary: Vocabulary,
    said: bool,
    people: frozenset[str],
    worn: _Words,
) -> Iterator[LookSaid]:
    lemma, lower = token.lemma_.lower(), token.lower_
    for slot, look in vocabulary.looks.items():
        things = look.of.get("en", ())
        for value, term in look.values.items():
            if lemma not in term.en and lower not in term.en:
                continue
            if not things and token.pos_ == "ADJ" and not _of_person(token, people):
                continue
            thing = _thing(token, things, worn) if things else token
            if thing is None or not (said or things == ()):
                continue
            owner = _owner(thing, sentence, mentions)
            if owner is not None:
                phrase = thing.doc[thing.left_edge.i : thing.i + 1].text
                yield LookSaid(slot, value, phrase[-80:], owner.start)


def _of_person(token: Token, people: frozenset[str]) -> bool:
    """`a thin woman` or `he was thin`, but no thin ice."""
    here = token
    while here.dep_ == "conj":
        here = here.head
    return here.dep_ in ("acomp", "oprd") or here.head.lemma_.lower() in people


@dataclass(frozen=True, slots=True)
class _Words:
    """All words of looks: things that are worn or grow, and what they are like."""

    things: frozenset[str]
    values: frozenset[str]


def _words_of(vocabulary: Vocabulary) -> _Words:
    slots = vocabulary.looks.values()
    return _Words(
        frozenset(word for look in slots for word in look.of.get("en", ())),
        frozenset(word for look in slots for term in look.values.values() for word in term.en),
    )


def _next_thing(token: Token, worn: _Words) -> Token | None:
    """The thing right behind a word and others like it: `striped green top`; None: none is."""
    for after in token.doc[token.i + 1 : token.sent.end]:
        if after.lemma_.lower() in worn.things or after.lower_ in worn.things:
            return after
        if after.pos_ != "ADJ" and after.lower_ not in worn.values:
            return None
    return None


def _thing(token: Token, things: tuple[str, ...], worn: _Words) -> Token | None:
    """The thing that a word is said of: itself, what stands behind it, or the subject of `was
    red`."""
    if token.lemma_.lower() not in worn.things and (after := _next_thing(token, worn)):
        # Of two things joined by `and` the parser may take both colours for one of them.
        return after if after.lemma_.lower() in things or after.lower_ in things else None
    here = token
    for _ in range(3):
        if here.lemma_.lower() in things or here.lower_ in things:
            return here
        if here.dep_ in ("acomp", "attr"):
            subjects = (c for c in here.head.children if c.dep_ == "nsubj")
            return next((c for c in subjects if c.lemma_.lower() in things), None)
        # `black hair and a yellow sweater`: from adjective to adjective, never from noun to noun.
        joined = here.dep_ == "conj" and here.pos_ == "ADJ"
        if not joined and here.dep_ not in ("amod", "compound", "nmod", "advmod", "npadvmod"):
            return None
        here = here.head
    return None


def _owner(thing: Token, sentence: Span, mentions: tuple[Mention, ...]) -> Mention | None:
    """Whose it is: `her hair`, `a girl with red hair`, or the subject of the sentence."""
    here = [m for m in mentions if sentence.start_char <= m.start < sentence.end_char]
    edge = thing.left_edge.idx
    for mention in here:
        if mention.possessive and edge <= mention.start <= thing.idx:
            return mention
    climbing = thing
    for _ in range(6):
        owner = next((m for m in here if m.start <= climbing.idx < m.end), None)
        if owner is not None and not owner.plural:
            return owner
        if climbing.head is climbing:
            break
        subject = next((c for c in climbing.children if c.dep_ == "nsubj"), None)
        if climbing is not thing and subject is not None:
            found = next((m for m in here if m.start <= subject.idx < m.end), None)
            return found if found is not None and not found.plural else None
        climbing = climbing.head
    return None
