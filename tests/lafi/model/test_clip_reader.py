"""Texts to CLIP's token ids, also with learnt words."""

import copy
from pathlib import Path

import pytest
import torch
from diffusers.loaders import TextualInversionLoaderMixin
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers import CLIPTokenizer

from lafi.model.text_stack import TextSize, WordSpan
from lafi.model.text_stacks.clip_reader import ClipReader, expanded

LENGTH = 12


def token_ids(tokenizers: list[CLIPTokenizer], texts: list[str], length: int) -> Tensor:
    return torch.from_numpy(ClipReader(tokenizers, length, 99).token_ids(texts))


def expand_words(tokenizer: CLIPTokenizer, text: str) -> str:
    return expanded(tokenizer, text)[0]


def word_slots(
    tokenizers: list[CLIPTokenizer], text: str, spans: list[WordSpan], length: int
) -> Tensor:
    return torch.from_numpy(ClipReader(tokenizers, length).slots(text, spans))


@pytest.fixture(scope="module")
def tokenizer(checkpoint: Path) -> CLIPTokenizer:
    return CLIPTokenizer.from_pretrained(checkpoint / "tokenizer")


def test_ids_are_padded_to_the_length_of_a_window(tokenizer: CLIPTokenizer) -> None:
    texts = ["", "a child", "孩子", "İ ﬁ e\u0301  \u00a0"]
    ids = token_ids([tokenizer], texts, LENGTH)
    wanted = tokenizer(texts, padding="max_length", max_length=LENGTH).input_ids
    assert ids.dtype == torch.int64
    assert ids.tolist() == wanted


def test_a_long_text_has_windows_that_begin_and_end_each(tokenizer: CLIPTokenizer) -> None:
    text = "a child is running " * 20
    ids = token_ids([tokenizer], ["a child", text], LENGTH)
    assert len(ids) == 1 + -(-80 // (LENGTH - 2))
    assert (ids[:, 0] == tokenizer.bos_token_id).all()
    assert (ids[1:-1, -1] == tokenizer.eos_token_id).all()
    assert inner(tokenizer, ids[1:]) == tokens_of(tokenizer, text)
    assert ClipReader([tokenizer], LENGTH, 99).size(text) == TextSize(80, len(ids) - 1)


def inner(tokenizer: CLIPTokenizer, ids: Tensor) -> list[int]:
    """Tokens without those that begin, end and pad."""
    marks = (tokenizer.bos_token_id, tokenizer.eos_token_id)
    return [token for token in ids.flatten().tolist() if token not in marks]


def test_no_word_that_fits_is_cut_in_two(learnt: CLIPTokenizer) -> None:
    reader = ClipReader([learnt], LENGTH, 99)
    ids = reader.token_ids(["a child is running on the <mia> <mia> <mia>"])
    assert [inner(learnt, torch.from_numpy(row))[0] for row in ids] == [
        tokens_of(learnt, "a")[0],
        tokens_of(learnt, "<mia>")[0],
    ]


def test_a_word_of_more_embeddings_than_a_window_has_all(tokenizer: CLIPTokenizer) -> None:
    other = copy.deepcopy(tokenizer)
    other.add_tokens(["<big>", *(f"<big>_{i}" for i in range(1, 25))])
    ids = token_ids([other], ["a <big> child"], LENGTH)
    assert inner(other, ids) == tokens_of(other, "a <big> child")


@pytest.fixture(scope="module")
def learnt(tokenizer: CLIPTokenizer) -> CLIPTokenizer:
    """Knows `<mia>` by three embeddings, `<tom>` by one and `Zo*` by two."""
    other = copy.deepcopy(tokenizer)
    other.add_tokens(["<mia>", "<mia>_1", "<mia>_2", "<tom>", "Zo*", "Zo*_1"])
    return other


@pytest.mark.parametrize(
    "text",
    [
        "a child is running",
        "<mia> and <tom> on the beach, <mia>",
        "by<mia>, <mia>",
        "<mia>_1 is running",
        "<mia>_3",
    ],
)
def test_words_are_written_out_as_diffusers_does(learnt: CLIPTokenizer, text: str) -> None:
    expected = TextualInversionLoaderMixin()._maybe_convert_prompt(text, learnt)
    ids, wanted = (learnt(t).input_ids for t in (expand_words(learnt, text), expected))
    assert ids == wanted


def test_every_embedding_of_a_word_is_a_token(learnt: CLIPTokenizer) -> None:
    first = learnt.convert_tokens_to_ids("<mia>")
    ids = token_ids([learnt], ["a <MIA> by <tom>"], LENGTH)[0].tolist()
    place = ids.index(first)
    assert ids[place : place + 3] == [first, first + 1, first + 2]
    assert ids.count(first) == 1
    assert first + 3 in ids
    # diffusers misses a word that was learnt with an upper-case letter.
    assert expand_words(learnt, "zo* and Zo*") == "zo* zo*_1 and zo* zo*_1"


@settings(max_examples=20, deadline=None)
@given(st.lists(st.sampled_from(["<mia>", "<mia>_1", "<tom>", "a", "running", "ZO*"]), max_size=6))
def test_what_is_written_out_stays(learnt: CLIPTokenizer, words: list[str]) -> None:
    once = expand_words(learnt, " ".join(words))
    assert expand_words(learnt, once) == once
    assert once.count("<mia>_2") == sum(
        word == "<mia>" and words[i + 1 : i + 3] != ["<mia>_1", "<mia>_2"]
        for i, word in enumerate(words)
    )


def test_a_tokenizer_without_such_words_changes_nothing(tokenizer: CLIPTokenizer) -> None:
    one = copy.deepcopy(tokenizer)
    one.add_tokens(["<mia>", "<tom>_1"])
    for text in ("a <mia> and <Tom>_1", "A Child"):
        assert expand_words(one, text) == expand_words(tokenizer, text) == text


CAPTIONS = ("a slim Child", "红发的孩子", "<mia>, running", "Zo* é", "a ! 😀 hat")
BETWEEN = (" and ", ", ", " 在 ", " is running with <mia> ", " (", ") <tom>: ")
PIECES = st.lists(
    st.tuples(st.sampled_from(BETWEEN), st.integers(0, len(CAPTIONS) - 1)), max_size=5
)


def written(pieces: list[tuple[str, int]], end: str) -> tuple[str, list[WordSpan]]:
    """A text of captions with others between them; span i's slot is its caption's number."""
    text, spans = "", []
    for between, caption in pieces:
        start = len(text) + len(between)
        text += between + CAPTIONS[caption]
        spans.append(WordSpan(start, len(text), caption))
    return text + end, spans


def tokens_of(tokenizer: CLIPTokenizer, text: str) -> list[int]:
    ids: list[int] = tokenizer(expand_words(tokenizer, text), add_special_tokens=False).input_ids
    return ids


@settings(max_examples=60, deadline=None)
@given(PIECES, st.sampled_from(BETWEEN), st.integers(LENGTH, 90))
def test_the_tokens_of_a_span_are_its_captions_and_no_others_are_marked(
    learnt: CLIPTokenizer, pieces: list[tuple[str, int]], end: str, length: int
) -> None:
    text, spans = written(pieces, end)
    slots = word_slots([learnt], text, spans, length)
    ids = token_ids([learnt], [text], length).flatten().tolist()
    expected: list[tuple[int, int]] = []
    for between, caption in pieces:
        expected += [(token, -1) for token in tokens_of(learnt, between)]
        expected += [(token, caption) for token in tokens_of(learnt, CAPTIONS[caption])]
    expected += [(token, -1) for token in tokens_of(learnt, end)]
    found = list(zip(ids, slots.tolist(), strict=True))
    marks = {(learnt.bos_token_id, -1), (learnt.eos_token_id, -1)}
    assert slots.dtype == torch.int32
    assert [pair for pair in found if pair not in marks] == expected


INSIDE, OUTSIDE = st.text("abcé红1!Zo*İ ", min_size=1), st.text("vxyñ白7?<>\u0301 ", max_size=30)


@settings(max_examples=100, deadline=None)
@given(OUTSIDE, INSIDE, OUTSIDE)
def test_no_letter_outside_a_span_is_marked(
    learnt: CLIPTokenizer, before: str, inside: str, after: str
) -> None:
    """Whatever touches the span: words may grow together with it, or letters into one."""
    text, end = before + inside, len(before + inside)
    slots = word_slots([learnt], text + after, [WordSpan(len(before), end, 3)], 120)
    ids = token_ids([learnt], [text + after], 120)[0]
    marked = learnt.decode(ids[slots == 3])
    assert set(slots.tolist()) <= {-1, 3}
    assert not set(marked) & set("vxyñ白7?")
    if not before.strip() and not after.strip(" "):
        assert not learnt.decode(ids[slots != 3], skip_special_tokens=True)


def test_a_word_that_grows_together_with_a_caption_is_nobodys(tokenizer: CLIPTokenizer) -> None:
    slots = word_slots([tokenizer], "a child running", [WordSpan(0, 11, 0)], LENGTH)
    ids = token_ids([tokenizer], ["a child running"], LENGTH)[0]
    assert tokenizer.decode(ids[slots == 0]).split() == ["a", "child"]


def test_tokenizers_that_disagree_leave_a_token_to_nobody(tokenizer: CLIPTokenizer) -> None:
    text, spans = "a child running", [WordSpan(0, 7, 0), WordSpan(8, 15, 1)]
    same = word_slots([tokenizer, copy.deepcopy(tokenizer)], text, spans, LENGTH)
    assert torch.equal(same, word_slots([tokenizer], text, spans, LENGTH))
    other = copy.deepcopy(tokenizer)
    other.add_tokens(["a child", "a child_1", "a child_2", "a child_3"])
    alone, both = (word_slots(t, text, spans, LENGTH) for t in ([other], [tokenizer, other]))
    assert (both == 1).sum() < (alone == 1).sum()
    assert both.tolist() == [a if a == b else -1 for a, b in zip(same, alone, strict=True)]


ENDS = ("", "a child", "a child is running " * 20, "<mia> " * 9, "女孩在海边跑步 " * 4)


@pytest.mark.parametrize("text", ENDS)
def test_what_is_too_much_is_the_end_and_is_refused(learnt: CLIPTokenizer, text: str) -> None:
    reader = ClipReader([learnt], LENGTH)
    end = reader.unread(text)
    assert text.strip().endswith(end)
    whole = tokens_of(learnt, text)
    assert bool(end) == (len(whole) > LENGTH - 2)
    if not end:
        assert inner(learnt, torch.from_numpy(reader.token_ids([text]))) == whole
        return
    assert whole[-len(tokens_of(learnt, end)) :] == tokens_of(learnt, end)
    with pytest.raises(ValueError, match="windows, allowed 1 of 10 tokens"):
        reader.token_ids([text])


def test_of_two_tokenizers_the_one_that_reads_least_counts(tokenizer: CLIPTokenizer) -> None:
    fine = copy.deepcopy(tokenizer)
    fine.add_tokens([*"child"])
    text = "a child is a child is a child"
    alone = ClipReader([fine], LENGTH).unread(text)
    assert len(alone) > len(ClipReader([tokenizer], LENGTH).unread(text))
    assert ClipReader([tokenizer, fine], LENGTH).unread(text) == alone
