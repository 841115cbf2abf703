"""What a server counts, read from a studio that has drawn."""

from pathlib import Path

import pytest

from lafi.board.storyboard import Panel, Storyboard
from lafi.drawing.studio import Studio
from lafi.engine.torch.engines import load_torch_engines
from lafi.serving.admission import Admission, RefusedError
from lafi.serving.metrics import Metric, server_metrics


def values(metrics: list[Metric]) -> dict[str, float]:
    return {" ".join([metric.name, *metric.labels.values()]): metric.value for metric in metrics}


def test_numbers_follow_what_was_drawn(checkpoint: Path) -> None:
    studio = Studio({"": load_torch_engines(checkpoint)})
    admission = Admission(1)
    before = list(server_metrics(studio, admission))
    panels = (Panel(prompt="a child"), Panel(prompt="the beach"))
    sampling = {"steps": 8, "guidance": 3.0, "reuse_threshold": 1.0}
    board = Storyboard(width=32, height=32, panels=panels, sampling=sampling)
    admission.admit()
    with pytest.raises(RefusedError):
        admission.admit()
    list(studio.draw(board, lambda: False))
    after = list(server_metrics(studio, admission))
    studio.close()
    assert [(m.name, m.labels) for m in before] == [(m.name, m.labels) for m in after]
    assert all(metric.value == 0 for metric in before)
    found = values(after)
    assert found["lafi_storyboards_in_flight"] == 1
    assert found["lafi_storyboards_refused_total"] == 1
    assert found["lafi_panel_steps_total"] == 16
    assert 0 < found["lafi_reused_steps_total"] <= 16 - 2 * 3
    assert 3 <= found["lafi_denoiser_calls_total"] <= 8
    computed = found["lafi_panel_steps_total"] - found["lafi_reused_steps_total"]
    assert found["lafi_denoiser_rows_total panel"] == 2 * computed
    assert found["lafi_panels denoising"] == found["lafi_panels waiting"] == 0
    assert found["lafi_step_seconds_total"] >= found["lafi_denoiser_seconds_total"] > 0


def test_names_are_what_prometheus_allows(checkpoint: Path) -> None:
    studio = Studio({"": load_torch_engines(checkpoint)})
    metrics = list(server_metrics(studio, Admission(1)))
    studio.close()
    for metric in metrics:
        assert metric.name.startswith("lafi_")
        # The last three are a histogram, which Triton Server's models cannot publish as one.
        counters = ("_total", "_bucket", "_sum", "_count")
        assert (metric.kind == "counter") == metric.name.endswith(counters)
        assert metric.help
