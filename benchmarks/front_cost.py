"""What the front costs: the same storyboards through it and past it, in turns.

    python -m benchmarks.front_cost out/repository

Both ways reach the same running Triton Server with the same client code; only the address differs.
"""

import json
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any

import grpc
import typer
from rich.console import Console
from tritonclient.grpc import service_pb2_grpc

from benchmarks.provenance import provenance
from benchmarks.turns import in_turns
from lafi.board.stages import Sampling, SamplingStage
from lafi.board.storyboard import Panel, Storyboard
from lafi.server import processes
from lafi.server.supervisor import Supervisor
from lafi_client.wire import event_in, storyboard_request

RESULTS = Path("benchmarks/results")
PACKAGES = ("grpcio", "nvidia-pytriton", "openvino", "tritonclient")
WAYS = ("past", "through")
OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


def board(panels: int, steps: int) -> Storyboard:
    """Panels of the bundled model's size without characters."""
    stage = SamplingStage(steps=steps)
    wanted = tuple(Panel(prompt="a child is running", seed=seed) for seed in range(panels))
    return Storyboard(sampling=Sampling(stages=(stage,)), panels=wanted)


class Way:
    """One of the two ways to the server."""

    def __init__(self, target: str) -> None:
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(
            grpc.insecure_channel(target, OPTIONS)
        )
        self._target = target

    def draw(self, storyboard: Storyboard) -> float:
        """Seconds until the last event."""
        began = time.perf_counter()
        answers = self._stub.ModelStreamInfer(iter([storyboard_request(storyboard)]), timeout=600)
        kinds = [event.kind for answer in answers if (event := event_in(answer, self._target))]
        if kinds.count("panel") != len(storyboard.panels):
            raise RuntimeError(f"panels: got {kinds}, allowed: {len(storyboard.panels)} panels")
        return time.perf_counter() - began

    def draw_many(self, storyboard: Storyboard, in_flight: int) -> float:
        """Seconds for so many of them at a time."""
        began = time.perf_counter()
        with ThreadPoolExecutor(in_flight) as threads:
            list(threads.map(self.draw, [storyboard] * in_flight))
        return time.perf_counter() - began


def summary(found: dict[str, list[float]]) -> dict[str, Any]:
    """Least and median of each way, and what `through` takes more."""
    figures = {
        way: {"least": min(each), "median": statistics.median(each), "rounds": each}
        for way, each in found.items()
    }
    pairs = zip(found["through"], found["past"], strict=True)
    more = statistics.median(through / past for through, past in pairs)
    least = min(found["through"]) / min(found["past"])
    return {**figures, "ratio_of_pairs": more, "ratio_of_least": least}


def measure(server: Supervisor, rounds: int, tell: Any) -> dict[str, Any]:
    """Seconds of small and of many storyboards, both ways, and the front's own CPU time."""
    ways = {"past": Way(server.inner_target), "through": Way(server.grpc_url)}
    small, large = board(1, 1), board(8, 20)
    for way in WAYS:
        ways[way].draw(large)
    alone = in_turns(WAYS, rounds * 10, lambda way: ways[way].draw(small))
    tell("one panel of one step is measured")
    front, main = server.front_pid, server.pid
    assert front is not None
    assert main is not None
    drawing = [main, *processes.children_of(main)]
    before = processes.cpu_seconds([front]), processes.cpu_seconds(drawing)
    many = in_turns(WAYS, rounds, lambda way: ways[way].draw_many(large, 4))
    cpu = processes.cpu_seconds([front]) - before[0]
    drawn = processes.cpu_seconds(drawing) - before[1]
    return {
        "one_panel_seconds": summary(alone),
        "four_storyboards_of_8_panels_seconds": summary(many),
        "panels_per_second": {way: 32 / min(each) for way, each in many.items()},
        "front_cpu_ms_per_panel": 1000 * cpu / (32 * rounds),
        "drawing_cpu_ms_per_panel": 1000 * drawn / (32 * rounds * len(WAYS)),
    }


def main(
    repository: Annotated[Path, typer.Argument(help="written by `lafi export`")],
    rounds: Annotated[int, typer.Option(help="each way is measured so often")] = 8,
    threads: Annotated[int | None, typer.Option(help="of each engine; default all cores")] = None,
    out: Annotated[Path, typer.Option(help="folder of front.json")] = RESULTS,
) -> None:
    """Measure the cost of the front."""
    console = Console()
    with Supervisor(repository, threads=threads, canary_seconds=0) as server:
        figures = measure(server, rounds, console.print)
    out.mkdir(parents=True, exist_ok=True)
    command = f"python -m benchmarks.front_cost {repository}"
    said = {
        **provenance(repository, command, PACKAGES),
        "rounds": rounds,
        "threads": threads,
        **figures,
    }
    (out / "front.json").write_text(json.dumps(said, indent=2) + "\n")
    for name in ("one_panel_seconds", "four_storyboards_of_8_panels_seconds"):
        each = figures[name]
        console.print(name, {way: (each[way]["least"], each[way]["median"]) for way in WAYS})
        console.print(
            "  ratio of pairs", each["ratio_of_pairs"], "of least", each["ratio_of_least"]
        )
    console.print(figures["panels_per_second"])
    parts = {part: figures[f"{part}_cpu_ms_per_panel"] for part in ("front", "drawing")}
    console.print("CPU ms a panel", parts)


if __name__ == "__main__":
    typer.run(main)
