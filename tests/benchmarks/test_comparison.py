"""A whole comparison in small: real drawing in torch, parts, figures, plots and the page."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.evaluate import extent_for, groups_for
from benchmarks.evaluation.bootstrap import Resampling
from benchmarks.evaluation.drawing import CheckpointDrawer, describe_engines, load_drawer
from benchmarks.evaluation.methods import Method, chosen, compared
from benchmarks.evaluation.page import write_page
from benchmarks.evaluation.pairs import Group, Pixels, ReferencePicture, Shown, Target
from benchmarks.evaluation.parts import Parts
from benchmarks.evaluation.plots import draw_plots, on_the_front
from benchmarks.evaluation.run import Comparison, Extent, Outcome, as_document
from lafi.board.injection import Injection
from lafi.board.stages import SamplingStage
from lafi.drawing.images import encode_png

SIDE = 32
STAGE = SamplingStage(steps=2, sampler="DPM++2M", guidance=3.0)
COLOURS = ("red", "green", "blue")


class ColourReader:
    """Reads real pixels: the colour that is strongest, where it is, and how steeply."""

    side = SIDE

    def read(self, pixels: Pixels) -> list[Shown]:
        return [self._one(picture.astype(float)) for picture in pixels]

    def _one(self, picture: Any) -> Shown:
        strongest = COLOURS[int(picture.mean(axis=(0, 1)).argmax())]
        top, bottom = picture[: SIDE // 2].mean(), picture[SIDE // 2 :].mean()
        left, right = picture[:, : SIDE // 2].mean(), picture[:, SIDE // 2 :].mean()
        angles = (float(np.clip(top - bottom, -170, 170)), float(np.clip(left - right, -170, 170)))
        return Shown(
            {"colour": strongest},
            "up" if top > bottom else "down",
            "west" if left > right else "east",
            "day",
            angles,
        )


def colour_groups(first: int, count: int, *, seed: int, side: int) -> Sequence[Group]:
    """`PairSource`: blocks of random colours, read by the reader itself. It has three groups."""
    return [_group(np.random.default_rng([seed, i])) for i in range(first, min(first + count, 3))]


def _group(rng: np.random.Generator) -> Group:
    def picture() -> Pixels:
        blocks = rng.integers(0, 256, (2, 2, 3), dtype=np.uint8)
        return blocks.repeat(SIDE // 2, axis=0).repeat(SIDE // 2, axis=1)

    def reference() -> ReferencePicture:
        drawn = picture()
        png = encode_png(drawn, {})
        return ReferencePicture(ColourReader().read(drawn[None])[0], png, png)

    def target(seed: int) -> Target:
        truth = (picture(), picture())
        return Target(ColourReader().read(truth[0][None])[0], "{who} at night", seed, truth)

    targets = tuple(target(int(rng.integers(1_000))) for _ in range(2))
    return Group(reference(), "a child", "a red child", targets, reference())


@pytest.fixture(scope="module")
def drawer(checkpoint: Path) -> CheckpointDrawer:
    return load_drawer(checkpoint, None, STAGE, SIDE)


@pytest.fixture(scope="module")
def comparison(drawer: CheckpointDrawer, tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    methods, sweeps = compared(drawer.engines.info)
    wanted = ("decoder", "described", "deep_only", "two references", "decoder, mask", "strength 1")
    return Comparison(
        methods=chosen(methods, wanted),
        sweeps=sweeps,
        groups=groups_for(colour_groups, 6, seed=1, side=SIDE),
        parts=Parts(
            tmp_path_factory.mktemp("parts"), drawer, {**describe_engines(drawer), "side": SIDE}
        ),
        drawer=drawer,
        reader=ColourReader(),
        extent=Extent(named=3, sweep=2, chunk=2, diverse=2, seeds=2),
        how=Resampling(50),
        say=lambda line: None,
    )


@pytest.fixture(scope="module")
def outcome(comparison: Comparison) -> Outcome:
    return comparison.run()


def test_the_document_has_every_method_with_intervals(outcome: Outcome) -> None:
    document = json.loads(json.dumps(as_document(outcome, {"weights": "0" * 64})))
    assert set(document["methods"]) == {method.name for method in outcome.methods}
    wanted = {"identity", "action_accuracy", "joint_error_degrees", "pose_leakage"}
    for entry in (*document["methods"].values(), document["floor"]):
        assert wanted | {"scene_leakage", "copying", "attributes"} <= set(entry)
        assert set(entry["identity"]) == {"value", "low", "high"}
    assert document["methods"]["none"]["pose_leakage"] == {"value": 0.0, "low": 0.0, "high": 0.0}
    assert document["methods"]["decoder"]["panels"] == 6
    assert document["methods"]["strength 1"]["panels"] == 4
    assert document["methods"]["strength 1"]["settings"]["injection"]["strength"] == 1.0
    assert document["methods"]["none"]["diversity"]["value"] > 0
    assert "diversity" not in document["methods"]["strength 1"]
    assert wanted <= set(document["copy_of_the_reference"])
    assert set(document["sweeps"]["strength"]) == {"0", "1"}
    assert {"default", "default_reason", "best"} <= set(document)


def test_a_second_run_draws_nothing_and_says_the_same(
    comparison: Comparison, outcome: Outcome
) -> None:
    said: list[str] = []
    again = replace(comparison, say=said.append).run()
    assert as_document(again, {}) == as_document(outcome, {})
    assert all(line.endswith("from its part") for line in said)


def test_a_run_that_lost_parts_says_the_same(comparison: Comparison, outcome: Outcome) -> None:
    method = comparison.methods[0]
    path = comparison.parts.path(method, comparison.groups[:2], 0)
    path.unlink()
    said: list[str] = []
    again = replace(comparison, say=said.append).run()
    assert again.figures == outcome.figures
    assert path.exists()
    assert sum("drawn in" in line for line in said) == 1


def test_other_settings_weights_pairs_or_seeds_are_other_parts(comparison: Comparison) -> None:
    parts, groups = comparison.parts, comparison.groups
    method = Method("a", injection=Injection(strength=1.0))
    paths = [
        parts.path(method, groups[:1], 0),
        parts.path(method, groups[:1], 1),
        parts.path(method, groups[1:2], 0),
        parts.path(replace(method, masked=True), groups[:1], 0),
        parts.path(replace(method, injection=Injection(strength=2.0)), groups[:1], 0),
        replace(parts, common={**parts.common, "weights": "other"}).path(method, groups[:1], 0),
    ]
    assert len(set(paths)) == len(paths)
    assert parts.path(replace(method, name="b"), groups[:1], 0) == paths[0]


def test_the_page_and_the_plots_are_written(
    comparison: Comparison, outcome: Outcome, tmp_path: Path
) -> None:
    document = as_document(outcome, {"weights": "0" * 64})
    plots = draw_plots(document, tmp_path)
    assert {"evaluate_pareto.png", "evaluate_strength.png"} <= {plot.name for plot in plots}
    page = tmp_path / "evaluate.html"
    write_page(page, document, outcome, comparison.groups, plots, rows=2)
    text = page.read_text()
    best = document["best"]
    shown = [m for m in outcome.methods if m.family != "sweep" or m.name == best]
    assert text.count("<img") == len(plots) + 2 * (1 + len(shown))
    assert 'src="data:image/png;base64,' in text
    assert "http" not in text


def test_the_front_is_where_no_other_method_is_better_in_both() -> None:
    def entry(identity: float, leakage: float) -> dict[str, Any]:
        return {"identity": {"value": identity}, "pose_leakage": {"value": leakage}}

    methods = {"none": entry(0.2, 0.0), "good": entry(0.8, 0.1), "worse": entry(0.7, 0.2)}
    assert on_the_front(methods) == {"none", "good"}
    assert on_the_front({**methods, "unknown": {"identity": {"value": 1.0}}}) == {"none", "good"}


def test_every_sweep_names_methods_that_there_are(drawer: CheckpointDrawer) -> None:
    methods, sweeps = compared(drawer.engines.info)
    names = [method.name for method in methods]
    assert len(set(names)) == len(names)
    settings = [json.dumps(method.settings(), sort_keys=True) for method in methods]
    assert len(set(settings)) == len(settings)
    for sweep in sweeps:
        assert {name for _, name in sweep.points} <= set(names)
        assert len({value for value, _ in sweep.points}) == len(sweep.points)
    starts = next(sweep for sweep in sweeps if sweep.name == "start layer")
    assert len(starts.points) == len(drawer.engines.info.layers) + 1


def test_what_cannot_be_compared_is_refused(
    comparison: Comparison, drawer: CheckpointDrawer
) -> None:
    methods, _ = compared(drawer.engines.info)
    with pytest.raises(ValueError, match="only: got 'decodr', allowed none, all, decoder"):
        chosen(methods, ["decodr"])
    with pytest.raises(ValueError, match=r"methods: got none named \['all'\]"):
        replace(comparison, methods=comparison.methods[:1]).run()
    with pytest.raises(ValueError, match="pairs: got 7, allowed at most 6"):
        groups_for(colour_groups, 7, seed=1, side=SIDE)
    with pytest.raises(ValueError, match="pairs: got 0, allowed 1 or more"):
        groups_for(colour_groups, 0, seed=1, side=SIDE)
    with pytest.raises(ValueError, match="sweep: got 3, allowed 1 to 2, those of named"):
        extent_for(comparison.groups, 4, 6, 0, 2)


def test_pairs_are_rounded_up_to_whole_groups(comparison: Comparison) -> None:
    assert extent_for(comparison.groups, 6, 3, 1, 2) == Extent(named=3, sweep=2, diverse=1, seeds=2)
