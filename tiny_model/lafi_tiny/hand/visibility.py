"""What can be seen of a figure in its picture; only that is captioned, read and counted."""

from lafi_tiny.hand.attributes import IDENTITY_NAMES, Identity
from lafi_tiny.hand.figure import Figure
from lafi_tiny.hand.pen import UNITS
from lafi_tiny.hand.picture import Picture
from lafi_tiny.hand.pose import Point, half_width
from lafi_tiny.hand.props import prop_centre

DETAIL_SCALE = 0.61
"""Figures below this scale are too small for faces, glasses and patterns; distant ones are."""
STYLES_UNDER_A_CAP = ("long", "curly", "pigtails")
WORN_ON_THE_FACE = ("none", "glasses")
"""Accessories that cannot be told apart from behind or far away."""
HAPPENING = ("action", "expression", "prop", "view", "facing")
"""What a figure does and shows besides who it is."""
ARM_JOINTS = {
    "near": ("near_shoulder", "near_elbow"),
    "far": ("far_shoulder", "far_elbow"),
}
LEG_JOINTS = ("near_hip", "near_knee", "far_hip", "far_knee")


def visible_attributes(picture: Picture, figure: Figure) -> frozenset[str]:
    """Names of identity attributes and of `HAPPENING` that this picture shows of the figure."""
    small = figure.scale < DETAIL_SCALE
    framing = "far" if small else picture.framing
    shown = set(visible_looks(figure.identity, figure.view, framing)) | set(HAPPENING)
    if figure.view == "back":
        shown -= {"expression", "facing"}
    if small:
        shown.discard("expression")
    if figure.prop != "none" and not _inside(_prop_at(figure), 4.0):
        shown.discard("prop")
    return frozenset(shown)


def visible_looks(who: Identity, view: str, framing: str) -> tuple[str, ...]:
    """Names of the identity attributes of `who` that such a view and framing show."""
    hidden: set[str] = set()
    back = view == "back"
    if who.accessory == "cap" and who.hairstyle not in STYLES_UNDER_A_CAP:
        hidden |= {"hairstyle"} if back else {"hairstyle", "hair"}
    if who.accessory in WORN_ON_THE_FACE and (back or framing == "far"):
        hidden.add("accessory")
    if who.accessory == "scarf" and back and who.hairstyle == "long":
        hidden.add("accessory")
    if framing == "far":
        hidden.add("pattern")
    if framing == "near":
        hidden |= {"garment", "bottom"}
        if back:
            hidden.add("skin")
    return tuple(name for name in IDENTITY_NAMES if name not in hidden)


def visible_joints(picture: Picture, figure: Figure) -> frozenset[str]:
    """Names of the joints whose angles can be measured in this picture."""
    if figure.scale < DETAIL_SCALE:
        return frozenset()
    bones = figure.skeleton()
    joints = {"lean"}
    for name, limb in (("near", bones.near_arm), ("far", bones.far_arm)):
        behind = name == "far" and (_behind(figure, limb[1]) or _behind(figure, limb[2]))
        if _inside(limb[2], 0.0) and not behind:
            joints |= set(ARM_JOINTS[name])
    if picture.framing != "near":
        joints |= set(LEG_JOINTS)
    return frozenset(joints)


def _behind(figure: Figure, point: Point) -> bool:
    """True if the figure's own torso or head covers this point."""
    bones, u = figure.skeleton(), figure.scale
    wide = half_width(figure.identity, figure.view) * u
    middle = (bones.neck[0] + bones.hip[0]) / 2
    covered = abs(point[0] - middle) < wide and bones.neck[1] < point[1] < bones.hip[1] + 2 * u
    dx, dy = point[0] - bones.head[0], point[1] - bones.head[1]
    return covered or dx * dx + dy * dy < (15 * u) ** 2


def _prop_at(figure: Figure) -> Point:
    return prop_centre(figure.prop, figure.skeleton(), figure.holding_arm, figure.action)


def _inside(point: Point, margin: float) -> bool:
    """True if the point lies in the picture, `margin` units from its edges."""
    return all(margin <= v <= UNITS - margin for v in point)
