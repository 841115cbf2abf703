from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.evaluation.bootstrap import Interval, Resampling, interval
from benchmarks.evaluation.measures import Pair, Panels, diversity, statistics
from benchmarks.evaluation.pairs import Shown

FEW = Resampling(resamples=100)
ACTIONS = {"standing": (0.0, 5.0), "waving": (130.0, 40.0), "kicking": (-60.0, 90.0)}
PLACES = ("beach", "city", "room")


def shown(rng: np.random.Generator, identity: dict[str, str]) -> Shown:
    action = str(rng.choice(list(ACTIONS)))
    return Shown(identity, action, str(rng.choice(PLACES)), "day", ACTIONS[action])


def pairs(count: int = 60) -> list[Pair]:
    rng = np.random.default_rng(0)
    made = []
    for i in range(count):
        identity = {"hair": str(rng.choice(["red", "blue"])), "top": str(rng.choice(["a", "b"]))}
        reference = shown(rng, identity)
        turned = tuple(angle + rng.uniform(-12, 12) for angle in reference.angles)
        picture = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        made.append(Pair(i // 4, replace(reference, angles=turned), shown(rng, identity), picture))
    return made


def figures(given: Sequence[Pair], read: Callable[[Pair], Shown]) -> dict[str, Interval | None]:
    pixels = np.stack([pair.reference_pixels for pair in given])
    panels = Panels(given, [read(pair) for pair in given], pixels)
    return {name: interval(x, panels.groups, FEW) for name, x in statistics(panels).items()}


def value(found: Interval | None) -> float:
    assert found is not None
    return found.value


def test_a_drawing_that_copies_the_reference_leaks_all_of_it() -> None:
    found = figures(pairs(), lambda pair: pair.reference)
    for name in ("identity", "identity_exact", "nearer_to_reference", "scene_leakage"):
        assert value(found[name]) == 1.0
    assert value(found["pose_weight"]) == pytest.approx(1.0)
    assert value(found["target_weight"]) == pytest.approx(0.0, abs=1e-9)
    assert value(found["action_accuracy"]) < 0.6
    assert value(found["copying"]) > 0.5


def test_a_drawing_that_obeys_leaks_nothing() -> None:
    found = figures(pairs(), lambda pair: pair.target)
    for name in ("identity", "action_accuracy", "scene_accuracy"):
        assert value(found[name]) == 1.0
    for name in ("joint_error_degrees", "nearer_to_reference", "scene_leakage"):
        assert value(found[name]) == 0.0
    assert value(found["pose_weight"]) == pytest.approx(0.0, abs=1e-9)


def test_a_stranger_obeys_but_is_nobody() -> None:
    stranger = {"hair": "green", "top": "c"}
    found = figures(pairs(), lambda pair: replace(pair.target, identity=stranger))
    assert value(found["identity"]) == value(found["attribute.hair"]) == 0.0
    assert value(found["action_accuracy"]) == 1.0


def test_half_of_the_attributes_is_half_of_the_identity() -> None:
    found = figures(
        pairs(), lambda p: replace(p.target, identity={**p.target.identity, "top": "other"})
    )
    assert value(found["identity"]) == 0.5
    assert value(found["identity_exact"]) == value(found["attribute.top"]) == 0.0
    assert value(found["attribute.hair"]) == 1.0


def test_what_cannot_be_seen_in_both_is_not_counted() -> None:
    given = [
        replace(pair, reference=replace(pair.reference, identity={"hair": "red"}))
        for pair in pairs(8)
    ]
    found = figures(given, lambda pair: replace(pair.target, identity={"hair": "red", "top": "c"}))
    assert value(found["identity"]) == value(found["identity_exact"]) == 1.0
    assert "attribute.top" not in found


def test_where_nothing_else_was_asked_for_nothing_can_leak() -> None:
    same = [replace(pair, target=pair.reference) for pair in pairs(8)]
    found = figures(same, lambda pair: pair.reference)
    assert found["scene_leakage"] is None
    assert found["nearer_to_reference"] is None


def test_a_reader_without_joints_gives_no_figures_of_pose() -> None:
    found = figures(pairs(8), lambda pair: replace(pair.target, angles=()))
    assert "identity" in found
    assert not {"pose_weight", "joint_error_degrees"} & set(found)


def test_a_mirrored_reference_is_no_copy() -> None:
    given = pairs(8)
    mirrored = np.stack([pair.reference_pixels[:, ::-1] for pair in given])
    grey = np.full_like(mirrored, 128)
    for pixels, low, high in ((mirrored, -1.5, -0.5), (grey, 0.0, 0.0)):
        panels = Panels(given, [pair.target for pair in given], pixels)
        copying = value(interval(statistics(panels)["copying"], panels.groups, FEW))
        assert low <= copying <= high


def test_diversity_is_the_mean_distance_between_seeds() -> None:
    black = np.zeros((3, 1, 4, 4, 3), dtype=np.uint8)
    white = np.full_like(black, 255)
    groups = np.arange(3)
    same = interval(diversity(np.concatenate([white, white], axis=1)), groups, FEW)
    apart = interval(diversity(np.concatenate([black, white], axis=1)), groups, FEW)
    mixed = interval(diversity(np.concatenate([black, white, white], axis=1)), groups, FEW)
    assert (value(same), value(apart)) == (0.0, 1.0)
    assert value(mixed) == pytest.approx(2 / 3)


def test_nothing_to_measure_is_refused() -> None:
    with pytest.raises(ValueError, match="panels: got none, allowed: at least one"):
        statistics(Panels([], [], np.zeros((0, 4, 4, 3), dtype=np.uint8)))
    with pytest.raises(ValueError, match="seeds: got 1, allowed 2 or more"):
        diversity(np.zeros((3, 1, 4, 4, 3), dtype=np.uint8))
