"""Many storyboards in one process: none notices the others."""

import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lafi.board.error import StoryboardError
from lafi.board.reference_image import ReferenceImage
from lafi.board.storyboard import Character, Panel, Storyboard
from lafi.drawing.pipeline import draw
from lafi.drawing.studio import Studio
from lafi.engine.torch.engines import load_torch_engines
from lafi.ports.engines import Engines
from lafi.wire.events import Event, Finished, PanelImage


@pytest.fixture(scope="module")
def engines(checkpoint: Path) -> Engines:
    return load_torch_engines(checkpoint)


def character(colour: str) -> Character:
    buffer = io.BytesIO()
    Image.new("RGB", (24, 32), colour).save(buffer, format="PNG")
    return Character(name="mia", prompt="a child", reference=ReferenceImage(data=buffer.getvalue()))


def board(number: int, **injection: object) -> Storyboard:
    return Storyboard(
        width=32,
        height=32 if number % 2 else 48,
        sampling={"steps": 3, "guidance": 3.0},
        injection=injection,
        characters=(character(("red", "blue")[number % 2]),),
        panels=tuple(Panel(prompt="{mia} is running", seed=10 * number + i) for i in range(3)),
    )


def pixels(events: list[Event]) -> list[np.ndarray]:
    assert isinstance(events[-1], Finished)
    panels = sorted((e for e in events if isinstance(e, PanelImage)), key=lambda e: e.panel)
    return [np.asarray(Image.open(io.BytesIO(panel.png)), dtype=np.int16) for panel in panels]


@pytest.mark.parametrize("noise", ["panel", 0.1])
def test_together_they_give_the_pictures_that_each_gives_alone(
    engines: Engines, noise: str | float
) -> None:
    boards = [board(number, reference_noise=noise) for number in range(4)]
    studio = Studio({"": engines}, max_rows=8)
    with ThreadPoolExecutor(len(boards)) as threads:
        together = list(threads.map(lambda b: list(studio.draw(b, lambda: False)), boards))
    studio.close()
    for events, given in zip(together, boards, strict=True):
        for found, expected in zip(pixels(events), pixels(list(draw(given, engines))), strict=True):
            assert np.abs(found - expected).max() <= 2


def test_a_character_is_read_once_however_many_storyboards_have_it(engines: Engines) -> None:
    studio = Studio({"": engines})
    for number in (1, 3, 5):
        list(studio.draw(board(number, reference_noise=0.1), lambda: False))
    stats = studio.bank.stats()
    studio.close()
    assert (stats.entries, stats.misses, stats.hits) == (1, 1, 2)
    assert stats.bytes > 0


def test_a_variant_that_is_not_there_is_refused(engines: Engines) -> None:
    studio = Studio({"": engines})
    with pytest.raises(StoryboardError, match="variant: got 'ink', allowed: none"):
        studio.draw(board(0).model_copy(update={"variant": "ink"}), lambda: False)
    studio.close()
