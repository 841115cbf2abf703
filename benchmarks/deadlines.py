"""How many storyboards meet their deadlines, by load, beside first come first served.

    python -m benchmarks.deadlines

The server's own batcher, turns and forecast, on a clock that only a pretended denoiser moves: a
call takes CALL_SECONDS, and ROW_SECONDS for each row. Storyboards of 1 to 8 panels arrive at random
times; each must be done within 1.5 to 6 times what it takes alone. The figures do not depend on the
machine.
"""

import json
import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from matplotlib import pyplot as plt
from rich.console import Console
from torch import Tensor

from benchmarks.provenance import surroundings
from lafi.board.cost import storyboard_cost
from lafi.board.stages import Sampling, SamplingStage
from lafi.board.storyboard import Panel, Storyboard
from lafi.denoising.batcher import Batcher
from lafi.denoising.lane import Standing, Ticket
from lafi.denoising.panel_state import PanelInjection, PanelState
from lafi.model.info import ModelInfo, load_model_info
from lafi.ports.engines import DenoiserBatch
from lafi.sampling.guidance import TwoRows
from lafi.sampling.noise_model import noise_model_of
from lafi.sampling.schedule import PanelSchedule
from lafi.serving.forecast import Forecast

RESULTS = Path("benchmarks/results")
MAX_ROWS = 16
CALL_SECONDS, ROW_SECONDS = 0.006, 0.006
STEPS = 10
SIDE = 128
"""Pixels, of a model that does not say at which size it was trained."""
PANELS = (1, 2, 4, 8)
SLACK = (1.5, 6.0)
LOADS = (0.4, 0.6, 0.8, 0.9, 1.0, 1.2, 1.5)
POLICIES = ("first come", "turns", "deadlines", "deadlines, refusing")


@dataclass
class Wanted:
    """A storyboard that comes at `arrives` and should be done at `deadline`, in seconds."""

    board: Storyboard
    arrives: float
    deadline: float
    done: float = math.inf
    refused: bool = False


class Clock:
    """A clock that stands still between denoiser calls."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def denoise(self, batch: DenoiserBatch) -> Tensor:
        """Predicts nothing, and takes its time."""
        latents = batch["latents"]
        self.now += call_seconds(len(latents))
        return torch.zeros_like(latents)


def call_seconds(rows: float) -> float:
    """Of a call with so many rows."""
    return CALL_SECONDS + ROW_SECONDS * rows


def arrivals(load: float, count: int, info: ModelInfo, seed: int) -> list[Wanted]:
    """Storyboards at random times, as many a second as `load` times what can be drawn."""
    rng = random.Random(seed)
    rows_per_second = MAX_ROWS / call_seconds(MAX_ROWS)
    mean_rows = 2 * STEPS * sum(PANELS) / len(PANELS)
    rate = load * rows_per_second / mean_rows
    wanted, now = [], 0.0
    for number in range(count):
        now += rng.expovariate(rate)
        panels = rng.choice(PANELS)
        alone = STEPS * call_seconds(2 * panels)
        stage = SamplingStage(steps=STEPS)
        board = Storyboard(
            width=info.own_side,
            height=info.own_side,
            sampling=Sampling(stages=(stage,)),
            panels=tuple(Panel(prompt="a child", seed=100 * number + i) for i in range(panels)),
        )
        wanted.append(Wanted(board, now, now + rng.uniform(*SLACK) * alone))
    return wanted


class Simulation:
    """One policy over one list of arrivals."""

    def __init__(self, info: ModelInfo, policy: str) -> None:
        self._info, self._policy = info, policy
        self._clock = Clock()
        self._process = noise_model_of(info.scheduler_config)
        self._batcher = Batcher(
            self._clock.denoise, self._process, info, MAX_ROWS, clock=self._clock
        )
        megapixels_of_a_row = (info.own_side**2 / 1e6) / 2
        seconds: Callable[[float], float] = lambda m: call_seconds(m / megapixels_of_a_row)  # noqa: E731
        self._forecast = Forecast(seconds, self._batcher.full_call, self._clock)
        self._queue: Ticket | None = None

    def run(self, wanted: list[Wanted]) -> None:
        """Notes when each is done, or that it was refused."""
        coming = list(wanted)
        owners: dict[str, Wanted] = {}
        left: dict[int, int] = {}
        jobs: dict[int, Any] = {}
        while coming or self._batcher.active:
            if not self._batcher.active:
                self._clock.now = max(self._clock.now, coming[0].arrives)
            while coming and coming[0].arrives <= self._clock.now:
                each = coming.pop(0)
                if self._is_too_late(each):
                    each.refused = True
                    continue
                panels = [self._panel(panel) for panel in each.board.panels]
                owners |= {str(panel.name): each for panel in panels}
                left[id(each)] = len(panels)
                jobs[id(each)] = self._forecast.begin(storyboard_cost(each.board))
                self._add(each, panels)
            for step in self._batcher.step():
                owner = owners[str(step.panel.name)]
                self._forecast.step(jobs[id(owner)])
                if step.done:
                    left[id(owner)] -= 1
                    if not left[id(owner)]:
                        owner.done = self._clock.now
                        self._forecast.end(jobs[id(owner)], whole=True)

    def _is_too_late(self, each: Wanted) -> bool:
        if self._policy != "deadlines, refusing":
            return False
        forecast = self._forecast.seconds(storyboard_cost(each.board))
        return forecast is not None and self._clock.now + forecast > each.deadline

    def _add(self, each: Wanted, panels: list[PanelState]) -> None:
        if self._policy != "first come":
            deadline = each.deadline if self._policy.startswith("deadlines") else math.inf
            self._batcher.add(panels, Standing(0, deadline))
        elif self._queue is None or not self._batcher.active:
            self._queue = self._batcher.add(panels)
        else:
            self._batcher.extend(self._queue, panels)

    def _panel(self, panel: Panel) -> PanelState:
        info = self._info
        side = info.own_side // info.vae_scale
        schedule = PanelSchedule(SamplingStage(steps=STEPS), info.scheduler_config, panel.seed)
        return PanelState(
            name=str(panel.seed),
            latents=schedule.initial_noise((info.latent_channels, side, side)),
            schedule=schedule,
            text={"text": torch.zeros(3, 2)},
            negative={"text": torch.zeros(3, 2)},
            guidance=TwoRows(3.0),
            injection=PanelInjection(references=(), regions=(), layers=()),
        )


def attained(wanted: list[Wanted]) -> dict[str, float]:
    """Shares: of all, of those that were taken on; and refused ones."""
    met = [each.done <= each.deadline for each in wanted]
    taken = [ok for ok, each in zip(met, wanted, strict=True) if not each.refused]
    return {
        "of_all": sum(met) / len(met),
        "of_accepted": sum(taken) / max(1, len(taken)),
        "refused": 1 - len(taken) / len(met),
    }


def plot(rows: list[dict[str, Any]], path: Path) -> None:
    """Deadlines met, of all and of those that were accepted."""
    figure, pair = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained", sharey=True)
    for axes, name in zip(pair, ("of_all", "of_accepted"), strict=True):
        for policy in POLICIES:
            own = [row for row in rows if row["policy"] == policy]
            axes.plot([r["load"] for r in own], [r[name] for r in own], marker="o", label=policy)
        axes.set(xlabel="load (1: as much as can be drawn)", title=name.replace("_", " "))
    pair[0].set_ylabel("share of deadlines met")
    pair[0].legend()
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main(
    repository: Annotated[Path, typer.Argument()] = Path("out/repository"),
    count: Annotated[int, typer.Option(help="Storyboards of each run.", min=1)] = 200,
    out: Annotated[Path, typer.Option()] = RESULTS,
) -> None:
    """Simulate, and write deadlines.json and its plot."""
    info = load_model_info(repository / "artifacts")
    info = info.model_copy(update={"own_side": info.own_side or SIDE})
    rows: list[dict[str, Any]] = []
    for load in LOADS:
        for policy in POLICIES:
            wanted = arrivals(load, count, info, seed=0)
            Simulation(info, policy).run(wanted)
            rows.append({"load": load, "policy": policy, **attained(wanted)})
    settings = {"call_seconds": CALL_SECONDS, "row_seconds": ROW_SECONDS, "storyboards": count}
    report = {**surroundings("python -m benchmarks.deadlines", ("torch",)), **settings}
    (out / "deadlines.json").write_text(json.dumps({**report, "rows": rows}, indent=1) + "\n")
    plot(rows, out / "deadlines.png")
    for row in rows:
        shares = "  ".join(f"{name} {row[name]:.2f}" for name in ("of_all", "of_accepted"))
        Console().print(f"load {row['load']:<4} {row['policy']:<22} {shares}")


if __name__ == "__main__":
    typer.run(main)
