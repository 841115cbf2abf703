import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.evaluation.bootstrap import Resampling, interval
from benchmarks.evaluation.regression import pose_weight, turned

Angles = NDArray[np.float64]
FEW = Resampling(resamples=100)


def poses(seed: int, count: int = 80) -> tuple[Angles, Angles]:
    """Targets and references, independent, of nine joints; some near 180 degrees."""
    rng = np.random.default_rng(seed)
    named = rng.uniform(-180, 180, (8, 9))
    return (
        named[rng.integers(8, size=count)],
        named[rng.integers(8, size=count)] + rng.uniform(-12, 12, (count, 9)),
    )


def weight(drawn: Angles, target: Angles, reference: Angles, of: str) -> float:
    statistic = pose_weight(drawn, target, reference, of=of)
    found = interval(statistic, np.arange(len(drawn)), FEW)
    assert found is not None
    assert found.low <= found.value <= found.high
    return found.value


@pytest.mark.parametrize("seed", range(5))
def test_a_copied_pose_has_all_of_the_references_weight(seed: int) -> None:
    target, reference = poses(seed)
    assert weight(reference, target, reference, "reference") == pytest.approx(1.0)
    assert weight(reference, target, reference, "target") == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_an_obedient_pose_has_none_of_it(seed: int) -> None:
    target, reference = poses(seed)
    rng = np.random.default_rng(seed + 100)
    drawn = target + rng.uniform(-12, 12, target.shape)
    assert weight(drawn, target, reference, "reference") == pytest.approx(0.0, abs=0.05)
    assert weight(drawn, target, reference, "target") == pytest.approx(1.0, abs=0.05)


def test_the_more_panels_copy_the_greater_the_weight() -> None:
    target, reference = poses(3)
    weights = []
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        copies = np.arange(len(target)) < share * len(target)
        drawn = np.where(copies[:, None], reference, target)
        weights.append(weight(drawn, target, reference, "reference"))
    assert weights == sorted(weights)
    assert weights[2] == pytest.approx(0.5, abs=0.15)


def test_a_pose_that_is_neither_has_no_weight() -> None:
    target, reference = poses(4)
    drawn = np.tile(np.linspace(-90, 90, 9), (len(target), 1))
    assert weight(drawn, target, reference, "reference") == pytest.approx(0.0, abs=1e-9)


def test_a_whole_turn_changes_nothing() -> None:
    target, reference = poses(5)
    drawn = 0.7 * target + 0.3 * reference
    plain = weight(drawn, target, reference, "reference")
    assert weight(drawn + 360, target - 360, reference + 720, "reference") == pytest.approx(plain)


def test_poses_that_are_alike_cannot_be_told_apart() -> None:
    target, _ = poses(6)
    statistic = pose_weight(target, target, target, of="reference")
    assert interval(statistic, np.arange(len(target)), FEW) is None


def test_a_turn_goes_the_short_way() -> None:
    found = turned(np.array([170.0, -170.0, 10.0]), np.array([-170.0, 170.0, 350.0]))
    assert found.tolist() == [-20.0, 20.0, 20.0]


def test_another_weight_is_refused() -> None:
    target, reference = poses(7, 4)
    with pytest.raises(ValueError, match="of: got 'drawn', allowed target, reference"):
        pose_weight(target, target, reference, of="drawn")
