"""Poses for what figures do: where their joints are, and which panels get them."""

import math
from pathlib import Path

import pytest
from exported_conditions import drawn
from hypothesis import given
from hypothesis import strategies as st
from told_stories import told

from drawn_twice import distance
from lafi.board.error import StoryboardError
from lafi.board.pose import JOINTS, LIMBS
from lafi.board.storyboard import Panel, Storyboard, parse_storyboard
from lafi.engine.torch.engines import load_torch_engines
from lafi_story.poses import (
    FOREARM,
    SHIN,
    THIGH,
    UPPER_ARM,
    Box,
    Pose,
    placed_pose,
    shipped_poses,
    with_poses,
)
from lafi_story.rules import RulePlanner
from lafi_story.steps import Figure, PanelScript, Script
from lafi_story.vocabulary import Action, Vocabulary

TEXT = (
    "Mia ran across the meadow. She had long black hair.\n\n"
    "* * *\n\nThe next morning Mia waved to Tom in the library. Tom sat on a chair.\n\n"
)
WHOLE: Box = (0.0, 0.0, 1.0, 1.0)
LENGTHS = {"elbow": UPPER_ARM, "wrist": FOREARM, "knee": THIGH, "ankle": SHIN}
ANGLES = st.floats(-180, 180)
LIMB = st.tuples(ANGLES, ANGLES)
POSES = st.builds(
    Pose,
    right_arm=LIMB,
    left_arm=LIMB,
    right_leg=LIMB,
    left_leg=LIMB,
    lean=st.floats(-90, 90),
    side=st.booleans(),
    lift=st.floats(0, 0.3),
)
REGIONS = st.sampled_from([WHOLE, (0.0, 0.0, 0.5, 1.0), (0.333, 0.0, 0.667, 1.0), (0.6, 0.2, 1, 1)])


@given(POSES, REGIONS, st.sampled_from([0.5, 0.88]))
def test_a_whole_figure_is_in_its_region_and_has_no_limb_longer_than_others(
    pose: Pose, region: Box, share: float
) -> None:
    left, top, right, bottom = region
    joints = placed_pose(pose, region, share)
    for x, y in joints.values():
        assert left - 1e-3 <= x <= right + 1e-3
        assert top - 1e-3 <= y <= bottom + 1e-3
    missing = {*JOINTS} - {*joints}
    assert len(missing) == (2 if pose.side else 0)
    sizes = {
        math.dist(joints[first], joints[second]) / length
        for first, second in LIMBS
        for part, length in LENGTHS.items()
        if second.endswith(part) and {first, second} <= {*joints}
    }
    assert max(sizes) - min(sizes) < 0.02
    assert max(sizes) <= share + 0.02


@pytest.mark.parametrize("name", sorted(shipped_poses()))
def test_a_shipped_pose_stands_on_the_ground_and_is_whole(name: str) -> None:
    pose = shipped_poses()[name]
    joints = placed_pose(pose, WHOLE, 0.88)
    lowest = max(y for _, y in joints.values())
    assert lowest == pytest.approx(0.95 - 0.88 * pose.lift, abs=0.02 if pose.lift else 0.002)
    assert {*JOINTS} - {*joints} == ({"left_eye", "left_ear"} if pose.side else set())
    if not pose.side:
        assert joints["right_shoulder"][0] < joints["left_shoulder"][0]


def test_who_stands_right_looks_left() -> None:
    pose = shipped_poses()["pointing"]
    there, here = (placed_pose(pose, (x, 0.0, x + 0.5, 1.0), 0.88) for x in (0.0, 0.5))
    assert there["right_wrist"][0] > there["neck"][0]
    assert here["left_wrist"][0] < here["neck"][0]
    for joint, (x, y) in there.items():
        side, _, part = joint.partition("_")
        other = f"{ {'right': 'left', 'left': 'right'}[side] }_{part}" if part else joint
        assert here[other] == pytest.approx((1 - x, y), abs=2e-3)  # type: ignore[index]


def test_near_by_one_sees_the_upper_part() -> None:
    joints = placed_pose(shipped_poses()["standing"], WHOLE, 1.8)
    assert {"nose", "neck", "right_elbow", "left_elbow"} <= {*joints}
    assert not {"right_ankle", "left_ankle", "right_knee"} & {*joints}


def test_a_story_gives_each_panel_its_poses(
    english_rules: RulePlanner, vocabulary: Vocabulary
) -> None:
    made = told(TEXT, english_rules, vocabulary, poses="net")
    plain = told(TEXT, english_rules, vocabulary, poses="")
    assert made.notes == plain.notes
    again = parse_storyboard(made.to_yaml())
    for panel, before, script in zip(
        again.panels, plain.storyboard.panels, made.script.panels, strict=True
    ):
        (control,) = panel.control
        assert (control.kind, control.strength) == ("net", 1.0)
        assert control.pose is not None
        assert len(control.pose) == len(script.figures) > 0
        assert panel.model_copy(update={"control": ()}) == before
    assert not any(
        panel.control for panel in told(TEXT, english_rules, vocabulary).storyboard.panels
    )
    served = vocabulary.model_copy(update={"pose_control": "net"})
    assert told(TEXT, english_rules, served).storyboard == made.storyboard


def panels(*figures: Figure, prompt: str = "") -> tuple[Storyboard, Script]:
    names = [figure.name for figure in figures]
    board = Storyboard(
        characters=tuple({"name": name, "prompt": "a child"} for name in names),
        panels=(Panel(prompt=" and ".join(f"{{{name}}}" for name in names) or "a beach"),),
    )
    script = PanelScript(first=0, last=0, scene=0, sentence="", figures=figures, prompt=prompt)
    return board, Script(panels=(script,))


@pytest.mark.parametrize(
    ("figures", "prompt", "note"),
    [
        ((Figure(name="mia", action="juggling"),), "", "what mia does has none"),
        ((Figure(name="mia"), Figure(name="tom", action="juggling")), "", "what tom does has none"),
        ((Figure(name="mia"),), "{mia} alone", "its prompt was written by hand"),
        ((), "", "nobody is known to be there"),
    ],
)
def test_a_panel_without_poses_is_named(
    figures: tuple[Figure, ...], prompt: str, note: str, vocabulary: Vocabulary
) -> None:
    board, script = panels(*figures, prompt=prompt)
    assert with_poses(board, script, vocabulary, "net") == (board, (f"panel 0: no pose: {note}",))


def test_an_action_may_name_another_pose(vocabulary: Vocabulary) -> None:
    actions = {"juggling": Action(prompt="juggling", pose="cheering")}
    words = vocabulary.model_copy(update={"actions": vocabulary.actions | actions})
    board, script = panels(Figure(name="mia", action="juggling"))
    made, notes = with_poses(board, script, words, "net")
    assert not notes
    assert made.panels[0].control[0].pose == (
        placed_pose(shipped_poses()["cheering"], WHOLE, 0.88),
    )


def test_a_name_that_no_network_can_have_is_refused_before_anybody_plans(
    vocabulary: Vocabulary,
) -> None:
    with pytest.raises(StoryboardError, match=r"poses: got 'a b', allowed: the name of a control"):
        told(TEXT, None, vocabulary, poses="a b")  # type: ignore[arg-type]


def test_a_network_sees_them(
    checkpoint: Path, pose: Path, english_rules: RulePlanner, vocabulary: Vocabulary
) -> None:
    made = told(TEXT, english_rules, vocabulary, poses="pose").storyboard
    engines = load_torch_engines(checkpoint, controls={"pose": pose})
    shown = [{"control": [panel.control[0].model_dump()]} for panel in made.panels]
    first, second, without = drawn(engines, [*shown[:2], {}])
    assert distance(first, without) > 5
    assert distance(first, second) > 0
