"""A CLIP tokenizer whose vocabulary comes from the captions of the drawn data set."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
from torch import Tensor
from transformers import CLIPTokenizer

from lafi_tiny.hand.caption import random_caption
from lafi_tiny.stages.blueprint import TEXT_LENGTH
from lafi_tiny.stages.samples import picture_of

START, END = "<|startoftext|>", "<|endoftext|>"
VOCABULARY = 1500
CAPTIONS = 20_000
# CLIP's own: letters together, digits and signs apart.
PIECES = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


def build_tokenizer(
    captions: Iterable[str], vocabulary_size: int = VOCABULARY, length: int = TEXT_LENGTH
) -> CLIPTokenizer:
    """Train byte-level BPE (as CLIP's) on captions; any text, also unseen, can be encoded.

    Returns a tokenizer that pads to `length` with the end token, as SD1.5 does.
    """
    bpe = Tokenizer(
        models.BPE(continuing_subword_prefix="", end_of_word_suffix="</w>", unk_token=END)
    )
    bpe.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size - len(alphabet) - 2,
        initial_alphabet=alphabet,
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    bpe.train_from_iterator(captions, trainer)
    return _as_clip(bpe, alphabet, length)


def _as_clip(bpe: Tokenizer, alphabet: list[str], length: int) -> CLIPTokenizer:
    learnt = json.loads(bpe.to_str())["model"]
    merges = [tuple(pair) for pair in learnt["merges"]]
    # CLIP's vocabulary order: bytes, bytes that end a word, merges, then the two marks.
    tokens = [*alphabet, *(a + "</w>" for a in alphabet), *("".join(m) for m in merges)]
    tokens = [*dict.fromkeys(tokens), START, END]
    return CLIPTokenizer(
        vocab={token: index for index, token in enumerate(tokens)},
        merges=merges,
        model_max_length=length,
        bos_token=START,
        eos_token=END,
        unk_token=END,
        pad_token=END,
    )


def token_ids(tokenizer: CLIPTokenizer, texts: list[str]) -> Tensor:
    """Token ids (B, `TEXT_LENGTH`) int64; shorter texts are padded, longer ones cut."""
    ids: Tensor = tokenizer(
        texts, padding="max_length", max_length=TEXT_LENGTH, truncation=True, return_tensors="pt"
    ).input_ids
    return ids


def some_captions(seed: int, count: int) -> Iterator[str]:
    """Captions of training pictures, from which a vocabulary is learnt."""
    rng = np.random.default_rng([seed, 1])
    return (random_caption(rng, picture_of(seed, i)) for i in range(count))


def stage_tokenizer(folder: Path, seed: int = 0, captions: int = CAPTIONS) -> CLIPTokenizer:
    """The tokenizer kept in `folder`, made of captions if it is missing.

    It is kept with the weights: its ids mean nothing to weights trained with another one.
    """
    kept = folder / "tokenizer"
    if not kept.exists():
        build_tokenizer(some_captions(seed, captions)).save_pretrained(kept)
    tokenizer: CLIPTokenizer = CLIPTokenizer.from_pretrained(kept)
    return tokenizer
