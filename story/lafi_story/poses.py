"""From what figures do to a pose for each, for models with a network that sees skeletons.

The panel is taken to be a square, as the bundled model's are: a storyboard of `lafi story` says
nothing of its sides.
"""

import math
from collections.abc import Mapping
from functools import cache
from typing import Annotated, Final

from pydantic import Field

from lafi.board.checked_model import CheckedModel
from lafi.board.control import Control
from lafi.board.error import StoryboardError, problem
from lafi.board.limits import Allowed
from lafi.board.pose import JOINTS, Joint, Point
from lafi.board.storyboard import Storyboard
from lafi_story.steps import Figure, PanelScript, Script
from lafi_story.vocabulary import Vocabulary, load_words

Box = tuple[float, float, float, float]
Placed = dict[Joint, Point]
Angle = Annotated[float, Field(ge=-180, le=180), Allowed("-180 to 180 degrees")]

SHOULDER, HIP = 0.11, 0.07
"""Half widths, in heights of a standing figure as are all lengths; from the side a third of it."""
_FROM_THE_SIDE: Final = 1 / 3
TRUNK, NECK = 0.32, 0.11
UPPER_ARM, FOREARM = 0.17, 0.15
THIGH, SHIN = 0.235, 0.235
_FACE: Final[Mapping[Joint, Point]] = {
    "nose": (0.0, 0.0),
    "right_eye": (-0.022, 0.022),
    "left_eye": (0.022, 0.022),
    "right_ear": (-0.05, 0.012),
    "left_ear": (0.05, 0.012),
}
_PROFILE: Final[Mapping[Joint, Point]] = {
    "nose": (0.045, 0.0),
    "right_eye": (0.03, 0.022),
    "right_ear": (-0.02, 0.012),
}
"""To the right and up from the middle of the head; from the side, the right one is in front."""
_CROWN: Final = 0.1
"""From the nose up to the top of the head."""
_MARGIN: Final = 0.05
"""Of the region's sides, that stays free on each of them."""
_SHARE: Final = {"far": 0.5, "medium": 0.88, "near": 1.8}
"""Height of a standing figure, of its region's."""
_OTHER: Final[Mapping[str, str]] = {"right": "left", "left": "right"}


class Pose(CheckedModel):
    """Angles of a figure, as `words/poses.yaml` says."""

    right_arm: tuple[Angle, Angle]
    left_arm: tuple[Angle, Angle]
    right_leg: tuple[Angle, Angle]
    left_leg: tuple[Angle, Angle]
    lean: Angle = 0.0
    side: bool = False
    lift: Annotated[float, Field(ge=0, le=1), Allowed("0 to 1 heights")] = 0.0


@cache
def shipped_poses() -> dict[str, Pose]:
    """The poses of `words/poses.yaml` by their names."""
    return {name: Pose.model_validate(given) for name, given in load_words("poses").items()}


def with_poses(
    board: Storyboard, script: Script, vocabulary: Vocabulary, kind: str
) -> tuple[Storyboard, tuple[str, ...]]:
    """The storyboard, with a control of this kind in each panel of whose figures all have a pose,
    and notes on the other panels.

    kind: as for `check_control`.
    """
    panels, notes = [], []
    for number, (panel, told) in enumerate(zip(board.panels, script.panels, strict=True)):
        figures = [figure for figure in told.figures if figure.name in panel.characters]
        if why := _without(told, figures, vocabulary):
            notes.append(f"panel {number}: no pose: {why}")
            panels.append(panel)
            continue
        skeletons = tuple(
            placed_pose(
                shipped_poses()[_pose_name(figure, vocabulary)],
                panel.regions.get(figure.name, (0.0, 0.0, 1.0, 1.0)),
                _SHARE[told.framing],
            )
            for figure in figures
        )
        control = Control(kind=kind, pose=skeletons)
        panels.append(panel.model_copy(update={"control": (control,)}))
    return board.model_copy(update={"panels": tuple(panels)}), tuple(notes)


def check_control(kind: str) -> None:
    """Raises StoryboardError unless it may be the name of a model's network for poses."""
    try:
        Control(kind=kind)
    except StoryboardError:
        allowed = "the name of a control network or adapter of the model, such as pose"
        raise StoryboardError([problem("poses", kind, allowed)]) from None


def _without(told: PanelScript, figures: list[Figure], vocabulary: Vocabulary) -> str:
    """Why a panel has no pose; "": it has. A network would leave out whom its picture lacks."""
    if told.prompt:
        return "its prompt was written by hand"
    if not figures:
        return "nobody is known to be there"
    names = [f.name for f in figures if _pose_name(f, vocabulary) not in shipped_poses()]
    return f"what {', '.join(names)} does has none" if names else ""


def _pose_name(figure: Figure, vocabulary: Vocabulary) -> str:
    word = figure.action or vocabulary.unknown_action
    action = vocabulary.actions.get(word)
    return action.pose or word if action is not None else ""


def placed_pose(pose: Pose, region: Box, share: float) -> Placed:
    """The joints of a figure in its region that are inside the picture, as fractions of it.

    share: height of the figure, if it stood, of the region's; above 1 its head is what is to be
    seen. A pose that is too wide or too tall becomes smaller. In the right half of a picture it
    looks left.
    """
    left, top, right, bottom = region
    joints = _joints(pose)
    if left + right > 1:
        joints = _mirrored(joints)
    xs, ys = zip(*joints.values(), strict=True)
    crown = joints["nose"][1] - _CROWN
    margin, inside = _MARGIN * (bottom - top), 1 - 2 * _MARGIN
    if share > 1:
        size = min(share * (bottom - top), (right - left) * inside / (2 * SHOULDER))
        middle, origin = joints["neck"][0], top + margin - crown * size
    else:
        wide, tall = max(xs) - min(xs), max(ys) - min(crown, *ys) + pose.lift
        size = min(share * (bottom - top), (right - left) * inside / wide)
        size = min(size, (bottom - top) * inside / tall)
        middle, origin = (max(xs) + min(xs)) / 2, bottom - margin - (max(ys) + pose.lift) * size
    placed = {
        joint: (round((left + right) / 2 + (x - middle) * size, 3), round(origin + y * size, 3))
        for joint, (x, y) in joints.items()
    }
    return {joint: at for joint, at in placed.items() if all(0 <= value <= 1 for value in at)}


def _joints(pose: Pose) -> Placed:
    """All joints that are to be seen, around the middle of the hips, in standing heights."""
    narrow = _FROM_THE_SIDE if pose.side else 1.0
    neck = _beside((0.0, 0.0), pose.lean, 0.0, TRUNK)
    joints: Placed = {"neck": neck}
    for side, sign in (("right", -1.0), ("left", 1.0)):
        shoulder = _beside(neck, pose.lean, sign * SHOULDER * narrow, 0.0)
        hip = _beside((0.0, 0.0), pose.lean, sign * HIP * narrow, 0.0)
        joints |= _limb(side, ("shoulder", "elbow", "wrist"), shoulder, (UPPER_ARM, FOREARM), pose)
        joints |= _limb(side, ("hip", "knee", "ankle"), hip, (THIGH, SHIN), pose)
    tilt = 0.7 * pose.lean
    head = _beside(neck, tilt, 0.0, NECK)
    for place, (across, up) in (_PROFILE if pose.side else _FACE).items():
        joints[place] = _beside(head, tilt, across, up)
    return joints


def _limb(
    side: str, parts: tuple[str, str, str], start: Point, lengths: tuple[float, float], pose: Pose
) -> Placed:
    """The three joints of an arm or a leg."""
    upper, bend = getattr(pose, f"{side}_{'arm' if parts[0] == 'shoulder' else 'leg'}")
    middle = _step(start, upper, lengths[0])
    points = (start, middle, _step(middle, upper + bend, lengths[1]))
    return {_joint(f"{side}_{part}"): at for part, at in zip(parts, points, strict=True)}


def _joint(name: str) -> Joint:
    return next(joint for joint in JOINTS if joint == name)


def _step(start: Point, angle: float, length: float) -> Point:
    """0 degrees: down, 90: to the right."""
    turn = math.radians(angle)
    return (start[0] + length * math.sin(turn), start[1] + length * math.cos(turn))


def _beside(start: Point, lean: float, across: float, up: float) -> Point:
    """across: to the right, and up, of what leans to the right."""
    return _step(_step(start, 90 - lean, across), 180 - lean, up)


def _mirrored(joints: Placed) -> Placed:
    """Seen in a mirror, where the right arm is the left one."""

    def other(joint: Joint) -> Joint:
        side, _, part = joint.partition("_")
        return _joint(f"{_OTHER[side]}_{part}") if side in _OTHER else joint

    return {other(joint): (-x, y) for joint, (x, y) in joints.items()}
