"""Error rates and identification as laws of scores."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lafi_tiny.who.verification import (
    Array,
    equal_error_rate,
    error_rates,
    identification,
    templates_of,
)

scores = arrays(np.float64, st.integers(1, 30), elements=st.floats(-1, 1, width=32))


@given(scores, scores)
def test_a_higher_threshold_accepts_less(genuine: Array, impostor: Array) -> None:
    rates = error_rates(genuine, impostor)
    assert np.all(np.diff(rates.threshold) > 0)
    assert np.all(np.diff(rates.false_accept) <= 0)
    assert np.all(np.diff(rates.false_reject) >= 0)
    assert (rates.false_accept[0], rates.false_reject[0]) == (1, 0)
    assert (rates.false_accept[-1], rates.false_reject[-1]) == (0, 1)


@given(scores, scores)
def test_the_equal_error_is_what_its_threshold_gives(genuine: Array, impostor: Array) -> None:
    rate, threshold = equal_error_rate(genuine, impostor)
    accepted, rejected = (impostor >= threshold).mean(), (genuine < threshold).mean()
    rates = error_rates(genuine, impostor)
    smallest = np.abs(rates.false_accept - rates.false_reject).min()
    assert abs(accepted - rejected) == pytest.approx(smallest, abs=1e-12)
    assert 0 <= rate <= 1


def test_scores_apart_give_no_error_and_the_middle_as_threshold() -> None:
    assert equal_error_rate(np.array([0.8, 0.9]), np.array([0.1, 0.4])) == (0.0, 0.6000000000000001)


def test_same_scores_give_half() -> None:
    same = np.linspace(0, 1, 100)
    assert equal_error_rate(same, same)[0] == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize(
    ("genuine", "impostor", "name"), [([], [1], "genuine"), ([1], [], "impostor")]
)
def test_no_scores_are_refused(genuine: list[float], impostor: list[float], name: str) -> None:
    with pytest.raises(ValueError, match=f"{name}: got no scores, allowed: at least one"):
        error_rates(np.array(genuine), np.array(impostor))


def test_a_probe_is_found_missed_or_taken_for_somebody() -> None:
    templates = np.eye(3)
    known = np.array([[1.0, 0, 0], [0, 0.3, 0], [0, 0.9, 0.1]])
    unknown = np.array([[0.8, 0, 0], [0.1, 0, 0]])
    found = identification(templates, known, np.array([0, 1, 2]), unknown, threshold=0.5)
    assert found.rank_1 == pytest.approx(2 / 3)
    assert found.missed == pytest.approx(2 / 3)
    assert found.false_accept == 0.5


@given(arrays(np.float64, (3, 2, 4), elements=st.floats(0.1, 1)))
def test_templates_have_unit_length(embeddings: Array) -> None:
    templates = templates_of(embeddings)
    assert templates.shape == (3, 4)
    assert np.linalg.norm(templates, axis=1) == pytest.approx(1)
