"""Skeletons: lengths stay, and facing left is facing right in a mirror."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lafi_tiny.hand.pose import (
    FOREARM,
    SHIN,
    THIGH,
    UPPER_ARM,
    Point,
    Pose,
    Skeleton,
    free_pose,
    solve,
)

poses = st.integers(0, 2**32 - 1).map(lambda seed: free_pose(np.random.default_rng(seed)))


def solved(pose: Pose, *, facing: str = "right", scale: float = 1.0, x: float = 64.0) -> Skeleton:
    return solve(pose, x=x, ground=116.0, scale=scale, facing=facing, half_width=8.0)


def length(a: Point, b: Point) -> float:
    return math.hypot(a[0] - b[0], a[1] - b[1])


@given(poses, st.floats(0.4, 2.0))
def test_limbs_keep_their_lengths(pose: Pose, scale: float) -> None:
    bones = solved(pose, scale=scale)
    for limb, lengths in (
        (bones.near_arm, (UPPER_ARM, FOREARM)),
        (bones.far_leg, (THIGH, SHIN)),
    ):
        assert length(limb[0], limb[1]) == pytest.approx(scale * lengths[0])
        assert length(limb[1], limb[2]) == pytest.approx(scale * lengths[1])


@given(poses)
def test_facing_left_is_the_mirror_image(pose: Pose) -> None:
    right, left = solved(pose), solved(pose, facing="left")
    for name in ("near_arm", "far_arm", "near_leg", "far_leg"):
        for a, b in zip(getattr(right, name), getattr(left, name), strict=True):
            assert a[0] - 64 == pytest.approx(64 - b[0])
            assert a[1] == pytest.approx(b[1])


@given(poses, st.floats(-20, 20))
def test_moving_a_figure_moves_every_joint(pose: Pose, by: float) -> None:
    here, there = solved(pose), solved(pose, x=64.0 + by)
    assert there.head[0] - here.head[0] == pytest.approx(by)
    assert there.near_arm[2][0] - here.near_arm[2][0] == pytest.approx(by)
