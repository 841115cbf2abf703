"""Joint angles around named actions, and the skeleton they give.

Angles are in degrees in the picture plane of a figure that faces right: 0 points
down, 90 to the front, 180 up, -90 to the back. Elbows and knees are relative to the
limb above. Lengths are in figure units: at scale 1 a figure is about 80 of the
picture's 128 units tall.
"""

import math
from dataclasses import dataclass, fields, replace

import numpy as np

from lafi_tiny.hand.attributes import Identity

HIP_HEIGHT = 29.0
TORSO = 22.0
NECK_TO_HEAD = 12.0
HEAD = 13.0
"""Radius of the head."""
UPPER_ARM, FOREARM = 11.5, 12.0
THIGH, SHIN = 13.0, 14.0
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
    "standing": Pose(22, 6, -22, -6, 9, -3, -9, 3, 0),
    "waving": Pose(106, 64, -22, -6, 9, -3, -9, 3, 0),
    "cheering": Pose(128, 16, -128, -16, 14, -3, -14, 3, 0),
    "running": Pose(-64, 70, 56, 62, 62, -50, -40, -50, 12),
    "sitting": Pose(40, 30, -26, 30, 84, -82, 66, -66, -4, -11.0),
    "kicking": Pose(-62, -5, 62, 5, 84, -4, -8, -5, -12),
    "jumping": Pose(104, 14, -104, -14, 58, -95, -32, -70, 0, 15.0),
    "pointing": Pose(90, 0, -22, -6, 9, -3, -9, 3, 0),
}
NEAR_HOLD, FAR_HOLD = (28.0, 92.0), (-28.0, -92.0)
"""Shoulder and elbow of an arm that holds something and does nothing else."""
ANGLES = tuple(f.name for f in fields(Pose) if f.name != "lift")
FAR_HAND_HOLDS = ("waving", "pointing")
"""Actions whose near hand is busy; in all others the near one holds the prop."""
HOLDS_UP = ("standing", "sitting", "waving", "pointing")
"""Actions in which the arm with the prop is bent to hold it."""


def random_pose(rng: np.random.Generator, action: str, prop: str = "none") -> Pose:
    """The action's centre with every angle jittered, lean and lift a little."""
    centre = action_centre(action, prop)
    jitter = {name: getattr(centre, name) + rng.uniform(-JITTER, JITTER) for name in ANGLES}
    jitter["lean"] = centre.lean + rng.uniform(-4, 4)
    return Pose(**jitter, lift=centre.lift + rng.uniform(-1.2, 1.2))


def action_centre(action: str, prop: str) -> Pose:
    """The angles around which an action is drawn; a bent arm holds the prop."""
    centre = CENTRES[action]
    if prop == "none" or action not in HOLDS_UP:
        return centre
    if action in FAR_HAND_HOLDS:
        return replace(centre, far_shoulder=FAR_HOLD[0], far_elbow=FAR_HOLD[1])
    return replace(centre, near_shoulder=NEAR_HOLD[0], near_elbow=NEAR_HOLD[1])


def free_pose(rng: np.random.Generator) -> Pose:
    """Joints of no named action, each uniform over what it can do."""
    return Pose(
        near_shoulder=rng.uniform(-80, 170),
        near_elbow=rng.uniform(-10, 110),
        far_shoulder=rng.uniform(-170, 80),
        far_elbow=rng.uniform(-110, 80),
        near_hip=rng.uniform(-50, 95),
        near_knee=rng.uniform(-100, 0),
        far_hip=rng.uniform(-60, 80),
        far_knee=rng.uniform(-100, 5),
        lean=rng.uniform(-15, 15),
        lift=rng.uniform(-2, 12),
    )


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


def half_width(identity: Identity, view: str) -> float:
    """Half of the torso's width in figure units, narrower from the side."""
    wide = 8.0 if identity.build == "slim" else 13.5
    return 0.78 * wide if view == "side" else wide


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
    head = step(neck, 180 - 0.5 * pose.lean, NECK_TO_HEAD)
    shoulder = (neck[0], neck[1] + 4.5 * scale)
    arms, legs = (UPPER_ARM, FOREARM), (THIGH, SHIN)
    out = half_width - 1.5
    apart = half_width - 4.2
    return Skeleton(
        hip=hip,
        neck=neck,
        head=head,
        near_arm=limb(beside(shoulder, out), pose.near_shoulder, pose.near_elbow, arms),
        far_arm=limb(beside(shoulder, -out), pose.far_shoulder, pose.far_elbow, arms),
        near_leg=limb(beside(hip, apart), pose.near_hip, pose.near_knee, legs),
        far_leg=limb(beside(hip, -apart), pose.far_hip, pose.far_knee, legs),
        mirror=mirror,
        scale=scale,
    )
