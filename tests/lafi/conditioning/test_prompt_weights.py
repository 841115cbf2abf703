"""Weights of words: what marks mean, and what they do to an encoding."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lafi.conditioning.prompt_weights import (
    WeightError,
    apply_weights,
    as_read,
    read_weights,
    token_weights,
    weight_spans,
)
from lafi.model.text_stack import WordSpan

LESS = 1 / 1.1
TEXTS = st.text(st.sampled_from("ab ()[]\\:.13"), max_size=24)


def parts(text: str) -> list[tuple[str, float]]:
    """The pieces of a text with their weights, rounded."""
    read = read_weights(text)
    spans, weights = weight_spans(read)
    found, end = [], 0
    for span, weight in zip(spans, weights, strict=True):
        found += [(read.text[end : span.start], 1.0), (read.text[span.start : span.stop], weight)]
        end = span.stop
    found.append((read.text[end:], 1.0))
    return [(piece, round(weight, 4)) for piece, weight in found if piece]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a coat", [("a coat", 1)]),
        ("(a red coat:1.3)", [("a red coat", 1.3)]),
        ("a (so)", [("a ", 1), ("so", 1.1)]),
        ("a [less]", [("a ", 1), ("less", round(LESS, 4))]),
        ("((a))", [("a", 1.21)]),
        ("(a (b:2) c:0.5)", [("a ", 0.5), ("b", 1.0), (" c", 0.5)]),
        (r"\(a\) \[b\] \\", [(r"(a) [b] " + "\\", 1)]),
        (r"(a \(b\):1.5)", [("a (b)", 1.5)]),
        ("(a : 2 )", [("a ", 2)]),
        ("(a:.5)", [("a", 0.5)]),
        ("(at noon: the end)", [("at noon: the end", 1.1)]),
        ("smile :) and ( that", [("smile :) and ( that", 1)]),
        ("a) b] :2)", [("a) b] :2)", 1)]),
        ("(a:0)", [("a", 0)]),
    ],
)
def test_marks_mean_what_people_expect(text: str, found: list[tuple[str, float]]) -> None:
    merged: list[tuple[str, float]] = []
    for piece, weight in found:
        if merged and merged[-1][1] == weight:
            merged[-1] = (merged[-1][0] + piece, weight)
        else:
            merged.append((piece, weight))
    assert parts(text) == merged


@pytest.mark.parametrize("text", ["(at 12:30)", "(a:-1)", "(a:10.5)"])
def test_a_weight_out_of_range_is_refused(text: str) -> None:
    with pytest.raises(WeightError) as refused:
        read_weights(text)
    assert refused.value.got == text
    assert as_read(text, weighted=False).text == text


@given(TEXTS)
def test_every_letter_is_where_it_was(text: str) -> None:
    try:
        read = read_weights(text)
    except WeightError:
        return
    assert [text[place] for place in read.origins] == list(read.text)
    assert sorted(read.origins) == list(read.origins)
    assert len(read.weights) == len(read.text)


@given(st.text(st.sampled_from("ab :.13"), max_size=24))
def test_a_text_without_marks_stays(text: str) -> None:
    read = read_weights(text)
    assert read == as_read(text, weighted=False)
    assert read.plain


def test_spans_move_with_their_letters() -> None:
    text = "(a (red) coat:1.3) and a hat"
    (moved,) = read_weights(text).moved([WordSpan(text.index("red"), text.index(" and"), 2)])
    read = read_weights(text)
    assert (read.text[moved.start : moved.stop], moved.slot) == ("red coat", 2)


def test_hidden_states_are_multiplied_and_their_mean_restored() -> None:
    text = torch.randn(5, 8, generator=torch.Generator().manual_seed(0)) + 0.5
    weights = token_weights(torch.tensor([-1, 0, 0, 1, -1]), [1.3, 0.5])
    assert weights.tolist() == pytest.approx([1, 1.3, 1.3, 0.5, 1])
    got = apply_weights(text, weights)
    assert got.mean() == pytest.approx(text.mean().item(), rel=1e-5)
    ratio = got / text
    torch.testing.assert_close(ratio / ratio[0, 0], weights[:, None].expand(5, 8))
    torch.testing.assert_close(apply_weights(text, torch.ones(5)), text)


def test_a_mean_of_nothing_is_not_restored() -> None:
    text = torch.tensor([[1.0, -1.0], [2.0, -2.0]])
    got = apply_weights(text, torch.tensor([1.0, 1.5]))
    assert torch.equal(got, torch.tensor([[1.0, -1.0], [3.0, -3.0]]))
