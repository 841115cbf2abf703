import json
import re
import subprocess
import sys
from typing import ClassVar

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from lafi.board import file
from lafi.board.error import StoryboardError
from lafi.board.injection import Injection
from lafi.board.reference_image import ReferenceImage
from lafi.board.stages import Sampling, SamplingStage
from lafi.board.storyboard import Character, Panel, Storyboard, parse_storyboard
from lafi.model.check import check_against
from lafi.model.info import ModelInfo

MIA = {"name": "mia", "prompt": "红头发的女孩", "trigger": "mia_v2"}
TOM = {"name": "tom", "prompt": "a tall boy"}


class _Dumper(yaml.SafeDumper):
    """Quotes the words that our loader takes for numbers, such as 0E0."""

    yaml_implicit_resolvers: ClassVar = file._Loader.yaml_implicit_resolvers


def storyboard(**changes: object) -> Storyboard:
    fields = {
        "characters": [MIA, TOM],
        "panels": [{"prompt": "{mia} runs"}, {"prompt": "{tom} and {mia} 在海边"}],
    }
    return Storyboard.model_validate({**fields, **changes})


def panel(**changes: object) -> Panel:
    return storyboard(panels=[{"prompt": "{mia} runs", **changes}]).panels[0]


@settings(deadline=None, max_examples=20)
@given(st.from_type(Storyboard))
def test_json_and_yaml_give_the_same_storyboard(board: Storyboard) -> None:
    assert Storyboard.model_validate_json(board.model_dump_json()) == board
    document = board.model_dump(mode="json")
    assert Storyboard.model_validate(document) == board
    assert parse_storyboard(json.dumps(document)) == board
    for unicode in (False, True):
        text = yaml.dump(document, Dumper=_Dumper, allow_unicode=unicode)
        assert parse_storyboard(text) == board


@settings(deadline=None, max_examples=20)
@given(st.from_type(Storyboard))
def test_every_panel_stands_for_itself(board: Storyboard) -> None:
    alone = [board.model_copy(update={"panels": (one,)}) for one in board.panels]
    again = [Storyboard.model_validate(one.model_dump()).panels[0] for one in alone]
    assert tuple(again) == board.panels


def test_characters_of_a_panel_are_those_its_prompt_names() -> None:
    board = storyboard()
    assert [one.characters for one in board.panels] == [("mia",), ("tom", "mia")]
    assert panel(characters=["tom"]).characters == ("tom",)
    assert panel(characters=[]).characters == ()
    assert panel(characters=None).characters == ("mia",)


def test_prompt_text_puts_trigger_and_description_in() -> None:
    board = storyboard()
    texts = [one.prompt_text(board) for one in board.panels]
    assert texts == ["mia_v2 红头发的女孩 runs", "a tall boy and mia_v2 红头发的女孩 在海边"]


@pytest.mark.parametrize(
    ("everywhere", "here", "text"),
    [("", "", ""), ("fog", "", "fog"), ("", "rain", "rain"), ("fog", "rain", "fog, rain")],
)
def test_negative_prompts_add_up(everywhere: str, here: str, text: str) -> None:
    panels = [{"prompt": "a", "negative_prompt": here}]
    board = storyboard(negative_prompt=everywhere, panels=panels)
    assert board.panels[0].negative_text(board) == text


def test_line_breaks_count_as_blanks() -> None:
    board = parse_storyboard("panels:\n  - prompt: |\n      a dog\n      runs\n")
    assert board.panels[0].prompt == "a dog runs"


def test_seed_is_the_index_unless_given() -> None:
    panels = [{"prompt": "a"}, {"prompt": "a", "seed": 9}, {"prompt": "a"}]
    board = storyboard(panels=panels)
    assert [one.seed for one in board.panels] == [0, 9, 2]
    assert storyboard(panels=[board.panels[2]]).panels[0].seed == 2


def test_what_a_panel_leaves_out_is_the_storyboards() -> None:
    board = storyboard(
        sampling={"steps": 12, "guidance": 2.0},
        injection={"layers": "all", "end": 1.0},
        panels=[{"prompt": "a", "sampling": {"guidance": 7}, "injection": {"start": 0.9}}],
    )
    (one,) = board.panels
    assert board.effective_sampling(one).stages == (SamplingStage(steps=12, guidance=7.0),)
    assert board.effective_injection(one) == Injection(layers="all", start=0.9, end=1.0)


def test_a_panel_without_settings_has_the_storyboards() -> None:
    board = storyboard(sampling={"stages": [{"steps": 3}]})
    assert board.effective_sampling(board.panels[0]) is board.sampling
    assert board.effective_injection(board.panels[0]) is board.injection


def test_portrait_is_drawn_from_the_caption_alone() -> None:
    board = storyboard(sampling={"steps": 7})
    portrait = board.portrait_panel("mia")
    assert portrait.prompt_text(board) == "mia_v2 红头发的女孩"
    assert portrait.characters == ()
    assert portrait.seed == board.portrait_panel("mia").seed != board.portrait_panel("tom").seed
    assert board.effective_sampling(portrait) == board.sampling
    assert board.effective_injection(portrait).layers == "none"
    with pytest.raises(KeyError, match="eva"):
        board.portrait_panel("eva")


def test_nothing_can_be_changed() -> None:
    board = storyboard()
    with pytest.raises(ValidationError, match="frozen"):
        board.width = 128  # type: ignore[misc]


def test_reference_keeps_the_files_bytes(png: bytes) -> None:
    image = Character(name="mia", prompt="a girl", reference=ReferenceImage(data=png)).reference
    assert image is not None
    assert image.data == png
    assert image.pixels().shape == (24, 16, 4)
    assert re.fullmatch("[0-9a-f]{64}", image.sha256)


def test_types_made_alone_raise_storyboard_errors_too() -> None:
    with pytest.raises(StoryboardError, match=r"^steps: got 0, allowed: a whole number, 1 to 100$"):
        SamplingStage(steps=0)
    with pytest.raises(StoryboardError, match=r"^stages\[0\].steps: got 0, allowed"):
        Sampling(stages=[{"steps": 0}])
    with pytest.raises(StoryboardError, match=r"^data: got 4 bytes that are no image, allowed: a"):
        ReferenceImage(data=b"text")


LONG = "x" * 8193
# (what replaces or is added to a valid storyboard, the whole of the error's first line)
BAD_STORYBOARDS: list[tuple[dict[str, object], str]] = [
    ({"panels": []}, "panels: got 0 entries, allowed: a list of 1 to 64 panels"),
    ({"panels": None}, "panels: got nothing, allowed: a list of 1 to 64 panels"),
    ({"panels": "mia"}, "panels: got 'mia', allowed: a list of 1 to 64 panels"),
    (
        {"panels": [{"prompt": "a"}] * 65},
        "panels: got 65 entries, allowed: a list of 1 to 64 panels",
    ),
    (
        {"characters": [{"name": f"c{i}", "prompt": "a"} for i in range(9)]},
        "characters: got 9 entries, allowed: a list of at most 8 characters",
    ),
    (
        {"characters": [MIA, TOM, MIA]},
        "characters[2].name: got 'mia', allowed: a name that no other character has",
    ),
    (
        {"characters": [MIA | {"name": "m.ia"}, TOM]},
        "characters[0].name: got 'm.ia', allowed: a name of 1 to 64 letters, digits, _ and -, "
        "such as mia, 小美 or anna-lena",
    ),
    (
        {"characters": [MIA, TOM | {"prompt": "a {mia}"}]},
        "characters[1].prompt: got 'a {mia}', allowed: 1 to 8192 bytes of UTF-8 text without "
        "control characters or braces (only the prompt of a panel may name a {character})",
    ),
    ({"characters": [MIA, {"name": "tom"}]}, "characters[1].prompt: got nothing, allowed: what "),
    (
        {"characters": [MIA, TOM | {"reference": "tom.png"}]},
        "characters[1].reference: got 'tom.png', allowed: a PNG, JPEG, WebP, AVIF, GIF or "
        "TIFF image",
    ),
    (
        {"characters": [MIA, TOM | {"reference": b"some text"}]},
        "characters[1].reference: got 9 bytes that are no image, allowed: a PNG, JPEG, ",
    ),
    (
        {"characters": [MIA, TOM | {"reference": {"data": "%%%"}}]},
        "characters[1].reference: got '%%%', allowed: an image file as base64",
    ),
    ({"width": 10**6}, "width: got 1000000, allowed: 32 to 2048 pixels, a multiple of 8"),
    ({"height": 100}, "height: got 100, allowed: 32 to 2048 pixels, a multiple of 8"),
    ({"height": 64.0}, "height: got 64.0, allowed: 32 to 2048 pixels, a multiple of 8"),
    ({"width": "64"}, "width: got '64', allowed: 32 to 2048 pixels, a multiple of 8"),
    ({"width": True}, "width: got True, allowed: 32 to 2048 pixels, a multiple of 8"),
    ({"titel": "x"}, "titel: unknown field, allowed: title, variant, width, height, "),
    ({"variant": "Ink!"}, "variant: got 'Ink!', allowed: the name of a variant of the model"),
    ({"priority": 10}, "priority: got 10, allowed: a whole number, -9 to 9"),
    ({"title": 3}, "title: got 3, allowed: at most 2048 bytes of UTF-8 text without control"),
    ({"negative_prompt": LONG}, f"negative_prompt: got '{LONG[:80]}'... (8193 characters), allowe"),
    ({"sampling": 20}, "sampling: got 20, allowed: a mapping with steps, sampler, sigmas, guidanc"),
    ({"sampling": {"steps": 101}}, "sampling.steps: got 101, allowed: a whole number, 1 to 100"),
    (
        {"sampling": {"stages": [{"guidance": 31}]}},
        "sampling.stages[0].guidance: got 31, allowed: 0 to 30",
    ),
    (
        {"sampling": {"sampler": "ddim"}},
        "sampling.sampler: got 'ddim', allowed: DDPM, DDIM, Euler, EulerAncestral, Heun, LCM",
    ),
    (
        {"sampling": {"sampler": "DDIM", "sigmas": "karras"}},
        "sampling.sigmas: got 'karras', allowed: default with DDIM",
    ),
    ({"injection": ["all"]}, "injection: got ['all'], allowed: a mapping with layers, start, end,"),
    (
        {"injection": {"layers": "Some!"}},
        "injection.layers: got 'Some!', allowed: default, none, all, another preset of the model",
    ),
    ({"injection": {"layers": -1}}, "injection.layers: got -1, allowed: default, none, all, an"),
    ({"injection": {"start": -0.1}}, "injection.start: got -0.1, allowed: 0 to 1"),
    (
        {"injection": {"start": 0.9}},
        "injection.end: got 0.8, allowed: 0.9 (its start) to 1",
    ),
    (
        {"injection": {"strength": float("-inf")}},
        "injection.strength: got -inf, allowed: -10 to 10",
    ),
    (
        {"injection": {"branches": "one"}},
        "injection.branches: got 'one', allowed: both, conditional",
    ),
    (
        {"injection": {"reference_noise": 1.5}},
        "injection.reference_noise: got 1.5, allowed: panel, or 0 to 1",
    ),
]
BAD_PANELS: list[tuple[dict[str, object], str]] = [
    ({"prompt": ""}, "prompt: got '', allowed: 1 to 8192 bytes of UTF-8 text without control"),
    ({"prompt": " \n"}, "prompt: got ' \\n', allowed: 1 to 8192 bytes of UTF-8 text"),
    ({"prompt": "a\x00b"}, "prompt: got 'a\\x00b', allowed: 1 to 8192 bytes of UTF-8 text"),
    ({"prompt": "a\x9bb"}, "prompt: got 'a\\x9bb', allowed: 1 to 8192 bytes of UTF-8 text"),
    ({"prompt": "\ud800"}, "prompt: got '\\ud800', allowed: 1 to 8192 bytes of UTF-8 text"),
    ({"prompt": "女" * 2731}, f"prompt: got '{'女' * 80}'... (2731 characters), allowed"),
    ({"prompt": b"abc"}, "prompt: got 3 bytes, allowed: 1 to 8192 bytes of UTF-8 text"),
    ({"prompt": "{mai}"}, "prompt: got '{mai}', allowed: mia, tom (did you mean mia?)"),
    ({"prompt": "{} runs"}, "prompt: got '{}', allowed: mia, tom"),
    ({"prompt": "{mia runs"}, "prompt: got '{mia runs', allowed: braces around a character's name"),
    ({"characters": ["eva"]}, "characters[0]: got 'eva', allowed: mia, tom"),
    ({"characters": ["mia", "mia"]}, "characters[1]: got 'mia', allowed: each character once"),
    (
        {"characters": ["mia"] * 5},
        "characters: got 5 entries, allowed: a list of at most 4 names of characters",
    ),
    ({"characters": "mia"}, "characters: got 'mia', allowed: a list of at most 4 names"),
    ({"seed": -1}, "seed: got -1, allowed: a whole number, 0 to 2**63 - 1"),
    ({"seed": 2**63}, "seed: got 9223372036854775808, allowed: a whole number, 0 to 2**63 - 1"),
    ({"seed": 1.5}, "seed: got 1.5, allowed: a whole number, 0 to 2**63 - 1"),
    ({"sampling": {"guidance": float("nan")}}, "sampling.guidance: got nan, allowed: 0 to 30"),
    ({"sampling": {"guidance": "5"}}, "sampling.guidance: got '5', allowed: 0 to 30"),
    (
        {"sampling": {"stepz": 3}},
        "sampling.stepz: unknown field, allowed: size, steps, sampler, sigmas, shift, base_shift, ",
    ),
    (
        {"sampling": {"guidance_start": 0.5, "guidance_end": 0.4}},
        "sampling.guidance_end: got 0.4, allowed: 0.5 (its guidance_start) to 1",
    ),
    ({"injection": {"end": -1}}, "injection.end: got -1, allowed: 0 to 1"),
    ({"injection": {"start": 0.81}}, "injection.end: got 0.8, allowed: 0.81 (its start) to 1"),
    ({"regions": {"mia": [0, 0, 1]}}, "regions.mia: got [0, 0, 1], allowed: [x0, y0, x1, y1] with"),
    ({"regions": {"mia": [0, 0, 0, 1]}}, "regions.mia: got [0, 0, 0, 1], allowed: [x0, y0, x1, y1"),
    ({"regions": {"mia": [0, 0, 2, 1]}}, "regions.mia: got [0, 0, 2, 1], allowed: [x0, y0, x1, y1"),
    ({"regions": {"mia": "left"}}, "regions.mia: got 'left', allowed: [x0, y0, x1, y1] with 0"),
    ({"regions": [0, 0, 1, 1]}, "regions: got [0, 0, 1, 1], allowed: a mapping from a character's"),
    (
        {"regions": {"tom": [0, 0, 1, 1]}},
        "regions: got 'tom', allowed: mia, who are in this panel",
    ),
    ({"sed": 3}, "sed: unknown field, allowed: prompt, characters, negative_prompt, seed, "),
]


@pytest.mark.parametrize(("changes", "line"), BAD_STORYBOARDS)
def test_bad_storyboard_is_refused_by_name(changes: dict[str, object], line: str) -> None:
    with pytest.raises(StoryboardError) as refused:
        storyboard(**changes)
    assert refused.value.problems[0].startswith(line)


@pytest.mark.parametrize(("changes", "line"), BAD_PANELS)
def test_bad_panel_is_refused_by_name(changes: dict[str, object], line: str) -> None:
    with pytest.raises(StoryboardError) as refused:
        storyboard(panels=[{"prompt": "a"}, {"prompt": "{mia} runs", **changes}])
    assert refused.value.problems[0].startswith(f"panels[1].{line}")
    assert len(refused.value.problems) == 1


@settings(deadline=None, max_examples=40)
@given(st.from_type(Storyboard), st.sampled_from(BAD_STORYBOARDS + BAD_PANELS), st.data())
def test_a_bad_entry_is_named_in_any_storyboard(
    board: Storyboard, bad: tuple[dict[str, object], str], data: st.DataObject
) -> None:
    changes, line = bad
    document = board.model_dump()
    characters = [{"name": "mia", "prompt": "a"}, {"name": "tom", "prompt": "a"}]
    document["characters"] = characters
    document["panels"] = [{"prompt": "{mia} runs"} for _ in board.panels]
    document["sampling"], document["injection"] = {}, {}
    where = ""
    if bad in BAD_PANELS:
        index = data.draw(st.integers(0, len(board.panels) - 1))
        document["panels"][index].update(changes)
        where = f"panels[{index}]."
    else:
        document.update(changes)
    with pytest.raises(StoryboardError) as refused:
        Storyboard.model_validate(document)
    assert refused.value.problems[0].startswith(where + line)


def test_all_problems_are_listed_at_once() -> None:
    with pytest.raises(StoryboardError) as refused:
        storyboard(width=1, panels=[{"prompt": "", "seed": -1}])
    fields = [line.split(":")[0] for line in str(refused.value).splitlines()]
    assert fields == ["width", "panels[0].prompt", "panels[0].seed"]


def test_descriptions_count_towards_the_length_of_a_prompt() -> None:
    characters = [{"name": "mia", "prompt": "x" * 8192}]
    with pytest.raises(StoryboardError, match=r"panels\[0\].prompt: got 24578 bytes with its ch"):
        storyboard(characters=characters, panels=[{"prompt": "{mia} {mia} {mia}"}])


def test_a_limit_itself_is_allowed() -> None:
    board = storyboard(
        width=2048,
        height=32,
        title="女" * 682,
        sampling={"steps": 100, "guidance": 30},
        injection={"start": 1.0, "end": 1.0, "strength": -10, "layers": 0},
        characters=[{"name": "c" * 31 + str(i), "prompt": "x" * 8192} for i in range(8)],
        panels=[{"prompt": "x" * 8192, "seed": 2**63 - 1}] * 64,
    )
    assert len(board.panels) == 64


def test_check_against_a_model(small_model: ModelInfo) -> None:
    check_against(storyboard(width=64, injection={"layers": 2}), small_model)
    board = storyboard(
        width=72,
        injection={"layers": 3},
        panels=[{"prompt": "a", "injection": {"layers": 99}}],
    )
    with pytest.raises(StoryboardError) as refused:
        check_against(board, small_model)
    has = "0 to 2, or a preset (model small has 3 layers)"
    assert refused.value.problems == (
        "width: got 72, allowed: a multiple of 16 pixels (model small)",
        f"injection.layers: got 3, allowed: {has}",
        f"panels[0].injection.layers: got 99, allowed: {has}",
    )


@pytest.mark.parametrize(("engine", "precision"), [("openvino", "bf16"), ("openvino", "f32")])
def test_a_panel_one_token_wide_is_refused_in_bf16(
    small_model: ModelInfo, engine: str, precision: str
) -> None:
    least = 128 if precision == "bf16" else 0
    wide = {"engine": engine, "precision": precision, "side_multiple": 64, "least_width": least}
    model = small_model.model_copy(update=wide)
    check_against(storyboard(width=128, height=64), model)
    narrow = storyboard(width=64, height=128)
    if precision == "f32":
        check_against(narrow, model)
        return
    with pytest.raises(StoryboardError) as refused:
        check_against(narrow, model)
    assert refused.value.problems == (
        "width: got 64, allowed: 128 pixels or more in bf16 (model small)",
    )


def test_clients_need_neither_torch_nor_triton() -> None:
    code = (
        "import sys, lafi.board.storyboard, lafi.wire.contract\n"
        "import lafi.model.info\n"
        "heavy = {'torch', 'triton', 'diffusers', 'transformers', 'onnxruntime', 'tritonclient'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")
