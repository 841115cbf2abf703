"""Weights of words in a prompt, `(a red coat:1.3)`: read from the text, applied to its encoding.

Knows text and its embeddings, neither tokenizers nor storyboards.
"""

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import torch
from torch import Tensor

from lafi.model.text_stack import WordSpan

STEP: Final = 1.1
"""What a pair of parentheses without a number multiplies by; brackets divide by it."""
MAX_WEIGHT: Final = 10.0
_ROUNDING: Final = 1e-5
_MARK: Final = re.compile(
    r"\\(?P<escaped>[()\[\]\\])|(?P<open>[(\[])|:\s*(?P<number>[+-]?(?:\d+\.?\d*|\.\d+))\s*\)"
    r"|(?P<close>[)\]])"
)
_OPENS: Final = {")": "(", "]": "["}


class WeightError(ValueError):
    """A weight is out of range; `got` is the text with it."""

    def __init__(self, got: str) -> None:
        super().__init__(f"got {got}, allowed weights of 0 to {MAX_WEIGHT:g}")
        self.got = got


class WeightedText(NamedTuple):
    """A text without the marks of its weights.

    weights  of each of its letters
    origins  the place of each of its letters in the text as it was written
    """

    text: str
    weights: tuple[float, ...]
    origins: tuple[int, ...]

    @property
    def plain(self) -> bool:
        """Whether no word has a weight."""
        return all(weight == 1.0 for weight in self.weights)

    def moved(self, spans: Sequence[WordSpan]) -> tuple[WordSpan, ...]:
        """Spans of the text as it was written as spans of `text`."""
        return tuple(
            span._replace(
                start=bisect_left(self.origins, span.start),
                stop=bisect_left(self.origins, span.stop),
            )
            for span in spans
        )


def read_weights(text: str) -> WeightedText:
    r"""The text with what its marks mean, as AUTOMATIC1111's web interface reads them.

    `(words:1.3)` is weight 1.3, `(words)` 1.1, `[words]` 1 / 1.1; what is nested multiplies.
    `\(`, `\)`, `\[`, `\]` and `\\` are letters. So are brackets without a partner, which there
    weight the rest of the text. Raises WeightError for a number above MAX_WEIGHT or below 0.
    Source: `parse_prompt_attention` in its modules/prompt_parser.py, which diffusers' examples
    copy (examples/community/lpw_stable_diffusion.py).
    """
    letters: list[str] = []
    weights: list[float] = []
    origins: list[int] = []
    opened: dict[str, list[tuple[int, int]]] = {"(": [], "[": []}

    def add(start: int, stop: int) -> None:
        letters.extend(text[start:stop])
        weights.extend([1.0] * (stop - start))
        origins.extend(range(start, stop))

    end = 0
    for mark in _MARK.finditer(text):
        add(end, mark.start())
        end = mark.end()
        kind = "(" if mark["number"] else _OPENS.get(mark["close"] or "", "")
        if mark["open"]:
            opened[mark["open"]].append((len(letters), mark.start()))
        elif mark["escaped"]:
            add(mark.start() + 1, end)
        elif opened[kind]:
            begin, place = opened[kind].pop()
            factor = _factor(mark["number"], kind, text[place:end])
            weights[begin:] = [weight * factor for weight in weights[begin:]]
        else:
            add(mark.start(), end)
    add(end, len(text))
    for begin, place in sorted((*opened["("], *opened["["]), reverse=True):
        letters.insert(begin, text[place])
        weights.insert(begin, 1.0)
        origins.insert(begin, place)
    return WeightedText("".join(letters), tuple(weights), tuple(origins))


def as_read(text: str, *, weighted: bool) -> WeightedText:
    """`read_weights`, or the text as it is written. Raises WeightError."""
    if weighted:
        return read_weights(text)
    return WeightedText(text, (1.0,) * len(text), tuple(range(len(text))))


def weight_spans(read: WeightedText) -> tuple[tuple[WordSpan, ...], tuple[float, ...]]:
    """Letters of one weight other than 1 that stand together, numbered; and those weights."""
    spans = [*_runs(read.weights)]
    numbered = (WordSpan(start, stop, number) for number, (start, stop, _) in enumerate(spans))
    return tuple(numbered), tuple(weight for _, _, weight in spans)


def apply_weights(text: Tensor, weights: Tensor) -> Tensor:
    """An encoded text (T, D) in which token t counts weights[t] times, weights (T,).

    Every hidden state is multiplied by its token's weight; then all are multiplied by one number,
    so that their mean over tokens and channels is what it was. Source: `EmphasisOriginal` in
    AUTOMATIC1111's modules/sd_emphasis.py; over all windows of a text at once, as
    `get_weighted_text_embeddings` in diffusers' examples/community/lpw_stable_diffusion.py. A mean
    that is nothing but rounding, against the mean of absolute values, is not restored.
    """
    weighted = text * weights[:, None]
    rounding = _ROUNDING * text.abs().mean()
    if min(text.mean().abs(), weighted.mean().abs()) <= rounding:
        return weighted
    return weighted * (text.mean() / weighted.mean())


def token_weights(slots: Tensor, weights: Sequence[float]) -> Tensor:
    """(T,): weights[slot] of each token, 1 for the slot -1."""
    return torch.tensor([*weights, 1.0])[slots.long()]


def _runs(weights: Sequence[float]) -> Iterator[tuple[int, int, float]]:
    start = 0
    for place in range(1, len(weights) + 1):
        if place == len(weights) or weights[place] != weights[start]:
            if weights[start] != 1.0:
                yield start, place, weights[start]
            start = place


def _factor(number: str | None, kind: str, got: str) -> float:
    if number is None:
        return STEP if kind == "(" else 1.0 / STEP
    if not 0.0 <= float(number) <= MAX_WEIGHT:
        raise WeightError(got)
    return float(number)
