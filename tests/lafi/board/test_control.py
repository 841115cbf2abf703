"""Controls of a panel: what is taken, what is refused in which words, and how a pose is drawn."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lafi.board.checks import pictures_of
from lafi.board.control import Control
from lafi.board.error import StoryboardError
from lafi.board.pose import COLOURS, JOINTS, LIMBS, skeleton_picture
from lafi.board.reference_image import ReferenceImage
from lafi.board.storyboard import Storyboard, parse_storyboard
from lafi.wire.contract import storyboard_from_tensors, storyboard_to_tensors

POSE = {"neck": [0.5, 0.3], "nose": [0.5, 0.1]}
POINTS = st.tuples(st.floats(0, 0.95), st.floats(0, 0.95))


def board(*controls: Any) -> Storyboard:
    return Storyboard(panels=[{"prompt": "a child", "control": [*controls]}])


@pytest.mark.parametrize(
    ("control", "said"),
    [
        ({"pose": POSE}, "control[0].kind: got nothing, allowed: the name of a control network"),
        ({"kind": "Pose"}, "control[0].kind: got 'Pose', allowed: the name of a control network"),
        ({"kind": "pose"}, "control[0]: got image and pose, or neither, allowed: one of the two"),
        ({"kind": "pose", "pose": []}, "control[0].pose: got 0 entries, allowed: a mapping from"),
        ({"kind": "pose", "pose": {}}, "control[0].pose[0]: got no joints, allowed: a mapping"),
        ({"kind": "pose", "pose": [POSE] * 17}, "control[0].pose: got 17 entries, allowed: a mapp"),
        (
            {"kind": "pose", "pose": {"noze": [0, 0]}},
            "control[0].pose[0].noze: got 'noze', allowed: nose, neck, right_shoulder",
        ),
        (
            {"kind": "pose", "pose": {"nose": [0.5, 1.5]}},
            "control[0].pose[0].nose: got [0.5, 1.5], allowed: [x, y], fractions of the panel's",
        ),
        (
            {"kind": "pose", "pose": POSE, "strength": float("nan")},
            "control[0].strength: got nan, allowed: -10 to 10",
        ),
        (
            {"kind": "pose", "pose": POSE, "region": [0, 0, 1.5, 1]},
            "control[0].region: got [0, 0, 1.5, 1], allowed: [x0, y0, x1, y1] with 0 <= x0",
        ),
        (
            {"kind": "pose", "pose": POSE, "start": 0.6, "end": 0.5},
            "control[0].end: got 0.5, allowed: more than 0.6 (its start), at most 1",
        ),
        (
            {"kind": "pose", "pose": POSE, "prepare": "canny"},
            "control[0].prepare: got 'canny', allowed: none with pose, which is drawn",
        ),
        (
            {"kind": "edges", "image": b"some text", "prepare": "canny"},
            "control[0].image: got 9 bytes that are no image, allowed: a PNG",
        ),
        (
            {"kind": "edges", "image": b"", "prepare": "hed"},
            "control[0].prepare: got 'hed', allowed: none, canny",
        ),
        ({"kind": "pose", "pose": POSE, "scale": 1}, "control[0].scale: unknown field, allowed: "),
    ],
)
def test_what_is_refused(control: dict[str, Any], said: str) -> None:
    with pytest.raises(StoryboardError) as refused:
        board(control)
    assert any(line.startswith(f"panels[0].{said}") for line in refused.value.problems)


def test_there_are_at_most_three() -> None:
    with pytest.raises(StoryboardError, match=r"control: got 4 entries, allowed: a list of at mos"):
        board(*[{"kind": "pose", "pose": POSE}] * 4)


def test_one_figure_may_stand_without_a_list() -> None:
    alone, listed = (board({"kind": "pose", "pose": pose}) for pose in (POSE, [POSE]))
    assert alone == listed


def test_it_crosses_the_wire_with_its_picture(png: bytes) -> None:
    """A picture that something else names too is sent once."""
    controls = [
        {"kind": "edges", "image": png, "prepare": "canny", "strength": 0.5},
        {"kind": "pose", "pose": POSE, "region": [0, 0, 0.5, 1], "start": 0.2},
    ]
    sent = Storyboard(
        characters=[{"name": "mia", "prompt": "a girl", "reference": png}],
        panels=[{"prompt": "{mia}", "control": controls}],
    )
    tensors = storyboard_to_tensors(sent)
    assert tensors["REFERENCES"].tolist() == [png]
    assert storyboard_from_tensors(tensors["STORYBOARD"], tensors["REFERENCES"]) == sent
    fields = [field for field, _ in pictures_of(sent)]
    assert fields == ["characters[0].reference", "panels[0].control[0].image"]


def test_a_file_names_its_picture(png: bytes, tmp_path: Any) -> None:
    (tmp_path / "sketch.png").write_bytes(png)
    text = "panels:\n- prompt: a child\n  control:\n  - {kind: edges, image: %s}\n"
    read = parse_storyboard(text % "sketch.png", tmp_path)
    assert read.panels[0].control[0].image == ReferenceImage(data=png)
    with pytest.raises(StoryboardError, match=r"panels\[0\].control\[0\].image: got 'other.png'"):
        parse_storyboard(text % "other.png", tmp_path)


def test_its_description_names_the_picture_and_holds_no_bytes(png: bytes) -> None:
    described = Control(kind="edges", image=png).described()
    assert described["image"] == ReferenceImage(data=png).sha256
    assert json.loads(json.dumps(described)) == described


@settings(deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from(JOINTS), POINTS, min_size=1), max_size=3))
def test_a_joint_is_a_disc_of_its_colour(figures: list[dict[Any, tuple[float, float]]]) -> None:
    """The joints that are drawn last lie over all else."""
    width, height = 48, 32
    picture = np.asarray(skeleton_picture(figures, width, height))
    assert picture.shape == (height, width, 3)
    if not figures:
        assert not picture.any()
        return
    joint = max(figures[-1], key=JOINTS.index)
    x, y = figures[-1][joint]
    place = (min(height - 1, round(y * height)), min(width - 1, round(x * width)))
    near = picture[max(0, place[0] - 1) : place[0] + 1, max(0, place[1] - 1) : place[1] + 1]
    assert (near == COLOURS[JOINTS.index(joint)]).all(axis=2).any()


def test_a_limb_has_its_colour_and_width() -> None:
    """From right to left shoulder by the neck; at 512 pixels a limb is 8 wide in its middle."""
    figure = {"neck": (0.5, 0.5), "right_shoulder": (0.25, 0.5)}
    picture = np.asarray(skeleton_picture([figure], 512, 512))
    colour = [int(0.6 * channel) for channel in COLOURS[LIMBS.index(("neck", "right_shoulder"))]]
    column = (picture[:, 192] == colour).all(axis=1)
    assert 7 <= column.sum() <= 9
    assert column[256]


def test_a_limb_without_one_of_its_joints_is_not_drawn() -> None:
    picture = np.asarray(skeleton_picture([{"neck": (0.5, 0.5), "left_knee": (0.5, 0.9)}], 64, 64))
    colours = {tuple(colour) for colour in picture.reshape(-1, 3).tolist()} - {(0, 0, 0)}
    assert colours == {COLOURS[JOINTS.index("neck")], COLOURS[JOINTS.index("left_knee")]}
