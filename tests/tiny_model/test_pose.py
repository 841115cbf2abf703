"""Joint angles and the skeleton they give."""

from dataclasses import replace
from math import dist, hypot

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lafi_tiny.attributes import ACTIONS
from lafi_tiny.pose import (
    ANGLES,
    CENTRES,
    FOREARM,
    HIP_HEIGHT,
    JITTER,
    SHIN,
    THIGH,
    TORSO,
    UPPER_ARM,
    Point,
    Pose,
    Skeleton,
    random_pose,
    solve,
)

quick = settings(max_examples=50, deadline=None)
rngs = st.from_type(np.random.Generator)
angles = st.floats(-180, 180)
poses = st.builds(Pose, **dict.fromkeys((*ANGLES, "lift"), angles))


def _place(pose: Pose, facing: str = "right", scale: float = 1.0) -> Skeleton:
    return solve(pose, x=30.0, ground=50.0, scale=scale, facing=facing, half_width=5.0)


def _joints(skeleton: Skeleton) -> list[Point]:
    limbs = (skeleton.near_arm, skeleton.far_arm, skeleton.near_leg, skeleton.far_leg)
    return [skeleton.hip, skeleton.neck, skeleton.head, *(p for limb in limbs for p in limb)]


@quick
@given(poses, st.floats(0.5, 2))
def test_a_figure_that_faces_left_is_the_mirror_of_one_that_faces_right(
    pose: Pose, scale: float
) -> None:
    right, left = _place(pose, "right", scale), _place(pose, "left", scale)
    for (x1, y1), (x2, y2) in zip(_joints(right), _joints(left), strict=True):
        assert x1 - 30 == pytest.approx(30 - x2)
        assert y1 == pytest.approx(y2)


@quick
@given(poses, st.sampled_from(["left", "right"]), st.floats(0.5, 2))
def test_limbs_keep_their_lengths_in_any_pose(pose: Pose, facing: str, scale: float) -> None:
    bones = _place(pose, facing, scale)
    assert dist(bones.hip, bones.neck) == pytest.approx(scale * TORSO)
    for arm in (bones.near_arm, bones.far_arm):
        assert dist(arm[0], arm[1]) == pytest.approx(scale * UPPER_ARM)
        assert dist(arm[1], arm[2]) == pytest.approx(scale * FOREARM)
    for leg in (bones.near_leg, bones.far_leg):
        assert dist(leg[0], leg[1]) == pytest.approx(scale * THIGH)
        assert dist(leg[1], leg[2]) == pytest.approx(scale * SHIN)


@quick
@given(poses, st.floats(-20, 20), st.floats(-20, 20))
def test_a_moved_figure_moves_as_a_whole(pose: Pose, dx: float, dy: float) -> None:
    here = _place(pose)
    there = solve(pose, x=30 + dx, ground=50 + dy, scale=1, facing="right", half_width=5)
    for a, b in zip(_joints(here), _joints(there), strict=True):
        assert hypot(b[0] - a[0] - dx, b[1] - a[1] - dy) < 1e-9


@quick
@given(rngs, st.sampled_from(ACTIONS))
def test_a_random_pose_stays_near_its_action(rng: np.random.Generator, action: str) -> None:
    pose, centre = random_pose(rng, action), CENTRES[action]
    for name in ANGLES:
        assert abs(getattr(pose, name) - getattr(centre, name)) <= JITTER
    assert abs(pose.lean - centre.lean) <= 4
    assert abs(pose.lift - centre.lift) <= 0.7


def test_every_action_has_a_centre_and_no_two_can_be_mistaken() -> None:
    """Some joint of any two actions keeps apart however both are jittered."""
    assert set(CENTRES) == set(ACTIONS)
    for one in ACTIONS:
        for other in ACTIONS:
            apart = max(abs(getattr(CENTRES[one], a) - getattr(CENTRES[other], a)) for a in ANGLES)
            assert one == other or apart > 2 * JITTER


def test_angles_are_measured_from_hanging_down_to_the_front() -> None:
    hanging = Pose(0, 0, 90, 0, 0, 0, -90, 0, 0)
    bones = _place(hanging)
    assert bones.near_arm[2][0] == pytest.approx(bones.near_arm[0][0])
    assert bones.near_arm[2][1] > bones.near_arm[0][1]
    assert bones.far_arm[2][0] - bones.far_arm[0][0] == pytest.approx(UPPER_ARM + FOREARM)
    assert bones.far_leg[0][0] - bones.far_leg[2][0] == pytest.approx(THIGH + SHIN)


def test_lift_raises_the_whole_figure() -> None:
    standing = CENTRES["standing"]
    low, high = _place(standing), _place(replace(standing, lift=9.0))
    assert low.hip[1] == 50 - HIP_HEIGHT
    for a, b in zip(_joints(low), _joints(high), strict=True):
        assert a[1] - b[1] == pytest.approx(9)
