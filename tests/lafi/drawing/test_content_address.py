import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_loop import picture

from lafi.board.reference_image import ReferenceImage
from lafi.board.storyboard import Panel, Storyboard
from lafi.conditioning.character_words import limited_words
from lafi.drawing.content_address import DRAWING_VERSION, content_address, stage_address
from lafi.model.control_info import ControlInfo
from lafi.model.info import ModelInfo
from lafi.model.picture_prompt_info import PicturePromptInfo
from model_infos import model_info

ADDRESS = "1baa36d60e9d87122d592899cb06619768b79dd1c6661c5bfe511b43e0613dbe"
LEARNT_ADDRESS = "0d0659fc62ddba6887b5320b590ef32c073bb47d56f9e9634860c9678eeaeacb"
"""Of the same panel and model with two learnt tokens, from when they were called `words`."""
CONTROLLED_ADDRESS = "bb81ecffc0dde373ec09c675f87bf10ec1ee8b532d4a55b85b5f949f3244dfef"
"""Of the same panel with a control network, from when there were no adapters."""
CHARACTERS: list[dict[str, Any]] = [
    {"name": "mia", "prompt": "a girl"},
    {"name": "tom", "prompt": "a boy", "trigger": "tom_v1"},
    {"name": "eva", "prompt": "a woman"},
]
PANELS: list[dict[str, Any]] = [
    {"prompt": "{mia} and {tom}", "regions": {"mia": [0, 0, 0.5, 1]}, "seed": 5},
    {"prompt": "{eva}"},
]


def board(
    changes: dict[str, Any] | None = None,
    panel: dict[str, Any] | None = None,
    mia: dict[str, Any] | None = None,
    tom: dict[str, Any] | None = None,
    eva: dict[str, Any] | None = None,
) -> Storyboard:
    edits = (mia or {}, tom or {}, eva or {})
    characters = [one | edit for one, edit in zip(CHARACTERS, edits, strict=True)]
    panels = [PANELS[0] | (panel or {}), PANELS[1]]
    fields = {"characters": characters, "panels": panels, **(changes or {})}
    return Storyboard.model_validate(fields)


def address(story: Storyboard, model: ModelInfo) -> str:
    return content_address(story, story.panels[0], {story.variant: model})


POSE = {"nose": [0.5, 0.1]}
BACK = picture(3, 16, 16)
DECIDES: list[dict[str, Any]] = [
    {"changes": {"width": 96}},
    {"changes": {"height": 96}},
    {"changes": {"negative_prompt": "fog"}},
    {"changes": {"sampling": {"steps": 31}}},
    {"changes": {"injection": {"layers": "all"}}},
    {"panel": {"prompt": "{tom} and {mia}"}},
    {"panel": {"negative_prompt": "fog"}},
    {"panel": {"seed": 6}},
    {"panel": {"characters": ["mia"]}},
    {"panel": {"characters": ["mia", "tom", "eva"]}},
    {"panel": {"regions": {}}},
    {"panel": {"regions": {"mia": [0, 0, 0.6, 1]}}},
    {"panel": {"regions": {"tom": [0, 0, 0.5, 1]}}},
    {"panel": {"sampling": {"guidance": 4}}},
    {"panel": {"sampling": {"sampler": "Euler"}}},
    {"panel": {"sampling": {"sampler": "Euler", "sigmas": "karras"}}},
    {"panel": {"sampling": {"guidance_start": 0.2}}},
    {"panel": {"sampling": {"guidance_end": 0.8}}},
    {"panel": {"sampling": {"reuse_threshold": 0.2}}},
    {"panel": {"sampling": {"reuse_threshold": 0.2, "reuse_start": 0.3}}},
    {"panel": {"sampling": {"reuse_threshold": 0.2, "reuse_end": 0.8}}},
    {"panel": {"injection": {"layers": 1}}},
    {"panel": {"injection": {"start": 0.1}}},
    {"panel": {"injection": {"end": 0.9}}},
    {"panel": {"injection": {"strength": 0.5}}},
    {"panel": {"injection": {"branches": "conditional"}}},
    {"panel": {"injection": {"reference_noise": 0.0}}},
    {"panel": {"injection": {"words": "everywhere"}}},
    {"panel": {"control": [{"kind": "pose", "pose": POSE}]}},
    {"panel": {"control": [{"kind": "pose", "pose": POSE, "strength": 0.5}]}},
    {"panel": {"control": [{"kind": "pose", "pose": POSE, "end": 0.5}]}},
    {"panel": {"control": [{"kind": "pose", "pose": POSE, "region": [0, 0, 1, 0.5]}]}},
    {"panel": {"control": [{"kind": "pose", "pose": {"nose": [0.5, 0.2]}}]}},
    {"panel": {"objects": [{"words": "and", "box": [0, 0, 0.5, 1]}]}},
    {"panel": {"objects": [{"words": "and", "box": [0, 0, 0.6, 1]}]}},
    {"panel": {"picture_prompts": [{"character": "mia"}]}},
    {"panel": {"picture_prompts": [{"character": "tom"}]}},
    {"panel": {"picture_prompts": [{"character": "mia", "strength": 0.5}]}},
    {"panel": {"picture_prompts": [{"character": "mia", "start": 0.5}]}},
    {"panel": {"picture_prompts": [{"character": "mia", "region": [0, 0, 1, 0.5]}]}},
    {"panel": {"references": [{"character": "mia", "image": BACK}]}},
    {"panel": {"references": [{"character": "tom", "image": BACK}]}},
    {"panel": {"references": [{"character": "mia", "image": BACK, "part": [0, 0, 1, 0.5]}]}},
    {"changes": {"upscale": 2}},
    {"panel": {"upscale": 3}},
    {"mia": {"prompt": "a girl with a hat"}},
    {"mia": {"kind": "place"}},
    {"mia": {"kind": "prop"}},
    {"tom": {"trigger": "tom_v2"}},
]
DECIDES_NOT: list[dict[str, Any]] = [
    {"changes": {"title": "another"}},
    {"changes": {"priority": 5}},
    {"changes": {"panels": [PANELS[0]]}},
    {"changes": {"panels": [PANELS[0], {"prompt": "a dog", "seed": 99}]}},
    {"changes": {"characters": CHARACTERS[:2], "panels": [PANELS[0]]}},
    {"eva": {"prompt": "a queen"}},
    {"changes": {"upscale": 4}, "panel": {"upscale": 1}},
    {"panel": {"characters": ["mia", "tom"]}},
    {"panel": {"sampling": {"steps": 30}}},
    {"panel": {"sampling": {"reuse_start": 0.3, "reuse_end": 0.8}}},
    {"panel": {"injection": {}}},
    {"panel": {"prompt": " {mia}  and {tom}\n"}},
]


def test_it_is_a_sha256(small_model: ModelInfo) -> None:
    assert re.fullmatch("[0-9a-f]{64}", address(board(), small_model))


@pytest.mark.parametrize("edit", DECIDES)
def test_what_decides_the_pixels_changes_it(edit: dict[str, Any], small_model: ModelInfo) -> None:
    assert address(board(**edit), small_model) != address(board(), small_model)


def test_all_these_changes_give_different_addresses(small_model: ModelInfo) -> None:
    addresses = {address(board(**edit), small_model) for edit in DECIDES}
    assert len(addresses) == len(DECIDES)


@pytest.mark.parametrize("edit", DECIDES_NOT)
def test_what_does_not_decide_them_keeps_it(edit: dict[str, Any], small_model: ModelInfo) -> None:
    assert address(board(**edit), small_model) == address(board(), small_model)


@settings(deadline=None, max_examples=25)
@given(st.from_type(Storyboard))
def test_each_panel_alone_keeps_its_address(story: Storyboard) -> None:
    model = model_info(side_multiple=8)
    for panel in story.panels:
        used = [c for c in story.characters if f"{{{c.name}}}" in panel.prompt]
        others = {*panel.characters, *(each.character for each in panel.picture_prompts)}
        used += [c for c in story.characters if c.name in others and c not in used]
        fields = story.model_dump(exclude={"characters", "panels", "title"})
        alone = Storyboard(**fields, characters=used, panels=[panel])
        (same,) = alone.panels
        assert content_address(alone, same, {"": model}) == content_address(
            story, panel, {"": model}
        )


def test_the_network_that_enlarges_decides(small_model: ModelInfo) -> None:
    def made(upscale: int, network: str) -> str:
        story = board({"upscale": upscale})
        return content_address(story, story.panels[0], {"": small_model}, upscaler=network)

    assert len({made(4, "aa"), made(4, "bb"), made(2, "aa")}) == 3
    assert made(1, "aa") == made(1, "") == address(board(), small_model)


def test_what_a_panel_begins_with_is_not_enlarged(small_model: ModelInfo) -> None:
    """Neither is a portrait, nor what is kept between two stages."""

    def story(first: int, second: int) -> Storyboard:
        panels = [
            PANELS[0] | {"upscale": first},
            {"prompt": "b", "upscale": second, "sampling": {"from": 0, "denoise": 0.5}},
        ]
        return board({"panels": panels})

    models = {"": small_model}
    plain, large = story(1, 1), story(4, 1)
    addresses = {content_address(one, one.panels[1], models) for one in (plain, large)}
    assert len(addresses) == 1
    stages = {stage_address(one, one.panels[1], models, 1) for one in (plain, story(4, 4))}
    assert len(stages) == 1
    portraits = {
        content_address(one, one.portrait_panel("mia"), models)
        for one in (board(), board({"upscale": 4}))
    }
    assert len(portraits) == 1


def test_names_of_characters_do_not_decide(small_model: ModelInfo) -> None:
    characters = [CHARACTERS[0] | {"name": "ann"}, *CHARACTERS[1:]]
    panels = [PANELS[0] | {"prompt": "{ann} and {tom}", "regions": {"ann": [0, 0, 0.5, 1]}}]
    renamed = board({"characters": characters, "panels": panels})
    assert address(renamed, small_model) == address(board(), small_model)


def test_whose_words_they_are_decides(small_model: ModelInfo) -> None:
    """Where two captions are alike, the text does not say which of them is limited where."""
    alike = [CHARACTERS[0], CHARACTERS[1] | {"prompt": "a girl", "trigger": ""}, CHARACTERS[2]]
    cast = {"characters": ["mia", "tom"], "regions": {"mia": [0, 0, 0.5, 1]}}
    stories = [
        board({"characters": alike, "panels": [PANELS[0] | cast | {"prompt": prompt}]})
        for prompt in ("{mia} and {tom}", "{tom} and {mia}", "{mia} and a girl")
    ]
    assert len({address(story, small_model) for story in stories}) == 2
    limited = [limited_words(story, story.panels[0]) for story in stories]
    assert limited[0] == limited[2] != limited[1]


def test_a_panel_that_limits_no_words_keeps_its_address(small_model: ModelInfo) -> None:
    for panel in (
        {"regions": {}},
        {"regions": {"mia": [0, 0, 1, 1]}},
        {"prompt": "a dog and {tom}"},
    ):
        given = {"characters": ["mia", "tom"]} | panel
        stories = [
            board(panel=given | {"injection": {"words": words}})
            for words in ("region", "everywhere")
        ]
        assert len({address(story, small_model) for story in stories}) == 1


def test_reference_bytes_decide(small_model: ModelInfo, png: bytes) -> None:
    images = [ReferenceImage(data=data) for data in (png, png + b"\0")]
    stories = [board(), *(board(mia={"reference": image}) for image in images)]
    assert len({address(story, small_model) for story in stories}) == 3
    unused = board(eva={"reference": images[0]})
    assert address(unused, small_model) == address(board(), small_model)


def test_portraits_follow_the_storyboard_and_references_do_not(
    small_model: ModelInfo, png: bytes
) -> None:
    """A panel with settings of its own depends on the storyboard's only through a portrait."""
    own = {"sampling": {"steps": 9, "sampler": "DDIM", "sigmas": "default", "guidance": 5.0}}
    image = {"reference": ReferenceImage(data=png)}
    for edits, same in (({}, False), ({"mia": image, "tom": image}, True)):
        first = board(panel=own, **edits)
        second = board({"sampling": {"steps": 8}}, panel=own, **edits)
        assert (address(first, small_model) == address(second, small_model)) is same


def test_a_portrait_has_an_address_of_its_own(small_model: ModelInfo) -> None:
    story = board()
    portraits = [
        content_address(story, story.portrait_panel(n), {"": small_model}) for n in ("mia", "tom")
    ]
    assert len({*portraits, address(story, small_model)}) == 3


@pytest.mark.parametrize(
    "change",
    [
        {"weights_sha256": "cd" * 32},
        {"onnx_sha256": {"denoiser.onnx": "00"}},
        {"engine": "openvino"},
        {"precision": "bf16"},
        {"graph_changes": ("split_gates",)},
        {"decoder_precision": "bf16"},
        {"scheduler_config": {"beta_end": 0.02}},
        {"prediction_type": "v_prediction"},
        {"pooled_width": 8},
        {"zero_empty_negative": True},
        {"learnt_tokens": ("<mia>",)},
    ],
)
def test_the_model_decides(change: dict[str, Any], small_model: ModelInfo) -> None:
    other = small_model.model_copy(update=change)
    assert address(board(), other) != address(board(), small_model)


def test_addresses_of_older_models_stay(small_model: ModelInfo) -> None:
    """The address of a model without the newer fields, as the first version gave it."""
    then = board(
        changes={"injection": {"words": "everywhere", "strength": 0.0, "reference_noise": "panel"}}
    )
    learnt = small_model.model_copy(update={"learnt_tokens": ("<mia>", "<mia>_1")})
    for model, expected in ((small_model, ADDRESS), (learnt, LEARNT_ADDRESS)):
        assert content_address(then, then.panels[0], {"": model}, version=1) == expected


@pytest.mark.parametrize("change", [{"name": "other"}, {"variant": "ink"}])
def test_the_models_name_does_not_decide(change: dict[str, Any], small_model: ModelInfo) -> None:
    """Nor does a variant's: its weights and its learnt tokens do."""
    other = small_model.model_copy(update=change)
    assert address(board(), other) == address(board(), small_model)


def test_the_version_of_the_drawing_code_decides(small_model: ModelInfo) -> None:
    story = board()
    panel = story.panels[0]
    newer = content_address(story, panel, {"": small_model}, version=DRAWING_VERSION + 1)
    assert newer != content_address(story, panel, {"": small_model})


@pytest.mark.parametrize("prompt", ["a child", "a (child:1.2)", r"a \(child\)"])
def test_marks_of_weights_count_where_they_are_read(small_model: ModelInfo, prompt: str) -> None:
    panel = Panel(prompt=prompt)
    read, written = (
        content_address(Storyboard(panels=[panel], prompt_weights=on), panel, {"": small_model})
        for on in (True, False)
    )
    assert (read != written) == (prompt != "a child")


def test_a_model_that_reads_longer_texts_is_another(small_model: ModelInfo) -> None:
    panel = Panel(prompt="a child")
    board, longer = Storyboard(panels=[panel]), small_model.model_copy(update={"text_windows": 16})
    before, after = (content_address(board, panel, {"": info}) for info in (small_model, longer))
    assert before != after


def test_the_files_of_a_control_network_count_and_its_name_does_not(
    small_model: ModelInfo,
) -> None:
    """And they count for panels alone that it steers, as they did in the first version."""
    steered = board(panel={"control": [{"kind": "pose", "pose": POSE}]})

    def of(drawn: Storyboard, name: str, digest: str, features: int = 0) -> str:
        control = ControlInfo(name=name, sha256={"network.onnx": digest}, features=features)
        model = small_model.model_copy(update={"controls": (control,)})
        return content_address(drawn, drawn.panels[0], {"": model}, version=1)

    renamed = board(panel={"control": [{"kind": "figure", "pose": POSE}]})
    assert of(steered, "pose", "aa") == of(renamed, "figure", "aa")
    assert of(steered, "pose", "aa") == CONTROLLED_ADDRESS
    assert of(steered, "pose", "aa") != of(steered, "pose", "bb")
    assert of(steered, "pose", "aa", features=4) != of(steered, "pose", "bb", features=4)
    plain = content_address(board(), board().panels[0], {"": small_model}, version=1)
    assert of(board(), "pose", "aa") == of(board(), "pose", "bb") == plain


def test_the_files_of_an_adapter_count_for_panels_with_pictures(small_model: ModelInfo) -> None:
    def of(drawn: Storyboard, digest: str) -> str:
        facts = PicturePromptInfo(side=28, tokens=4, adapter_sha256=digest)
        return address(drawn, small_model.model_copy(update={"picture_prompts": facts}))

    shown = board(panel={"picture_prompts": [{"character": "mia"}]})
    assert of(shown, "aa") != of(shown, "bb")
    assert of(board(), "aa") == of(board(), "bb") == address(board(), small_model)


def test_a_character_as_picture_prompt_is_its_picture(small_model: ModelInfo, png: bytes) -> None:
    """Whatever it is called and described as; without a reference, whatever its portrait is."""

    def shown(given: dict[str, Any], **mia: Any) -> str:
        story = Storyboard(
            characters=[{"name": "mia", "prompt": "a girl"} | mia],
            panels=[{"prompt": "a child", "picture_prompts": [given]}],
        )
        return address(story, small_model)

    by_name = shown({"character": "mia"}, reference=png)
    assert by_name == shown({"image": png})
    assert by_name == shown({"character": "mia"}, reference=png, prompt="a boy")
    drawn = shown({"character": "mia"})
    assert drawn not in (by_name, shown({"character": "mia"}, prompt="a boy"))
