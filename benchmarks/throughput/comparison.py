"""Everybody draws the same storyboards, in turns, so that a noisy machine is noisy for all."""

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers.diffusers_pipeline import PlainDiffusers
from benchmarks.peers.drawing import PeerPanels, draw_panels, load_peer_model
from benchmarks.peers.reference_per_image import ReferencePerImage
from benchmarks.peers.story_diffusion import StoryDiffusion
from benchmarks.peers.tutorial_server import draw_one_by_one, tutorial_server
from benchmarks.throughput.ours import draw_over_grpc
from benchmarks.throughput.workload import Workload, prompts, storyboards
from lafi.layers import first_injected_layer
from lafi.storyboard import Injection, Storyboard
from lafi.supervisor import TritonServer

PLAIN = Injection(layers="none")
PUBLISHED = Injection(layers="decoder")
KEPT = Injection(layers="decoder", reference_noise=0.1)

Draw = Callable[[Sequence[Storyboard]], None]


@dataclass(frozen=True, slots=True)
class Contestant:
    """A way to draw storyboards; injection: what the storyboards ask for, which peers ignore.

    fresh: whether every round has characters that were never seen before.
    """

    name: str
    draw: Draw
    injection: Injection = PLAIN
    fresh: bool = True


def ours(server: TritonServer, in_flight: int) -> list[Contestant]:
    """LAFI through the server: plain, as published, and with characters new and known to it."""

    def draw(boards: Sequence[Storyboard]) -> None:
        draw_over_grpc(server, boards, in_flight)

    return [
        Contestant("lafi none", draw),
        Contestant("lafi decoder, published", draw, PUBLISHED),
        Contestant("lafi decoder, fixed level, new characters", draw, KEPT),
        Contestant("lafi decoder, fixed level, known characters", draw, KEPT, fresh=False),
    ]


def peers(checkpoint: Path, tutorial: TritonServer, in_flight: int) -> list[Contestant]:
    """Others on the same checkpoint, a storyboard at a time but for the tutorial's server."""
    plain, per_image = PlainDiffusers(checkpoint), ReferencePerImage(checkpoint)
    story = load_peer_model(checkpoint)
    manner = StoryDiffusion(first_injected_layer(story.engines.info.layers, "decoder"))

    def draw_plain(boards: Sequence[Storyboard]) -> None:
        for board in boards:
            stage = board.sampling.stages[0]
            plain.draw(prompts(board), _seeds(board), board.width, stage.steps, stage.guidance)

    def draw_per_image(boards: Sequence[Storyboard]) -> None:
        for board in boards:
            stage = board.sampling.stages[0]
            per_image.draw(
                prompts(board),
                _seeds(board),
                _reference(board),
                board.width,
                stage.steps,
                stage.guidance,
            )

    def draw_story(boards: Sequence[Storyboard]) -> None:
        for board in boards:
            caption = board.characters[0].caption
            given = PeerPanels(
                tuple(prompts(board)),
                tuple(_seeds(board)),
                caption,
                _reference(board),
                board.width,
            )
            draw_panels(story, manner, given, board.sampling.stages[0])

    def draw_tutorial(boards: Sequence[Storyboard]) -> None:
        asked = [prompt for board in boards for prompt in prompts(board)]
        seeds = [seed for board in boards for seed in _seeds(board)]
        draw_one_by_one(tutorial, asked, seeds, in_flight)

    return [
        Contestant("diffusers plain", draw_plain),
        Contestant("diffusers, reference per image", draw_per_image),
        Contestant("StoryDiffusion's manner", draw_story),
        Contestant("Triton Server tutorial's manner", draw_tutorial),
    ]


def compare(
    repository: Path, checkpoint: Path, load: Workload, rounds: int, tell: Callable[[str], None]
) -> dict[str, list[float]]:
    """Panels per second of each contestant in each round, after a short round that warms all up."""
    warm = Workload(1, 2, 1, 2)
    stage = storyboards(warm, PLAIN)[0].sampling.stages[0]
    with (
        tempfile.TemporaryDirectory() as folder,
        tutorial_server(
            checkpoint,
            Path(folder),
            side=64,
            steps=load.steps,
            guidance=stage.guidance,
            threads=2,
        ) as tutorial,
        TritonServer(repository) as server,
    ):
        contestants = [
            *ours(server, load.in_flight),
            *peers(checkpoint, tutorial, load.in_flight),
        ]
        for contestant in contestants:
            contestant.draw(storyboards(warm, contestant.injection))
        known = storyboards(load, KEPT)
        next(c for c in contestants if not c.fresh).draw(known)
        speeds: dict[str, list[float]] = {contestant.name: [] for contestant in contestants}
        for number in range(1, rounds + 1):
            for contestant in contestants:
                boards = known
                if contestant.fresh:
                    first = number * load.storyboards
                    boards = storyboards(load, contestant.injection, first)
                began = time.perf_counter()
                contestant.draw(boards)
                speeds[contestant.name].append(load.total / (time.perf_counter() - began))
                tell(f"round {number}: {contestant.name} {speeds[contestant.name][-1]:.2f}")
    return speeds


def ratio(speeds: dict[str, list[float]], one: str, other: str) -> float:
    """How many times as fast `one` is as `other`: the median over rounds of their ratio."""
    return statistics.median(a / b for a, b in zip(speeds[one], speeds[other], strict=True))


def _seeds(board: Storyboard) -> list[int]:
    return [panel.seed for panel in board.panels]


def _reference(board: Storyboard) -> bytes:
    reference = board.characters[0].reference
    assert reference is not None
    return reference.data
