"""Late fusion of pictures and descriptions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lafi_tiny.hand.attributes import Identity
from lafi_tiny.hand.looks import describe
from lafi_tiny.who import fusion
from lafi_tiny.who.fusion import (
    WEIGHTS,
    Enrolled,
    Probes,
    best_weight,
    descriptions,
    lookalike_error,
)
from lafi_tiny.who.open_set import unseen_characters
from lafi_tiny.who.verification import Array


def units(seed: int, *shape: int) -> Array:
    rows = np.random.default_rng(seed).normal(size=shape)
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


@given(st.floats(0, 1), st.integers(0, 99))
def test_an_enrolled_picture_scores_1_and_others_gain_what_they_fit_the_words_better(
    weight: float, seed: int
) -> None:
    enrolled = Enrolled(units(seed, 4, 8), units(seed + 100, 4, 8))
    assert np.diag(enrolled.scores(enrolled.pictures, weight)) == pytest.approx(1.0)
    probe = units(seed + 200, 1, 8)
    gained = (enrolled.scores(probe, weight) - probe @ enrolled.pictures.T)[0]
    better = (probe - enrolled.pictures) @ enrolled.words.T
    assert gained == pytest.approx(weight * np.diag(better))
    assert enrolled.scores(probe, 0.0) == pytest.approx(probe @ enrolled.pictures.T)


def test_where_the_pictures_say_all_the_words_have_no_weight() -> None:
    truth, noise = units(0, 12, 16), units(1, 12, 16)
    own = truth[:, None] + 0.02 * units(2, 12, 3, 16)
    probes = Probes(own, units(3, 24, 16), np.arange(24) % 12)
    by_pictures, by_words = Enrolled(truth, noise), Enrolled(noise, truth)
    assert best_weight(by_pictures, probes) == WEIGHTS[0]
    assert lookalike_error(lambda rows: by_pictures.scores(rows, 0.0), probes) == 0.0
    assert best_weight(by_words, probes) > WEIGHTS[0]
    assert lookalike_error(by_words.by_words, probes) == 0.0
    assert lookalike_error(lambda rows: by_words.scores(rows, 0.0), probes) > 0.2


@pytest.mark.parametrize("said", [(1, 1), (3, 9), (9, 9)])
def test_a_description_names_as_many_attributes_as_asked_and_is_always_the_same(
    said: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    characters, named = unseen_characters(20, 7), []

    def heard(who: Identity, attributes: tuple[str, ...]) -> str:
        named.append((who, attributes))
        return describe(who, attributes)

    monkeypatch.setattr(fusion, "describe", heard)
    texts = descriptions(characters, said, seed=1)
    assert texts == descriptions(characters, said, seed=1)
    assert [who for who, _ in named] == characters * 2
    counts = [len(set(attributes)) for _, attributes in named]
    assert set(counts) <= set(range(said[0], said[1] + 1))
    assert len(set(counts)) > 1 or said[0] == said[1]
