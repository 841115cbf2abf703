"""What the bundled model shows: the figures that it must reach, in one file.

    python -m benchmarks.evaluate --repository out/repository
    python -m benchmarks.few_steps out/repository
    python -m benchmarks.model_figures --repository out/repository

Without injection, held-out captions are drawn by the exported engines as a server draws them, and
the reader says what the pictures show. Figures with injection are those of `benchmarks.evaluate`,
of the injection that a server uses where nothing is said; those of few steps are of
`benchmarks.few_steps`. Both must be of the same weights.
"""

import json
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import torch
import typer
from rich.console import Console
from rich.table import Table
from torch import Tensor

from benchmarks.evaluation.drawing import drawn_panels
from benchmarks.evaluation.drawn import READER_FILE
from benchmarks.evaluation.pairs import Pixels
from benchmarks.provenance import provenance
from lafi.board.injection import Injection
from lafi.board.limits import MAX_PANELS
from lafi.board.stages import Sampling, SamplingStage
from lafi.board.storyboard import Panel, Storyboard
from lafi.engine.onnx.engines import load_onnx_engines
from lafi.engine.onnx.graph import Precision, RuntimeName
from lafi.ports.engines import Engines
from lafi_tiny.hand.picture import SIDE
from lafi_tiny.stages.reader import load_reader
from lafi_tiny.stages.score import ScoreSizes, score_model
from lafi_tiny.training import from_pixels

WANTED: Final[Mapping[str, float]] = {
    "action": 0.95,
    "scene": 0.97,
    "described_all": 0.85,
    "described_two": 0.90,
    "twins": 0.85,
    "identity_default": 0.80,
}
"""What was wanted before the model was trained; strangers at chance, and with injection action and
scene within 0.03 of those without."""
DEFAULT: Final = "decoder, noise 0.1, strength 1"
"""The method of `benchmarks.evaluate` that is `Injection()` on a UNet."""
_PAIRED: Final[Mapping[str, str]] = {
    "identity": "identity",
    "action": "action_accuracy",
    "scene": "scene_accuracy",
}


def main(
    repository: Annotated[Path, typer.Option(help="The export of the bundled model.")],
    evaluation: Path = Path("benchmarks/results/evaluate.json"),
    few_steps: Path = Path("benchmarks/results/few_steps.json"),
    panels: int = 128,
    steps: int = 30,
    sampler: str = "DDIM",
    guidance: float = 4.0,
    runtime: RuntimeName = "openvino",
    precision: Precision = "f32",
    results: Path = Path("benchmarks/results"),
) -> None:
    """Draw, read, and write model.json."""
    engines = load_onnx_engines(repository / "artifacts", runtime, precision)
    paired = paired_figures(json.loads(evaluation.read_text()), engines.info.weights_sha256)
    stage = SamplingStage.model_validate({"steps": steps, "sampler": sampler, "guidance": guidance})
    fast = few_step_figures(json.loads(few_steps.read_text()), engines.info.weights_sha256)
    console = Console()

    def drawn(captions: list[str], name: str) -> Tensor:
        console.print(f"{name}: {len(captions)} pictures")
        return draw_captions(engines, captions, stage)

    alone = score_model(ScoreSizes(panels, panels), load_reader(READER_FILE), drawn)
    document = {
        **provenance(repository, _command(), ("torch", "openvino")),
        "sampling": stage.model_dump(mode="json"),
        "panels": panels,
        **alone,
        **paired,
        "few_steps": fast,
        "wanted": dict(WANTED),
    }
    results.mkdir(parents=True, exist_ok=True)
    (results / "model.json").write_text(json.dumps(document, indent=1) + "\n")
    console.print(_table(document))


def draw_captions(engines: Engines, captions: list[str], stage: SamplingStage) -> Tensor:
    """One picture for each caption, without injection: (N, 3, SIDE, SIDE) in [-1, 1].

    Picture i has seed i, whatever else is drawn. Raises RuntimeError if a panel fails.
    """
    found: list[Pixels] = []
    for start in range(0, len(captions), MAX_PANELS):
        part = captions[start : start + MAX_PANELS]
        board = Storyboard(
            width=SIDE,
            height=SIDE,
            sampling=Sampling(stages=(stage,)),
            injection=Injection(layers="none"),
            panels=tuple(Panel(prompt=text, seed=start + i) for i, text in enumerate(part)),
        )
        found += drawn_panels(board, engines, "captions")
    return from_pixels(np.stack(found))


def paired_figures(evaluation: Mapping[str, Any], weights: str) -> dict[str, Any]:
    """Identity, action and scene of `none` and of the default, from `evaluate.json`.

    Raises ValueError for an evaluation of other weights than `weights`.
    """
    _check_weights("evaluation", evaluation["weights"], weights)
    figures = {
        f"{name}_{kind}": _renamed(evaluation["methods"][method][measure])
        for kind, method in (("none", "none"), ("default", DEFAULT))
        for name, measure in _PAIRED.items()
    }
    return {**figures, "default": DEFAULT}


def few_step_figures(document: Mapping[str, Any], weights: str) -> dict[str, Any]:
    """Action, scene, identity and the ratio of panels per second, from `few_steps.json`.

    Raises ValueError for figures of other weights than `weights`.
    """
    _check_weights("few_steps", document["weights_sha256"], weights)
    figures: dict[str, Any] = document["few_steps"]
    return figures


def _check_weights(name: str, got: str, allowed: str) -> None:
    if got != allowed:
        raise ValueError(f"{name}: got one of the weights {got[:12]}, allowed: of {allowed[:12]}")


def _renamed(interval: Mapping[str, float]) -> dict[str, float]:
    return {"mean": interval["value"], "low": interval["low"], "high": interval["high"]}


def _command() -> str:
    return shlex.join(["python", "-m", "benchmarks.model_figures", *sys.argv[1:]])


def _table(document: Mapping[str, Any]) -> Table:
    table = Table("figure", "mean", "95% interval", "wanted")
    few = {f"few_steps {name}": figure for name, figure in document["few_steps"].items()}
    for name, figure in {**document, **few}.items():
        if isinstance(figure, dict) and "low" in figure:
            wanted = str(WANTED.get(name, ""))
            between = f"{figure['low']:.3f} to {figure['high']:.3f}"
            table.add_row(name, f"{figure['mean']:.3f}", between, wanted)
    return table


if __name__ == "__main__":
    torch.set_num_threads(2)
    typer.run(main)
