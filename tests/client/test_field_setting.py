"""`--set` and `--vary`: one field of a storyboard's data by its path."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from lafi.board.error import StoryboardError
from lafi_client.field_setting import Setting, apply_setting, parse_setting, parse_variation

STORY = {
    "title": "x",
    "sampling": {"stages": [{"steps": 9}, {"steps": 16}]},
    "panels": [
        {"prompt": "a"},
        {"prompt": "b", "sampling": {"steps": 3}},
        {"prompt": "c", "sampling": {"stages": [{}, {}]}},
    ],
}


def applied(text: str, story: dict[str, Any] = STORY) -> Any:
    made = copy.deepcopy(story)
    apply_setting(made, parse_setting(text))
    return made


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ("title=Another day", ["title"], "Another day"),
        ("title=a=b", ["title"], "a=b"),
        ("width=96", ["width"], 96),
        ("variant=", ["variant"], None),
        ("sampling.stages.1.denoise=0.5", ["sampling", "stages", 1, "denoise"], 0.5),
        ("sampling.stages.0.size=[64, 32]", ["sampling", "stages", 0, "size"], [64, 32]),
        ("sampling.guidance=2", ["sampling", "stages", 1, "guidance"], 2),
        ("sampling={steps: 4}", ["sampling"], {"steps": 4}),
        ("injection.layers=none", ["injection", "layers"], "none"),
        ("panels.1.sampling.guidance=2", ["panels", 1, "sampling", "guidance"], 2),
        ("panels.2.sampling.steps=7", ["panels", 2, "sampling", "stages", 0, "steps"], 7),
        ("panels.2.sampling.stages.1.seed=7", ["panels", 2, "sampling", "stages", 1, "seed"], 7),
        ("panels.0.regions.mia=[0, 0, 1, 1]", ["panels", 0, "regions", "mia"], [0, 0, 1, 1]),
        ("panels.0={prompt: d}", ["panels", 0], {"prompt": "d"}),
    ],
)
def test_a_field_is_set(text: str, path: list[Any], value: object) -> None:
    node = applied(text)
    for key in path:
        node = node[key]
    assert node == value


def test_a_field_of_a_sampling_is_set_in_every_stage() -> None:
    stages = applied("sampling.injection.end=0.5")["sampling"]["stages"]
    assert [stage["injection"] for stage in stages] == [{"end": 0.5}] * 2
    assert applied("sampling.steps=3", {"sampling": {"guidance": 2}}) == {
        "sampling": {"guidance": 2, "steps": 3}
    }


@pytest.mark.parametrize("story", [{}, {"sampling": None}, {"sampling": {"steps": 3}}])
def test_a_sampling_in_short_form_is_the_first_stage(story: dict[str, Any]) -> None:
    (stage,) = applied("sampling.stages.0.guidance=2", story)["sampling"]["stages"]
    assert stage["guidance"] == 2
    with pytest.raises(StoryboardError, match=r"^sampling.stages: got '1', allowed: 0 to 0$"):
        applied("sampling.stages.1.guidance=2", story)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("width", "--set: got 'width', allowed: FIELD=VALUE, such as sampling.guidance=4"),
        ("=3", "--set: got '=3', allowed: FIELD=VALUE"),
        ("a..b=3", "--set: got 'a..b=3', allowed: FIELD=VALUE"),
        ("width=[", "--set width: line 1, column 2: got broken YAML ("),
        ("panels.3.prompt=a", "panels: got '3', allowed: 0 to 2"),
        ("panels.first.prompt=a", "panels: got 'first', allowed: 0 to 2"),
        ("sampling.stages.2.steps=3", "sampling.stages: got '2', allowed: 0 to 1"),
        ("sampling.stages.-1.steps=3", "sampling.stages: got '-1', allowed: 0 to 1"),
        ("title.x=3", "title: got x below a value, allowed: a field of a mapping, or a list"),
        (
            "panels.1.sampling.stages.0.steps=3",
            "panels.1.sampling.stages.0.steps: got stages, allowed: panels.1.sampling with a ",
        ),
    ],
)
def test_a_path_that_leads_nowhere_says_where_it_could(text: str, line: str) -> None:
    with pytest.raises(StoryboardError) as refused:
        applied(text)
    assert refused.value.problems[0].startswith(line)


def test_an_empty_list_has_no_places() -> None:
    with pytest.raises(StoryboardError, match=r"^panels: got '0', allowed: nothing: it is empty$"):
        applied("panels.0.prompt=a", {"panels": []})


def test_variations() -> None:
    path = "sampling.stages.0.guidance"
    assert parse_variation(f"{path}=2,4, 6") == [Setting(path, n) for n in (2, 4, 6)]
    sizes = parse_variation("size=[64,32],0.5")
    assert [one.value for one in sizes] == [[64, 32], 0.5]
    assert str(sizes[0]) == "size=[64, 32]"
    for text in ("size=", "size", "=1,2"):
        with pytest.raises(StoryboardError, match=r"^--vary: got .*, allowed: FIELD=VALUE,VALUE, "):
            parse_variation(text)
