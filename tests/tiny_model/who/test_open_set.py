"""Unseen characters, their portraits and the pairs made of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lafi_tiny.hand.attributes import (
    IDENTITY_CHOICES,
    Identity,
    count_matches,
    is_held_out_identity,
)
from lafi_tiny.who.open_set import (
    CALIBRATION_SEED,
    TEST_SEED,
    Pixels,
    any_picture,
    identify_among,
    neighbours,
    portrait,
    portraits,
    unseen_characters,
    verify,
)
from lafi_tiny.who.recogniser import looks, shows_everything
from lafi_tiny.who.verification import Array


def by_colours(pixels: Pixels) -> Array:
    """An embedding without training: a unit histogram of colours."""
    rows = [np.histogramdd(p.reshape(-1, 3), 4, [(0, 256)] * 3)[0].reshape(-1) for p in pixels]
    return np.stack(rows) / np.linalg.norm(rows, axis=1, keepdims=True)


def test_unseen_characters_differ_and_none_is_or_looks_like_a_training_one() -> None:
    first = unseen_characters(60, CALIBRATION_SEED)
    second = unseen_characters(60, TEST_SEED, set(first))
    assert len({*first, *second}) == 120
    assert all(is_held_out_identity(identity) for identity in first + second)
    assert all(shows_everything(identity) for identity in first + second)


@given(st.from_type(Identity))
def test_neighbours_differ_in_one_attribute_that_can_be_seen(identity: Identity) -> None:
    found = list(neighbours(identity))
    for name, other in found:
        assert count_matches(identity, other) == len(IDENTITY_CHOICES) - 1
        assert getattr(identity, name) != getattr(other, name)
        assert looks(other) != looks(identity)
    seen = {name for name, _ in found}
    assert set(looks(identity)) <= seen
    # Another hair style may hang out from under the cap.
    assert seen - set(looks(identity)) <= {"hairstyle"}


def test_every_pair_of_pictures_is_counted_once() -> None:
    found = verify(by_colours, unseen_characters(5, 0), images=3, seed=0)
    assert len(found.genuine) == 5 * 3
    assert len(found.random) == 10 * 9
    assert set(found.hard) == set(IDENTITY_CHOICES)
    assert all(len(scores) == 5 * 3 for scores in found.hard.values())
    summary = found.summary()
    assert 0 <= summary["equal_error"] <= 1
    assert summary["pairs"] == {"genuine": 15, "random": 90, "hard": 135}


def test_portraits_follow_their_seed() -> None:
    people = unseen_characters(2, 0)
    for draw in (portrait, any_picture):
        assert portraits(people, 2, 1, draw).shape == (2, 2, 128, 128, 3)
        assert np.array_equal(portraits(people, 2, 1, draw), portraits(people, 2, 1, draw))


def test_perfect_embeddings_are_all_identified() -> None:
    people = np.eye(6)[:, None].repeat(4, axis=1)
    found = identify_among(people[:4], people[4:], per_enrolment=1, threshold=0.5)
    assert found == pytest.approx(
        {"rank_1": 1, "missed": 0, "false_accept": 0, "equal_error": 0, "threshold": 0.5}
    )
