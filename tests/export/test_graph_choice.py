"""Which changes of a graph are chosen, and that each is measured on a layer that has it."""

from collections.abc import Mapping

import numpy as np
import pytest

from lafi.engine.onnx.openvino_changes import change_graph
from lafi.model.graph_changes import GRAPH_CHANGES, GraphChange
from lafi_export import graph_choice
from lafi_export.graph_choice import (
    GraphChoice,
    GraphOptionError,
    choose_graph,
    measured_ratios,
    parse_graph_changes,
)


@pytest.fixture
def ratios(monkeypatch: pytest.MonkeyPatch) -> Mapping[str, float]:
    found = {"channel_convolutions": 0.4, "split_gates": 1.03, "whole_vectors": 0.97}
    monkeypatch.setattr(graph_choice, "measured_ratios", lambda precision, threads: found)
    return found


def test_what_is_faster_by_enough_is_chosen(ratios: Mapping[str, float]) -> None:
    wanted: tuple[GraphChange, ...] = ("channel_convolutions", "whole_vectors")
    assert choose_graph(None, 1, "openvino", "f32") == GraphChoice(wanted, ratios)


def test_a_pinned_choice_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph_choice, "measured_ratios", None)
    assert choose_graph(("split_gates",), 1, "openvino", "f32") == GraphChoice(("split_gates",))
    assert choose_graph(None, 1, "onnxruntime", "f32") == GraphChoice()


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("measured", None),
        ("none", ()),
        ("whole_vectors,split_gates", ("split_gates", "whole_vectors")),
        ("channel_convolutions", ("channel_convolutions",)),
    ],
)
def test_the_option(given: str, wanted: tuple[GraphChange, ...] | None) -> None:
    assert parse_graph_changes(given) == wanted


@pytest.mark.parametrize("given", ["", "all", "none,split_gates", "split_gates, whole_vectors"])
def test_an_option_that_names_no_change_is_refused(given: str) -> None:
    with pytest.raises(GraphOptionError, match=r"--graph-changes: got .*, allowed measured, none"):
        parse_graph_changes(given)


def test_every_change_is_measured_on_this_machine() -> None:
    found = measured_ratios("f32", 1)
    assert [*found] == [*GRAPH_CHANGES]
    assert all(0.01 < ratio < 100 for ratio in found.values())
    assert measured_ratios("f32", 1) is found


@pytest.mark.parametrize(
    ("build", "shape", "change", "gone"),
    [
        (graph_choice._norm, (2, graph_choice.DEEP_CHANNELS, 4, 4), "channel_convolutions", None),
        (graph_choice._gate, (2, 5, graph_choice.CHANNELS), "split_gates", "Split"),
    ],
)
def test_a_measured_layer_has_what_is_changed_and_computes_the_same(
    build: object, shape: tuple[int, ...], change: GraphChange, gone: str | None
) -> None:
    import openvino

    assert callable(build)
    plain, changed = build(), build()
    change_graph(changed, [change])
    names = [
        {node.get_type_name() for node in model.get_ordered_ops()} for model in (plain, changed)
    ]
    assert names[0] != names[1]
    assert gone is None or (gone in names[0] and gone not in names[1])
    given = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    core, exact = openvino.Core(), {"INFERENCE_PRECISION_HINT": "f32"}
    one, other = (core.compile_model(m, "CPU", exact)([given])[0] for m in (plain, changed))
    np.testing.assert_allclose(one, other, atol=1e-4)
