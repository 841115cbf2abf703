"""Measures the times of a real server, and draws a small load on it to compare with the simulation.

All with one server in one run, since the machine may be another one tomorrow.
"""

from __future__ import annotations

import io
import itertools
import json
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.optimize import nnls

from benchmarks.capacity.simulation import Arrival
from benchmarks.capacity.work import ROWS_OF_A_PANEL, Load, Times
from lafi.board.reference_image import ReferenceImage
from lafi.board.stages import Sampling, SamplingStage
from lafi.board.storyboard import Character, Panel, Storyboard
from lafi_client import StoryboardClient

SIDE = 128
"""The bundled model's own."""
MEGAPIXELS = SIDE * SIDE / 1e6
PANELS = (1, 2, 4, 8)
STEPS = (2, 8, 16)
ROUNDS = 2
SEEDS = itertools.count(5 * 10**8)
"""So that no panel of a run was drawn before."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One storyboard that was drawn alone."""

    panels: int
    steps: int
    seconds: float


def measure_alone(url: str) -> list[Measured]:
    """Storyboards of every size, one after the other, in rounds."""
    found = []
    with StoryboardClient(url) as client:
        client.draw_all(_board(1, 2))
        for _, panels, steps in itertools.product(range(ROUNDS), PANELS, STEPS):
            found.append(Measured(panels, steps, _seconds(client, _board(panels, steps))))
    return found


def measure_pace(url: str, load: Load, count: int = 3) -> float:
    """Seconds of one such storyboard alone, at this moment: the median."""
    with StoryboardClient(url) as client:
        boards = [_board(load.panels, load.stages[0][0]) for _ in range(count)]
        return float(np.median([_seconds(client, board) for board in boards]))


def measure_character(url: str, count: int = 4) -> float:
    """Seconds that a reference takes that the server has not read: the least difference to one."""
    known = Character(name="mia", prompt="a child", reference=ReferenceImage(data=_picture(0)))
    with StoryboardClient(url) as client:
        before = _board(1, 2, known)
        client.draw_all(before)
        one = min(_seconds(client, _board(1, 2, known)) for _ in range(count))
        others = [
            known.model_copy(update={"reference": ReferenceImage(data=_picture(number + 1))})
            for number in range(count)
        ]
        new = min(_seconds(client, _board(1, 2, other)) for other in others)
    return max(0.0, new - one)


def measure_resent(url: str, count: int = 5) -> float:
    """Seconds of a storyboard that is in the store: the median."""
    with StoryboardClient(url) as client:
        board = _board(6, 2)
        client.draw_all(board)
        return float(np.median([_seconds(client, board) for _ in range(count)]))


def fitted(measured: Sequence[Measured], *, max_rows: int) -> Times:
    """Times by least squares, none below 0: storyboard + n panel + s (call + 2 n row)."""
    rows = [(1.0, m.panels, m.steps, ROWS_OF_A_PANEL * m.panels * m.steps) for m in measured]
    weight = np.array([1 / m.seconds for m in measured])
    seconds = np.array([m.seconds for m in measured])
    # Weighted, so that every storyboard counts by its relative error.
    found, _ = nnls(np.array(rows) * weight[:, None], seconds * weight)
    storyboard, panel, call, row = map(float, found)
    return Times(
        call=call,
        row=row / MEGAPIXELS,
        panel=panel / MEGAPIXELS,
        storyboard=storyboard,
        max_rows=max_rows,
    )


def draw_load(url: str, load: Load, coming: Sequence[Arrival]) -> tuple[list[Arrival], list[float]]:
    """Draws what comes at its times; when each was really sent, and its seconds.

    Every storyboard is new, and has no character.
    """
    seconds = [0.0] * len(coming)
    sent = [0.0] * len(coming)
    began = time.monotonic()
    steps = [steps for steps, _ in load.stages]

    def one(number: int, board: Storyboard) -> None:
        with StoryboardClient(url) as client:
            sent[number] = time.monotonic() - began
            client.draw_all(board)
            seconds[number] = time.monotonic() - began - sent[number]

    threads = []
    for number, each in enumerate(coming):
        board = _board(load.panels, steps[0])
        time.sleep(max(0.0, began + each.after - time.monotonic()))
        threads.append(threading.Thread(target=one, args=(number, board)))
        threads[-1].start()
    for thread in threads:
        thread.join()
    return [replace(each, after=at) for each, at in zip(coming, sent, strict=True)], seconds


def _picture(number: int) -> bytes:
    """A PNG that no other number has."""
    rng = np.random.default_rng(number)
    pixels = rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def _board(panels: int, steps: int, character: Character | None = None) -> Storyboard:
    named = () if character is None else (character,)
    text = "a child runs" if character is None else f"{{{character.name}}} runs"
    return Storyboard(
        width=SIDE,
        height=SIDE,
        characters=named,
        sampling=Sampling(stages=(SamplingStage(steps=steps),)),
        panels=tuple(Panel(prompt=text, seed=next(SEEDS) % 2**31) for _ in range(panels)),
    )


def _seconds(client: StoryboardClient, board: Storyboard) -> float:
    began = time.monotonic()
    client.draw_all(board)
    return time.monotonic() - began


def read_times(path: Path) -> Times:
    """Times of another machine, from JSON. Raises TypeError for fields that `Times` has not."""
    return Times(**json.loads(path.read_text(encoding="utf-8")))
