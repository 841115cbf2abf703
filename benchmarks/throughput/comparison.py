"""All contestants draw the same storyboards in turns, so a busy machine slows all equally."""

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.load.served_copy import served_copy
from benchmarks.peers.diffusers_pipeline import PlainDiffusers
from benchmarks.peers.drawing import PeerPanels, draw_panels, load_peer_model
from benchmarks.peers.reference_per_image import ReferencePerImage
from benchmarks.peers.story_diffusion import StoryDiffusion
from benchmarks.peers.tutorial_server import draw_one_by_one, tutorial_server
from benchmarks.throughput.in_process import InProcess
from benchmarks.throughput.ours import draw_over_grpc, panels_over_grpc
from benchmarks.throughput.picture_distance import psnr
from benchmarks.throughput.workload import (
    KEPT,
    PLAIN,
    PUBLISHED,
    Workload,
    prompts,
    storyboards,
)
from lafi.board.injection import Injection
from lafi.board.storyboard import Storyboard
from lafi.model.families.unet import first_injected_layer
from lafi.server.supervisor import Supervisor

IN_PROCESS = "lafi decoder, published, in one process"
"""Its name among the contestants."""

Draw = Callable[[Sequence[Storyboard]], None]


@dataclass(frozen=True, slots=True)
class Contestant:
    """A way to draw storyboards; injection: a setting of the storyboards, ignored by peers.

    fresh: whether every round has new characters. most: storyboards that it draws in a round, None
    for all; a contestant that draws one at a time is as fast with fewer.
    """

    name: str
    draw: Draw
    injection: Injection = PLAIN
    fresh: bool = True
    most: int | None = None


def ours(server: Supervisor, in_flight: int) -> list[Contestant]:
    """LAFI through the server: plain, as published, and with new and known characters."""

    def draw(boards: Sequence[Storyboard]) -> None:
        draw_over_grpc(server, boards, in_flight)

    return [
        Contestant("lafi none", draw),
        Contestant("lafi decoder, published", draw, PUBLISHED),
        Contestant("lafi decoder, fixed level, new characters", draw, KEPT),
        Contestant("lafi decoder, fixed level, known characters", draw, KEPT, fresh=False),
    ]


def without_server(process: InProcess, in_flight: int) -> Contestant:
    """LAFI's own drawing without its server and without gRPC."""

    def draw(boards: Sequence[Storyboard]) -> None:
        process.draw(boards, in_flight)

    return Contestant(IN_PROCESS, draw, PUBLISHED)


def fastest(server: Supervisor, in_flight: int) -> list[Contestant]:
    """LAFI through a server with the fastest denoiser, plain and as published."""
    return [
        Contestant(f"{each.name}, fastest engine", each.draw, each.injection)
        for each in ours(server, in_flight)[:2]
    ]


def peers(
    checkpoint: Path, tutorial: Supervisor, in_flight: int, most: int | None = None
) -> list[Contestant]:
    """Others on the same checkpoint, one storyboard at a time except in the tutorial's server.

    most: storyboards of a round; see `Contestant`.
    """
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
        Contestant("diffusers plain", draw_plain, most=most),
        Contestant("diffusers, reference per image", draw_per_image, most=most),
        Contestant("StoryDiffusion's manner", draw_story, most=most),
        Contestant("Triton Server tutorial's manner", draw_tutorial, most=most),
    ]


@dataclass(frozen=True, slots=True)
class Field:
    """The contestants' files: an export, the checkpoint, and an export with a fast engine.

    peer_storyboards: how many of a round's storyboards the peers draw, None for all. max_rows: of
    one denoiser call of ours, None as the server has it.
    """

    repository: Path
    checkpoint: Path
    fastest: Path | None = None
    peer_storyboards: int | None = None
    max_rows: int | None = None

    def served(self, repository: Path, folder: Path) -> Path:
        """The repository for a server of ours; a copy in `folder` if its settings differ."""
        if self.max_rows is None:
            return repository
        return served_copy(repository, folder / repository.name, max_rows=self.max_rows)


def compare(
    field: Field, load: Workload, rounds: int, tell: Callable[[str], None]
) -> tuple[dict[str, list[float]], list[float]]:
    """Panels per second of each contestant in each round, after a short round that warms all up.

    Then PSNR in dB of panels by the fastest engine against the same by the first, published
    injection; none without a fastest engine.
    """
    warm = Workload(1, 2, 1, 2)
    with ExitStack() as stack:
        cores = len(os.sched_getaffinity(0))  # the threads of every server's engines
        copies = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(Supervisor(field.served(field.repository, copies)))
        process = stack.enter_context(closing(InProcess(field.repository, cores, field.max_rows)))
        contestants = [*ours(server, load.in_flight), without_server(process, load.in_flight)]
        fast = None
        if field.fastest is not None:
            fast = stack.enter_context(Supervisor(field.served(field.fastest, copies)))
            contestants += fastest(fast, load.in_flight)
        tutorial = stack.enter_context(_tutorial(field.checkpoint, load))
        contestants += peers(field.checkpoint, tutorial, load.in_flight, field.peer_storyboards)
        for contestant in contestants:
            contestant.draw(storyboards(warm, contestant.injection))
        known = storyboards(load, KEPT)
        next(c for c in contestants if not c.fresh).draw(known)
        speeds: dict[str, list[float]] = {contestant.name: [] for contestant in contestants}
        for number in range(1, rounds + 1):
            for contestant in in_turn(contestants, number):
                boards = known
                if contestant.fresh:
                    first = number * load.storyboards
                    boards = storyboards(load, contestant.injection, first)
                speeds[contestant.name].append(_speed(contestant, boards[: contestant.most]))
                tell(f"round {number}: {contestant.name} {speeds[contestant.name][-1]:.2f}")
        return speeds, [] if fast is None else _picture_distance(server, fast, load)


def in_turn(contestants: Sequence[Contestant], number: int) -> list[Contestant]:
    """Their order in a round, forward then backward, so that a drifting machine favours none."""
    return list(contestants) if number % 2 else list(reversed(contestants))


@contextmanager
def _tutorial(checkpoint: Path, load: Workload) -> Iterator[Supervisor]:
    guidance = storyboards(Workload(1, 1, 1, 1), PLAIN)[0].sampling.stages[0].guidance
    with (
        tempfile.TemporaryDirectory() as folder,
        tutorial_server(
            checkpoint, Path(folder), side=128, steps=load.steps, guidance=guidance, threads=2
        ) as server,
    ):
        yield server


def _speed(contestant: Contestant, boards: Sequence[Storyboard]) -> float:
    """Panels per second."""
    began = time.perf_counter()
    contestant.draw(boards)
    return sum(len(board.panels) for board in boards) / (time.perf_counter() - began)


def _picture_distance(one: Supervisor, other: Supervisor, load: Workload) -> list[float]:
    """PSNR in dB between two servers' panels of two storyboards, published injection."""
    boards = storyboards(Workload(2, load.panels, 1, load.steps), PUBLISHED)
    pairs = zip(panels_over_grpc(one, boards), panels_over_grpc(other, boards), strict=True)
    return [psnr(a, b) for a, b in pairs]


def ratio(speeds: dict[str, list[float]], one: str, other: str) -> float:
    """How many times as fast `one` is as `other`: the median ratio over the rounds."""
    return statistics.median(a / b for a, b in zip(speeds[one], speeds[other], strict=True))


def _seeds(board: Storyboard) -> list[int]:
    return [panel.seed for panel in board.panels]


def _reference(board: Storyboard) -> bytes:
    reference = board.characters[0].reference
    assert reference is not None
    return reference.data
