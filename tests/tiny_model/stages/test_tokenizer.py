"""The tokenizer: 77 tokens hold nearly every caption, and unknown text is encoded."""

from pathlib import Path

import numpy as np
from transformers import CLIPTokenizer

from lafi_tiny.hand.caption import random_caption
from lafi_tiny.stages.blueprint import TEXT_LENGTH
from lafi_tiny.stages.samples import picture_of
from lafi_tiny.stages.tokenizer import build_tokenizer, stage_tokenizer, token_ids


def captions(count: int, seed: int) -> list[str]:
    rng = np.random.default_rng(seed)
    return [random_caption(rng, picture_of(seed, i)) for i in range(count)]


def test_nearly_every_caption_fits() -> None:
    tokenizer = build_tokenizer(captions(6000, 0))
    lengths = [len(ids) for ids in tokenizer(captions(3000, 1)).input_ids]
    assert np.mean(np.array(lengths) > TEXT_LENGTH) < 0.002


def test_ids_have_one_length_and_texts_stay_apart(tokenizer: CLIPTokenizer) -> None:
    ids = token_ids(tokenizer, ["a child", "a boy in a red top " * 20, "¿qué?"])
    assert ids.shape == (3, TEXT_LENGTH)
    assert len({tuple(row) for row in ids.tolist()}) == 3


def test_it_is_made_once_and_kept(with_autoencoder: Path, tokenizer: CLIPTokenizer) -> None:
    again = stage_tokenizer(with_autoencoder)
    assert again.get_vocab() == tokenizer.get_vocab()
