"""Late fusion: one vector stands for a weighted sum of two cosines."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lafi_tiny.attributes import IDENTITY_CHOICES
from lafi_tiny.fusion import WEIGHTS, Seen, descriptions, fused_templates, pair_scores
from lafi_tiny.open_set import unseen_characters
from lafi_tiny.verification import Array


def units(seed: int, *shape: int) -> Array:
    rows = np.random.default_rng(seed).normal(size=shape)
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


@given(st.floats(0, 1), st.integers(0, 99))
def test_the_product_with_a_fused_template_is_the_weighted_sum_of_both_cosines(
    weight: float, seed: int
) -> None:
    pictures, words, probe = units(seed, 4, 8), units(seed + 100, 4, 8), units(seed + 200, 8)
    fused = fused_templates(pictures, words, weight) @ probe
    assert fused == pytest.approx((1 - weight) * (pictures @ probe) + weight * (words @ probe))


def test_every_probe_meets_its_own_template_once_and_every_other_once() -> None:
    templates, probes = units(0, 3, 8), units(1, 3, 5, 8)
    genuine, impostor = pair_scores(templates, probes)
    assert (len(genuine), len(impostor)) == (15, 30)
    assert genuine[5:10] == pytest.approx(probes[1] @ templates[1])


def test_where_one_side_says_nothing_the_other_has_the_weight() -> None:
    truth, noise = units(0, 12, 16), units(1, 12, 16)
    probes, near = truth[:, None] + 0.02 * units(2, 12, 3, 16), units(3, 24, 16)
    owners = np.arange(24) % 12
    by_pictures = Seen(truth, noise, probes, near, owners)
    assert (by_pictures.best_weight(), by_pictures.lookalike_error(0.0)) == (WEIGHTS[0], 0.0)
    by_words = Seen(noise, truth, probes, near, owners)
    assert by_words.best_weight() > 0.3
    assert by_words.lookalike_error(1.0) == 0.0 < by_words.lookalike_error(0.0)


@pytest.mark.parametrize("said", [(1, 1), (3, 8), (8, 8)])
def test_a_description_names_as_many_attributes_as_asked_and_is_always_the_same(
    said: tuple[int, int],
) -> None:
    characters = unseen_characters(20, 7)
    texts = descriptions(characters, said, seed=1)
    assert texts == descriptions(characters, said, seed=1)
    for who, text in zip(characters, texts, strict=True):
        words = re.findall(r"\w+", text)
        # Two attributes may share a word such as a colour, so this counts too many at times.
        told = [name for name in IDENTITY_CHOICES if getattr(who, name) in words]
        assert len(told) >= said[0] - 1
        assert (
            said[1] > 1
            or len(set(words) - {"a", "child", "with", "skin", "hair", "top", "trousers"}) <= 1
        )
    assert len(set(texts)) > 1
