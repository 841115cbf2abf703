"""What an exact resend costs: eight panels drawn, and the same storyboard sent again.

    python -m benchmarks.resend out/repository

Both through the client, front and Triton Server, on a store of the benchmark's own. The panels are
acknowledged after the first time, as the client does.
"""

import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from benchmarks.provenance import provenance
from lafi.board.stages import Sampling, SamplingStage
from lafi.board.storyboard import Panel, Storyboard
from lafi.server.supervisor import Supervisor
from lafi.store.settings import STORE
from lafi_client import StoryboardClient

RESULTS = Path("benchmarks/results")
PACKAGES = ("grpcio", "nvidia-pytriton", "openvino", "tritonclient")
PANELS = 8
ALLOWED = 0.01
"""Share of the time of drawing that a resend may take."""


def board(number: int, steps: int) -> Storyboard:
    """Panels of the bundled model's size, other ones for each number."""
    seeds = range(PANELS * number, PANELS * (number + 1))
    panels = tuple(Panel(prompt="a child is running", seed=seed) for seed in seeds)
    return Storyboard(sampling=Sampling(stages=(SamplingStage(steps=steps),)), panels=panels)


def seconds(client: StoryboardClient, storyboard: Storyboard, *, kept: bool) -> float:
    """Until the last event. Raises RuntimeError unless all panels were `kept`, or none."""
    began = time.perf_counter()
    panels = client.draw_all(storyboard)
    took = time.perf_counter() - began
    if [panel.kept for panel in panels] != [kept] * PANELS:
        raise RuntimeError(f"kept: got {[panel.kept for panel in panels]}, allowed: all {kept}")
    return took


def measure(url: str, rounds: int, resends: int, steps: int) -> dict[str, Any]:
    """Seconds of drawing, and of resends of each storyboard."""
    drawn: list[float] = []
    resent: list[float] = []
    with StoryboardClient(url) as client:
        client.draw_all(board(rounds, steps))
        for number in range(rounds):
            drawn.append(seconds(client, board(number, steps), kept=False))
            resent += [seconds(client, board(number, steps), kept=True) for _ in range(resends)]
    share = statistics.median(resent) / statistics.median(drawn)
    return {
        "steps": steps,
        "drawn_seconds": {"median": statistics.median(drawn), "rounds": drawn},
        "resent_seconds": {
            "least": min(resent),
            "median": statistics.median(resent),
            "rounds": resent,
        },
        "share": share,
        "allowed": ALLOWED,
    }


def main(
    repository: Annotated[Path, typer.Argument(help="written by `lafi export`")],
    rounds: Annotated[int, typer.Option(help="storyboards")] = 3,
    resends: Annotated[int, typer.Option(help="of each")] = 5,
    steps: Annotated[int, typer.Option(help="of each panel")] = 20,
    threads: Annotated[int | None, typer.Option(help="of each engine; default all cores")] = None,
    out: Annotated[Path, typer.Option(help="folder of resend.json")] = RESULTS,
) -> None:
    """Measure what a resend costs; exit 1 if it is more than allowed."""
    with tempfile.TemporaryDirectory() as store:
        options: dict[str, Any] = {"threads": threads, "canary_seconds": 0}
        with Supervisor(repository, environment={STORE: store}, **options) as server:
            figures = measure(server.grpc_url, rounds, resends, steps)
    out.mkdir(parents=True, exist_ok=True)
    command = f"python -m benchmarks.resend {repository}"
    said = {**provenance(repository, command, PACKAGES), "threads": threads, **figures}
    (out / "resend.json").write_text(json.dumps(said, indent=2) + "\n")
    drawn, resent = figures["drawn_seconds"]["median"], figures["resent_seconds"]["median"]
    Console().print(f"drawn {drawn:.3f} s, sent again {resent:.3f} s: {figures['share']:.2%}")
    if figures["share"] > ALLOWED:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
