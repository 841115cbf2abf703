"""Joint angles around named actions, and the skeleton they give.

Angles are in degrees in the picture plane of a figure that faces right: 0 points
down, 90 to the front, 180 up, -90 to the back. Elbows and knees are relative to the
limb above. Lengths are in figure units: a figure is about 46 units tall.
"""

import math
from dataclasses import dataclass, fields

import numpy as np

HIP_HEIGHT = 15.0
TORSO = 13.0
UPPER_ARM, FOREARM = 6.5, 6.5
THIGH, SHIN = 7.0, 7.5
JITTER = 12.0
"""Every joint of a named action is drawn uniformly within this many degrees of its centre."""

Point = tuple[float, float]
Limb = tuple[Point, Point, Point]
"""Shoulder, elbow, hand; or hip, knee, foot."""


@dataclass(frozen=True, slots=True)
class Pose:
    """Angles in degrees; `lift` is the hip's height above standing, in figure units."""

    near_shoulder: float
    near_elbow: float
    far_shoulder: float
    far_elbow: float
    near_hip: float
    near_knee: float
    far_hip: float
    far_knee: float
    lean: float
    lift: float = 0.0


CENTRES: dict[str, Pose] = {
    "standing": Pose(18, 8, -18, 8, 7, -3, -7, -3, 0),
    "waving": Pose(128, 45, -18, 8, 7, -3, -7, -3, 0),
    "cheering": Pose(150, 10, -150, -10, 14, -3, -14, -3, 0),
    "running": Pose(-62, 75, 58, 55, 62, -55, -38, -45, 12),
    "sitting": Pose(30, 35, -12, 30, 82, -80, 70, -72, -4, -6.0),
    "kicking": Pose(-62, 5, 62, 5, 84, -4, -8, -5, -12),
    "jumping": Pose(108, 10, -108, -10, 58, -95, -32, -70, 0, 9.0),
    "pointing": Pose(90, 0, -18, 8, 7, -3, -7, -3, 0),
}
ANGLES = tuple(f.name for f in fields(Pose) if f.name != "lift")


def random_pose(rng: np.random.Generator, action: str) -> Pose:
    """The action's centre with every angle jittered, lean and lift a little."""
    centre = CENTRES[action]
    jitter = {name: getattr(centre, name) + rng.uniform(-JITTER, JITTER) for name in ANGLES}
    jitter["lean"] = centre.lean + rng.uniform(-4, 4)
    return Pose(**jitter, lift=centre.lift + rng.uniform(-0.7, 0.7))


@dataclass(frozen=True, slots=True)
class Skeleton:
    """Joint positions in picture units (x right, y down), already scaled and mirrored."""

    hip: Point
    neck: Point
    head: Point
    near_arm: Limb
    far_arm: Limb
    near_leg: Limb
    far_leg: Limb
    mirror: float
    scale: float


def solve(
    pose: Pose, *, x: float, ground: float, scale: float, facing: str, half_width: float
) -> Skeleton:
    """Place a pose: feet of a standing figure at (x, ground), `half_width` of the shoulders."""
    mirror = 1.0 if facing == "right" else -1.0

    def step(origin: Point, angle: float, length: float) -> Point:
        a = math.radians(angle)
        return (
            origin[0] + mirror * scale * length * math.sin(a),
            origin[1] + scale * length * math.cos(a),
        )

    def limb(origin: Point, first: float, second: float, lengths: Point) -> Limb:
        joint = step(origin, first, lengths[0])
        return origin, joint, step(joint, first + second, lengths[1])

    def beside(origin: Point, offset: float) -> Point:
        return (origin[0] + mirror * scale * offset, origin[1])

    hip = (x, ground - scale * (HIP_HEIGHT + pose.lift))
    neck = step(hip, 180 - pose.lean, TORSO)
    head = step(neck, 180 - 0.5 * pose.lean, 7.0)
    shoulder = (neck[0], neck[1] + 2.2 * scale)
    arms, legs = (UPPER_ARM, FOREARM), (THIGH, SHIN)
    return Skeleton(
        hip=hip,
        neck=neck,
        head=head,
        near_arm=limb(beside(shoulder, half_width - 1), pose.near_shoulder, pose.near_elbow, arms),
        far_arm=limb(beside(shoulder, 1 - half_width), pose.far_shoulder, pose.far_elbow, arms),
        near_leg=limb(beside(hip, half_width - 3), pose.near_hip, pose.near_knee, legs),
        far_leg=limb(beside(hip, 3 - half_width), pose.far_hip, pose.far_knee, legs),
        mirror=mirror,
        scale=scale,
    )
