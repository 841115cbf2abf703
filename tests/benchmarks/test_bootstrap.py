import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.evaluation.bootstrap import Resampling, difference, interval, mean, ratio

quick = settings(max_examples=25, deadline=None)
FEW = Resampling(resamples=200)


@quick
@given(st.lists(st.floats(-5, 5), min_size=3, max_size=30), st.integers(0, 3))
def test_the_figure_is_the_mean_and_lies_in_its_interval(values: list[float], seed: int) -> None:
    groups = np.arange(len(values)) // 2
    found = interval(mean(np.array(values)), groups, Resampling(200, seed))
    assert found is not None
    assert found.value == pytest.approx(np.mean(values), abs=1e-9)
    assert min(values) - 1e-9 <= found.low <= found.high <= max(values) + 1e-9


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    hits = 0
    for trial in range(200):
        found = interval(mean(rng.normal(1.0, 2.0, 60)), np.arange(60), Resampling(300, seed=trial))
        assert found is not None
        hits += found.low <= 1.0 <= found.high
    assert 0.88 <= hits / 200 <= 0.99


def test_panels_of_one_reference_are_resampled_together() -> None:
    values = np.repeat(np.random.default_rng(1).normal(size=20), 8)
    apart = interval(mean(values), np.arange(160), FEW)
    together = interval(mean(values), np.repeat(np.arange(20), 8), FEW)
    assert apart is not None
    assert together is not None
    assert together.high - together.low > 1.8 * (apart.high - apart.low)


def test_a_difference_is_taken_over_the_same_panels() -> None:
    rng = np.random.default_rng(2)
    level = rng.normal(0.0, 10.0, 50)
    found = interval(difference(mean(level + 1.0), mean(level)), np.arange(50), FEW)
    assert found is not None
    assert (found.value, found.low, found.high) == pytest.approx((1.0, 1.0, 1.0))


def test_only_the_panels_that_count_do() -> None:
    counts = np.array([True, False, True])
    found = interval(mean(np.array([1.0, 99.0, 3.0]), counts), np.arange(3), FEW)
    assert found is not None
    assert found.value == 2.0
    assert found.high <= 3.0


def test_what_is_not_defined_has_no_figure() -> None:
    nobody = mean(np.ones(3), np.zeros(3, dtype=bool))
    assert interval(nobody, np.arange(3), FEW) is None
    assert interval(ratio(mean(np.ones(3)), mean(np.zeros(3))), np.arange(3), FEW) is None


def test_too_few_groups_have_no_figure_instead_of_one_that_looks_certain() -> None:
    values = mean(np.array([1.0, 2.0, 3.0]))
    assert interval(values, np.zeros(3, dtype=np.int64), FEW) is None
    once = mean(np.arange(8.0), np.arange(8) == 0)
    assert interval(once, np.arange(8), FEW) is None


def test_a_ratio_is_that_of_the_means() -> None:
    found = interval(
        ratio(mean(np.array([1.0, 3.0])), mean(np.array([4.0, 4.0]))), np.arange(2), FEW
    )
    assert found is not None
    assert found.value == 0.5


def test_no_resamples_are_refused() -> None:
    with pytest.raises(ValueError, match="resamples: got 0, allowed 1 or more"):
        Resampling(0)
