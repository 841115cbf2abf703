"""What is wrong with stages is said by field, value and what is allowed."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lafi.board.error import StoryboardError
from lafi.board.injection import Injection
from lafi.board.reference_image import ReferenceImage
from lafi.board.stages import Sampling, SamplingStage
from lafi.board.storyboard import Storyboard

FIRST = {"size": 0.5}
SOURCE_TWICE = {"from": {"image": None, "panel": None}}
# (the stages of panel 1 of 2, each 64 x 64; the only line, without `panels[1].sampling`)
BAD_STAGES: list[tuple[list[dict[str, object]], str]] = [
    ([{}] * 5, ".stages: got 5 entries, allowed: a list of 1 to 4 stages"),
    ([], ".stages: got 0 entries, allowed: a list of 1 to 4 stages"),
    ([{}, {"denoise": 0}], ".stages[1].denoise: got 0, allowed: more than 0, at most 1"),
    ([{}, {"denoise": 1.1}], ".stages[1].denoise: got 1.1, allowed: more than 0, at most 1"),
    (
        [{}, {"denoise": 0.01, "steps": 20}],
        ".stages[1].denoise: got 0.01, allowed: 0.02 to 1 with 20 steps",
    ),
    (
        [{"denoise": 0.5}, {}],
        ".stages[0].denoise: got 0.5, allowed: 1 in a first stage without from, which begins wi",
    ),
    ([{"size": [60, 32]}, {}], ".stages[0].size: got [60, 32], allowed: [width, height], each 32"),
    ([{"size": 0}, {}], ".stages[0].size: got 0, allowed: [width, height], each 32 to 2048 pixels"),
    ([{"size": 1.5}, {}], ".stages[0].size: got 1.5, allowed: [width, height], each 32 to 2048"),
    ([{"size": [64]}, {}], ".stages[0].size: got [64], allowed: [width, height], each 32 to 2048"),
    (
        [FIRST, {"size": 0.75}],
        ".stages[1].size: got 0.75, allowed: [64, 64], the panel's own, or nothing in its last",
    ),
    (
        [FIRST, {"size": [64, 32]}],
        ".stages[1].size: got [64, 32], allowed: [64, 64], the panel's own, or nothing in its la",
    ),
    (
        [{"mask": [0, 0, 1, 0.5]}, {}],
        ".stages[0].mask: got a mask, allowed: nothing in a first stage without from, which has",
    ),
    ([{}, {"mask": [0, 0, 1, 2]}], ".stages[1].mask: got [0, 0, 1, 2], allowed: [x0, y0, x1, y1]"),
    (
        [{}, {"mask": "m.png"}],
        ".stages[1].mask: got 'm.png', allowed: a PNG, JPEG, WebP",
    ),
    ([{}, {"mask": {}}], ".stages[1].mask: got image and region, or neither, allowed: one of the"),
    ([{}, {"from": 1}], ".stages[1].from: got 1, allowed: an earlier panel, 0 to 0"),
    ([{}, {"from": 7}], ".stages[1].from: got 7, allowed: an earlier panel, 0 to 0"),
    ([{}, {"from": 99}], ".stages[1].from: got 99, allowed: the number of an earlier panel, count"),
    ([{}, {"from": -1}], ".stages[1].from: got -1, allowed: the number of an earlier panel, count"),
    ([{}, SOURCE_TWICE], ".stages[1].from: got image and panel, or neither, allowed: one of the"),
    ([{}, {"from": True}], ".stages[1].from: got True, allowed: a picture, or the number of an ea"),
    ([{}, {"form": 0}], ".stages[1].form: unknown field, allowed: size, steps, sampler, sigmas, "),
    ([{"shift": 0}], ".stages[0].shift: got 0, allowed: more than 0, at most 100"),
    (
        [{"shift": 3, "max_shift": 1.15}],
        ".max_shift: got 1.15, allowed: nothing beside shift, which is fixed",
    ),
    (
        [{"sampler": "LCM", "sigmas": "beta"}, {}],
        ".stages[0].sigmas: got 'beta', allowed: default with LCM",
    ),
    (
        [{}, {"upscale": "area"}],
        ".stages[1].upscale: got 'area', allowed: nearest-exact, bilinear, bicubic, lanczos, pix",
    ),
    (
        [{}, {"reuse_window": "time"}],
        ".stages[1].reuse_window: got 'time', allowed: steps, noise",
    ),
    (
        [{}, {"reuse_end": 0.1}],
        ".stages[1].reuse_end: got 0.1, allowed: 0.15 (its reuse_start) to 1",
    ),
    ([{}, {"prompt": "{tom}"}], ".stages[1].prompt: got '{tom}', allowed: mia"),
    (
        [{}, {"injection": {"start": 0.9}}],
        ".stages[1].injection.end: got 0.8, allowed: 0.9 (its start) to 1",
    ),
]


def _board(stages: object, **more: object) -> Storyboard:
    return Storyboard.model_validate(
        {
            "characters": [{"name": "mia", "prompt": "a girl"}],
            "panels": [{"prompt": "a"}, {"prompt": "{mia}", "sampling": {"stages": stages}}],
            **more,
        }
    )


@pytest.mark.parametrize(("stages", "line"), BAD_STAGES)
def test_bad_stages_are_refused_by_name(stages: list[dict[str, object]], line: str) -> None:
    with pytest.raises(StoryboardError) as refused:
        _board(stages)
    (problem,) = refused.value.problems
    assert problem.startswith(f"panels[1].sampling{line}")


def test_what_is_wrong_with_the_storyboards_own_stages_is_said_once() -> None:
    panels = [{"prompt": "a"}, {"prompt": "b"}]
    with pytest.raises(StoryboardError) as refused:
        Storyboard.model_validate({"sampling": {"denoise": 0.5}, "panels": panels})
    assert [line.split(":")[0] for line in refused.value.problems] == ["sampling.denoise"]
    with pytest.raises(StoryboardError, match=r"^sampling: got 3, allowed: a mapping with steps"):
        Storyboard.model_validate({"sampling": 3, "panels": panels})


def test_pictures_are_counted_once_each(png: bytes) -> None:
    def board(count: int) -> Storyboard:
        panels = [
            {"prompt": "a", "sampling": {"from": png + bytes(number % count)}}
            for number in range(34)
        ]
        return Storyboard.model_validate({"panels": panels})

    assert len(board(32).panels) == 34
    with pytest.raises(
        StoryboardError, match=r"^got 33 different pictures, allowed: at most 32 in references,"
    ):
        board(33)


def test_a_stage_may_have_everything(png: bytes) -> None:
    stage = {
        "size": [64, 64],
        "steps": 16,
        "sampler": "DPM++SDE",
        "sigmas": "beta",
        "shift": 7,
        "eta": 0.5,
        "s_noise": 1.1,
        "guidance": 1,
        "guidance_rescale": 0.7,
        "denoise": 0.6,
        "upscale": "pixels",
        "reuse_threshold": 0.12,
        "reuse_start": 0.7,
        "reuse_window": "noise",
        "seed": 3,
        "prompt": "{mia} closer",
        "variant": "ink",
        "injection": {"layers": [3, 5]},
        "from": 0,
        "mask": png,
    }
    board = _board([{"size": [32, 64]}, stage], injection={"end": 0.5})
    made = board.effective_sampling(board.panels[1]).stages[1]
    assert made.mask is not None
    assert made.mask.image == ReferenceImage(data=png)
    injection = board.effective_injection(board.panels[1], made)
    assert injection == Injection(layers=(3, 5), end=0.5)
    again = Storyboard.model_validate(board.model_dump())
    (panel,) = again.panels[1:]
    assert again.effective_injection(panel, again.effective_sampling(panel).stages[1]) == injection


@settings(deadline=None)
@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 100))
def test_the_short_form_changes_every_stage_and_a_list_replaces_them(
    count: int, own: int, steps: int
) -> None:
    base = Sampling(stages=[SamplingStage(guidance=float(n)) for n in range(count)])
    short = Sampling.model_validate({"steps": steps}).completed_by(base)
    assert [(stage.steps, stage.guidance) for stage in short.stages] == [
        (steps, float(n)) for n in range(count)
    ]
    whole = Sampling.model_validate({"stages": [{"steps": steps}] * own}).completed_by(base)
    guidance = 0.0 if count == 1 else 5.0
    assert [(stage.steps, stage.guidance) for stage in whole.stages] == [(steps, guidance)] * own
