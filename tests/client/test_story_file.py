"""Storyboard files with recipes, negative lists, triggers and settings of the command line."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from lafi.board.error import StoryboardError
from lafi.board.limits import MAX_PROMPT_BYTES
from lafi.board.negative_lists import negative_lists, negative_prompt
from lafi.board.recipe import known_recipes, read_recipe
from lafi.board.stages import Sampling
from lafi.board.storyboard import Storyboard
from lafi_client.field_setting import parse_setting
from lafi_client.story_file import Overrides, load_story

PANELS = '\npanels: [{prompt: a dog}, {prompt: "{mia}"}]\ncharacters: [{name: mia, prompt: a girl}]'
TOPICS = ("anime-style", "technical-faults", "stock-photo", "artificial-faces")


def load(tmp_path: Path, text: str, overrides: Overrides | None = None) -> Storyboard:
    path = tmp_path / "story.yaml"
    path.write_text(text + PANELS, encoding="utf-8")
    return load_story(path, overrides)


def settings(*texts: str) -> Overrides:
    return Overrides(settings=tuple(map(parse_setting, texts)))


@pytest.mark.parametrize("name", known_recipes())
def test_a_shipped_recipe_is_a_storyboard(tmp_path: Path, name: str) -> None:
    board = load(tmp_path, f"recipe: {name}")
    assert board.sampling.stages[-1].size is None
    assert board == load(tmp_path, "", Overrides(recipe=name))
    assert board.sampling == Sampling.model_validate(read_recipe(name)["sampling"])


def test_the_recipe_for_flow_models_is_the_published_workflow(tmp_path: Path) -> None:
    board = load(tmp_path, "recipe: progressive-flow")
    stages = board.sampling.stages
    assert (board.width, board.height) == (672, 864)
    assert [stage.size for stage in stages] == [(176, 224), (336, 432), None]
    assert [stage.steps for stage in stages] == [9, 16, 16]
    assert [stage.guidance for stage in stages] == [2, 1, 1]
    assert [stage.shift for stage in stages] == [3, 7, 7]
    assert [stage.denoise for stage in stages] == [1, 0.7, 0.6]
    assert [stage.reuse_threshold for stage in stages] == [0, 0.37, 0.12]
    assert [(s.reuse_start, s.reuse_end, s.reuse_window) for s in stages[1:]] == [
        (0.45, 0.95, "noise"),
        (0.7, 0.95, "noise"),
    ]
    assert stages[0].sampler == "EulerAncestral"
    assert stages[1].upscale == "nearest-exact"


def test_the_last_stage_of_the_progressive_recipes_is_the_published_one(tmp_path: Path) -> None:
    for name in ("progressive", "progressive-flow"):
        last = load(tmp_path, f"recipe: {name}").sampling.stages[-1]
        assert (last.sampler, last.sigmas) == ("DPM++SDE", "beta")


def test_the_recipe_of_few_steps_names_its_variant(tmp_path: Path) -> None:
    board = load(tmp_path, "recipe: fast")
    (stage,) = board.sampling.stages
    assert (board.variant, stage.steps, stage.sampler, stage.guidance) == ("fast", 4, "LCM", 1)


def test_the_recipe_for_diffusion_models_has_two_stages_and_no_shift(tmp_path: Path) -> None:
    stages = load(tmp_path, "recipe: progressive").sampling.stages
    assert [stage.size for stage in stages] == [0.5, None]
    assert {stage.shift for stage in stages} == {None}


def test_a_storyboard_overrides_what_it_names(tmp_path: Path) -> None:
    text = "recipe: progressive\nsampling: {stages: {1: {denoise: 0.5}}}"
    board = load(tmp_path, text)
    plain = load(tmp_path, "recipe: progressive")
    assert board.sampling.stages[0] == plain.sampling.stages[0]
    changed = plain.sampling.stages[1].model_copy(update={"denoise": 0.5})
    assert board.sampling.stages[1] == changed
    over = settings("sampling.stages.1.denoise=0.4", "sampling.guidance=3")
    stages = load(tmp_path, text, over).sampling.stages
    assert [(stage.denoise, stage.guidance) for stage in stages] == [(1, 3), (0.4, 3)]


def test_recipes_of_ones_own(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    mine = "sampling: {stages: [{}, {from: sketch.png, denoise: 0.5}]}\nnegative: [stock-photo]"
    (folder / "mine.yaml").write_text(mine, encoding="utf-8")
    (folder / "progressive.yaml").write_text("sampling: {steps: 3}", encoding="utf-8")
    Image.new("RGB", (16, 16), (200, 60, 40)).save(folder / "sketch.png")
    board = load(tmp_path, "recipe: mine", Overrides(recipes=folder))
    source = board.sampling.stages[1].source
    assert source is not None
    assert source.image is not None
    assert source.image.data == (folder / "sketch.png").read_bytes()
    assert board.negative_prompt.startswith("stock photo, ")
    shadowed = load(tmp_path, "recipe: mine", Overrides(recipe="progressive", recipes=folder))
    assert shadowed.sampling.stages[0].steps == 3


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "recipe: progresive",
            "recipe: got 'progresive', allowed: broken, fast, lost, other, progressive, "
            "progressive-flow (did you mean progressive?)",
        ),
        ("recipe: [a]", "recipe: got ['a'], allowed: broken, fast, lost, other, progressive, pr"),
        ("recipe: ../story", "recipe: got '../story', allowed: broken, fast, lost, other, progre"),
        ("recipe: broken", "recipe broken: line 1, column 2: got broken YAML ("),
        ("recipe: other", "recipe other: panels: unknown field, allowed: variant, width, height, "),
        ("recipe: lost", "recipe lost: sampling.mask: got 'gone.png', allowed: a PNG, JPEG, We"),
        ("recipie: a", "recipie: unknown field, allowed: recipe, negative, title, variant, width"),
        ("negatives: [a]", "negatives: unknown field, allowed: recipe, negative, title, variant,"),
        ("titel: a", "titel: unknown field, allowed: title, variant, width, height, upscale, trig"),
        ("negative: [stok-photo]", "negative[0]: got 'stok-photo', allowed: anime-style, anime-st"),
        ("negative: {a: b}", "negative: got a mapping, allowed: a list of anime-style, anime-styl"),
        ("recipe: progressive\nsampling: {stages: {2: {}}}", "sampling.stages: got 2, allowed: 0"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, line: str) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "broken.yaml").write_text("[", encoding="utf-8")
    (folder / "other.yaml").write_text("panels: []", encoding="utf-8")
    (folder / "lost.yaml").write_text("sampling: {mask: gone.png}", encoding="utf-8")
    with pytest.raises(StoryboardError) as refused:
        load(tmp_path, text, Overrides(recipes=folder))
    assert len(refused.value.problems) == 1
    assert refused.value.problems[0].startswith(line)


@pytest.mark.parametrize("depth", [50, 200, 450, 900])
def test_a_deeply_nested_file_is_refused(tmp_path: Path, depth: int) -> None:
    deep = '{"a":' * depth + "1" + "}" * depth
    path = tmp_path / "story.json"
    path.write_text(f'{{"recipe": "progressive", "injection": {deep}}}', encoding="utf-8")
    with pytest.raises(StoryboardError, match=r"injection.a: unknown field|got a? ?deeply nested"):
        load_story(path)


def test_a_folder_of_recipes_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(StoryboardError, match=r"^--recipes: got .*, allowed: a folder with recip"):
        load(tmp_path, "recipe: progressive", Overrides(recipes=tmp_path / "nowhere"))


def test_a_setting_that_does_not_exist_names_those_that_do(tmp_path: Path) -> None:
    for text, line in (
        ("samplng.steps=3", "samplng: unknown field, allowed: title, variant, width"),
        ("sampling.stages.0.denose=1", "sampling.denose: unknown field, allowed: size, steps"),
        ("sampling.steps=0", "sampling.steps: got 0, allowed: a whole number, 1 to 100"),
        ("panels.0.seed=x", "panels[0].seed: got 'x', allowed: a whole number, 0 to 2**63"),
    ):
        with pytest.raises(StoryboardError) as refused:
            load(tmp_path, "", settings(text))
        assert refused.value.problems[0].replace(".stages[0]", "").startswith(line)


def test_a_trigger_goes_in_front_of_every_prompt(tmp_path: Path) -> None:
    text = "sampling: {stages: [{}, {prompt: closer}]}"
    board = load(tmp_path, text, Overrides(trigger=" ink style, "))
    assert [panel.prompt for panel in board.panels] == ["ink style, a dog", "ink style, {mia}"]
    assert [stage.prompt for stage in board.sampling.stages] == [None, "ink style, closer"]
    assert load(tmp_path, text, Overrides(trigger="{mia}")).panels[0].characters == ("mia",)
    with pytest.raises(StoryboardError, match=r"^panels\[0\].prompt: got 'xxx"):
        load(tmp_path, "", Overrides(trigger="x" * MAX_PROMPT_BYTES))


def test_negative_lists_are_combined_by_name(tmp_path: Path) -> None:
    named = negative_lists().named
    assert set(named) == {*TOPICS, *(f"{topic}-zh" for topic in TOPICS)}
    board = load(tmp_path, "negative_prompt: fog\nnegative: [technical-faults, stock-photo-zh]")
    phrases = ["fog", *named["technical-faults"], *named["stock-photo-zh"]]
    assert board.negative_prompt == ", ".join(phrases)
    assert load(tmp_path, "negative: anime-style").negative_prompt.startswith("anime, ")
    every = load(tmp_path, f"negative: [{', '.join(named)}]").negative_prompt
    assert len(every.encode()) <= MAX_PROMPT_BYTES


def test_a_file_brings_more_of_them(tmp_path: Path) -> None:
    lists = tmp_path / "mine.yaml"
    lists.write_text("mine: [rain, 雾]\nstock-photo: [smiles]", encoding="utf-8")
    text = "negative: [mine, stock-photo]"
    over = Overrides(negative_file=lists)
    assert load(tmp_path, text, over).negative_prompt == "rain, 雾, smiles"
    assert load(tmp_path, "", over).negative_prompt == ""
    lines = tmp_path / "mine.txt"
    lines.write_text("# ours\nrain\n\n  snow: deep \nrain\n", encoding="utf-8")
    added = load(tmp_path, "negative_prompt: fog", Overrides(negative_file=lines))
    assert added.negative_prompt == "fog, rain, snow: deep"


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        ("a.yaml", "a: b", "a.yaml: got a mapping, allowed: names, each with a list of phrases"),
        ("a.yaml", "- b", "a.yaml: got ['b'], allowed: names, each with a list of phrases"),
        ("a.json", "{", "a.json: line 1, column 2: got broken"),
        ("a.txt", "x" * MAX_PROMPT_BYTES, "negative: got 8199 bytes of the file with negative_pr"),
    ],
)
def test_a_bad_file_of_negative_prompts(tmp_path: Path, name: str, content: str, line: str) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(StoryboardError) as refused:
        load(tmp_path, "negative_prompt: abcde", Overrides(negative_file=tmp_path / name))
    assert refused.value.problems[0].startswith(line)


def test_a_phrase_counts_once() -> None:
    lists = negative_lists()
    twice = negative_prompt("anime", ["anime-style", "anime-style"], lists)
    assert twice == ", ".join(lists.named["anime-style"])
