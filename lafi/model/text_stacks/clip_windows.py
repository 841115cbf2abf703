"""A text's tokens in windows of the length that CLIP's encoders take.

Knows places of tokens in a text, no tokenizer.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

BREAK: Final = re.compile(r"\s*\bBREAK\b\s*")
"""A word in capitals that begins a new window, as in AUTOMATIC1111's web interface."""


class Token(NamedTuple):
    """A token and the letters [start, stop) of the text that it stands for."""

    number: int
    start: int
    stop: int


Window = tuple[tuple[Token, ...], ...]
"""The tokens of one window, for each tokenizer."""


def windows(text: str, tokens: Sequence[Sequence[Token]], room: int) -> tuple[Window, ...]:
    """One window or more of at most `room` tokens each, for each tokenizer.

    tokens: of the whole text, for each tokenizer. All tokenizers have the same words in a window.
    A window ends at the word BREAK, else at the last blank in its second half, else where it is
    full. So no word is cut in two that fits.
    """
    found = [
        window
        for start, stop in _between_breaks(text)
        for window in _filled(text, [_within(own, start, stop) for own in tokens], room)
    ]
    return tuple(found) or (tuple(() for _ in tokens),)


def _between_breaks(text: str) -> Iterator[tuple[int, int]]:
    start = 0
    for found in BREAK.finditer(text):
        yield start, found.start()
        start = found.end()
    yield start, len(text)


def _within(tokens: Sequence[Token], start: int, stop: int) -> tuple[Token, ...]:
    return tuple(token for token in tokens if start <= token.start < stop)


def _filled(text: str, rest: list[tuple[Token, ...]], room: int) -> Iterator[Window]:
    """rest: tokens of each tokenizer that are in no window yet."""
    while any(rest):
        end = min(_end(text, own, room) for own in rest)
        counts = [sum(token.start < end for token in own) for own in rest]
        if not any(counts):
            # One word alone, such as a learnt one of many embeddings, is more than a window.
            counts = [min(room, len(own)) for own in rest]
        yield tuple(own[:count] for own, count in zip(rest, counts, strict=True))
        rest = [own[count:] for own, count in zip(rest, counts, strict=True)]


def _end(text: str, tokens: tuple[Token, ...], room: int) -> int:
    """The letter before which a window ends that begins with the first of these tokens."""
    if len(tokens) <= room:
        return len(text)
    for place in range(room, room // 2, -1):
        start = tokens[place].start
        if text[:start][-1:].isspace() and tokens[place - 1].start < start:
            return start
    return tokens[room].start
