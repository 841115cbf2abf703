import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.evaluation.bootstrap import Interval
from benchmarks.evaluation.choice import choose
from benchmarks.evaluation.figures import Figures
from benchmarks.evaluation.methods import Method
from benchmarks.peers.story_diffusion import StoryDiffusion
from lafi.board.injection import Injection
from lafi.model.families.unet import UNET

RESULTS = Path("benchmarks/results/evaluate.json")

METHODS = [
    *(
        Method(name, "named", Injection.as_published(layers=name))
        for name in ("none", "all", "decoder", "texture")
    ),
    Method("decoder, mask", masked=True),
    Method("all, strong", injection=Injection.as_published(layers="all", strength=1.0)),
    Method("decoder, strong", injection=Injection.as_published(strength=1.0)),
    Method("texture, strong", injection=Injection.as_published(layers="texture", strength=1.0)),
]


def figures(gain: float, leakage: float, *, width: float = 0.01) -> Figures:
    """A method's figures where `all` gains 0.4 at a leakage of 0.2."""

    def around(x: float) -> Interval:
        return Interval(x, x - width, x + width)

    return {
        "identity_gain": around(gain),
        "pose_leakage": around(leakage),
        "share_of_gain": around(gain / 0.4),
        "share_of_leakage": around(leakage / 0.2),
    }


def test_the_preset_with_the_most_identity_of_those_that_qualify_is_taken() -> None:
    found = {
        "all": figures(0.4, 0.2),
        "decoder": figures(0.39, 0.09),
        "texture": figures(0.37, 0.01),
    }
    chosen = choose(METHODS, found)
    assert (chosen.default, chosen.best) == ("decoder", "decoder")
    assert "0.97" in chosen.reason


def test_enough_identity_at_too_much_leakage_does_not_qualify() -> None:
    found = {"all": figures(0.4, 0.2), "decoder": figures(0.4, 0.1), "texture": figures(0.37, 0.0)}
    assert choose(METHODS, found).default == "texture"


def test_if_none_qualifies_the_best_is_named_with_the_reason() -> None:
    found = {"all": figures(0.4, 0.2), "decoder": figures(0.4, 0.2), "texture": figures(0.2, 0.0)}
    chosen = choose(METHODS, found)
    assert (chosen.default, chosen.best) == (None, "texture")
    assert "no preset has 0.9 of the gain of `all` at less than 0.5" in chosen.reason


def test_half_of_nothing_cannot_be_told() -> None:
    found = {
        "none": scenes(0.0, 0.98),
        "all": scenes(0.4, 0.98, leakage=0.005),
        "decoder": scenes(0.4, 0.98),
    }
    chosen = choose(METHODS, found)
    assert (chosen.default, chosen.best) == (None, "decoder")
    assert "not told from 0, and no preset is told from all layers by the scenes" in chosen.reason


def scenes(gain: float, kept: float, *, leakage: float = 0.0) -> Figures:
    """A method's figures with the share of requested scenes that it keeps."""
    return figures(gain, leakage) | {"scene_accuracy": Interval(kept, kept - 0.01, kept + 0.01)}


def without_pose_leakage(**strong: Figures) -> dict[str, Figures]:
    found = {"none": scenes(0.0, 0.98), "all": scenes(0.1, 0.98), "decoder": scenes(0.11, 0.98)}
    return found | {f"{layers}, strong": each for layers, each in strong.items()}


def test_where_no_pose_leaks_lost_scenes_decide_between_a_preset_and_all_layers_alike() -> None:
    found = without_pose_leakage(
        all=scenes(0.36, 0.80), decoder=scenes(0.37, 0.96), texture=scenes(0.35, 0.97)
    )
    chosen = choose(METHODS, found)
    assert (chosen.default, chosen.best) == ("decoder, strong", "decoder, strong")
    assert "1.03 of the identity that `all, strong` gains" in chosen.reason
    assert "0.020 of the requested scenes lost where that loses 0.180" in chosen.reason


@pytest.mark.parametrize(
    ("preset", "everywhere"),
    [
        (scenes(0.32, 0.97), scenes(0.36, 0.80)),  # too little identity
        (scenes(0.36, 0.88), scenes(0.36, 0.80)),  # more than half of the scenes lost
        (scenes(0.36, 0.97), scenes(0.36, 0.97)),  # all layers lose none
    ],
)
def test_a_preset_that_breaks_the_rule_by_scenes_is_not_taken(
    preset: Figures, everywhere: Figures
) -> None:
    chosen = choose(METHODS, without_pose_leakage(all=everywhere, decoder=preset))
    assert chosen.default is None


def committed() -> tuple[dict[str, Any], list[Method], dict[str, Figures]]:
    """The published comparison, read back."""
    document = json.loads(RESULTS.read_text(encoding="utf-8"))
    methods, found = [], {}
    for name, entry in document["methods"].items():
        settings = entry["settings"]
        methods.append(
            Method(
                name,
                injection=Injection.model_validate(settings["injection"]),
                described=settings["described"],
                masked=settings["masked"],
                references=settings["references"],
                peer=settings["peer"] and StoryDiffusion(first=0),
            )
        )
        found[name] = {
            key: Interval(**value)
            for key, value in entry.items()
            if isinstance(value, dict) and value.keys() == {"value", "low", "high"}
        }
    return document, methods, found


def test_the_committed_figures_and_the_rule_give_the_committed_default() -> None:
    document, methods, found = committed()
    chosen = choose(methods, found).as_json()
    assert chosen == {name: document[name] for name in chosen}


def test_the_default_of_a_storyboard_is_the_preset_that_was_chosen_or_else_the_best() -> None:
    document, methods, _ = committed()
    own = Injection(layers=UNET.default_preset)
    taken = document["default"] or document["best"]
    assert [m.injection for m in methods if m.name == taken] == [own]
    assert own == Injection().model_copy(update={"layers": own.layers})
