"""Many storyboards in one process: none notices the others."""

import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lafi.board import image_file
from lafi.board.default_recipe import DefaultRecipe
from lafi.board.error import StoryboardError
from lafi.board.reference_image import ReferenceImage
from lafi.board.safety_words import load_safety
from lafi.board.storyboard import Character, Panel, Storyboard
from lafi.drawing.pipeline import draw
from lafi.drawing.studio import Studio
from lafi.engine.torch.engines import load_torch_engines
from lafi.ports.engines import Engines
from lafi.store.index import Index
from lafi.store.panels import PanelStore
from lafi.store.place import Folder
from lafi.wire.contract import storyboard_from_tensors, storyboard_to_tensors
from lafi.wire.events import Accepted, Event, Finished, PanelImage
from lafi.wire.model_spec import bytes_tensor


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


@pytest.mark.parametrize("other", [{"clip_skip": 1}, {"prompt_weights": False}])
@pytest.mark.parametrize("noise", ["panel", 0.1])
def test_texts_that_are_read_in_other_ways_share_calls_and_nothing_else(
    engines: Engines, noise: str | float, other: dict[str, Any]
) -> None:
    """One character, whose caption has other embeddings in each of two storyboards."""
    one = board(1, reference_noise=noise)
    mia = one.characters[0].model_copy(update={"prompt": "a (child:1.9) running"})
    one = one.model_copy(update={"characters": (mia,)})
    boards = [one, one.model_copy(update=other)]
    studio = Studio({"": engines})
    with ThreadPoolExecutor(len(boards)) as threads:
        together = list(threads.map(lambda b: list(studio.draw(b, lambda: False)), boards))
    again = [list(studio.draw(given, lambda: False)) for given in reversed(boards)][::-1]
    studio.close()
    alone = [pixels(list(draw(given, engines))) for given in boards]
    for events in (together, again):
        for found, expected in zip(map(pixels, events), alone, strict=True):
            assert all(np.abs(a - b).max() <= 2 for a, b in zip(found, expected, strict=True))
    assert any(np.abs(a - b).max() > 2 for a, b in zip(*alone, strict=True))


def test_a_variant_that_is_not_there_is_refused(engines: Engines) -> None:
    studio = Studio({"": engines})
    with pytest.raises(StoryboardError, match="variant: got 'ink', allowed: none"):
        studio.draw(board(0).model_copy(update={"variant": "ink"}), lambda: False)
    studio.close()


HOUSE = DefaultRecipe(
    "house", {"sampling": {"steps": 2, "guidance": 2.0}, "negative_prompt": "grey", "width": 32}
)


def over_the_wire(one: Storyboard) -> Storyboard:
    tensors = storyboard_to_tensors(one)
    return storyboard_from_tensors(tensors["STORYBOARD"], tensors["REFERENCES"])


def drawn_by(studio: Studio, one: Storyboard) -> tuple[tuple[str, ...], list[np.ndarray]]:
    """The notes, and the panels' pixels."""
    events = list(studio.draw(over_the_wire(one), lambda: False))
    assert isinstance(events[0], Accepted)
    pngs = [event.png for event in events if isinstance(event, PanelImage)]
    return events[0].notes, [np.asarray(Image.open(io.BytesIO(png))) for png in pngs]


def test_the_servers_default_recipe_fills_what_is_unset(engines: Engines) -> None:
    panels = (Panel(prompt="a child"), Panel(prompt="{mia}", sampling={"guidance": 1.0}))
    unset = Storyboard(height=32, characters=(character("red"),), panels=panels)
    full = Storyboard.model_validate(
        {**HOUSE.settings, "height": 32, "characters": [character("red")], "panels": panels}
    )
    plain, house = Studio({"": engines}), Studio({"": engines}, default_recipe=HOUSE)
    try:
        said, filled = drawn_by(house, unset)
        same, wanted = drawn_by(plain, full)
        named = "sampling, negative_prompt, width"
        assert said == (f"default recipe of the server: house sets {named}", *same)
        for ours, theirs in zip(filled, wanted, strict=True):
            assert np.array_equal(ours, theirs)
        nothing, explicit = drawn_by(house, full)
        assert nothing == same
        for ours, theirs in zip(explicit, wanted, strict=True):
            assert np.array_equal(ours, theirs)
    finally:
        plain.close()
        house.close()


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"sampling": {"shift": 3.0}}, r"default_recipe: panels\[0\]\.sampling\.shift: got 3"),
        ({"variant": "ink"}, "default_recipe: variant: got 'ink', allowed: none"),
        ({"sampling": {"steps": 0}}, "default_recipe: sampling.steps: got 0"),
    ],
)
def test_a_recipe_that_the_model_cannot_draw_is_refused_at_once(
    engines: Engines, settings: dict[str, object], line: str
) -> None:
    with pytest.raises(StoryboardError, match=line):
        Studio({"": engines}, default_recipe=DefaultRecipe("odd", settings))


def test_a_picture_is_decoded_once_and_hashed_once(
    engines: Engines, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = board(1)
    (data,) = {c.reference.data for c in one.characters if c.reference is not None}
    tensors = storyboard_to_tensors(one)
    # Other bytes objects, as those that arrive from another process.
    arrived = bytes_tensor(*(bytes(sent) for sent in tensors["REFERENCES"]))
    decoded: list[bytes] = []
    hashed: list[bytes] = []
    sha256_hex = image_file.sha256_hex

    def decode(file: bytes) -> Image.Image:
        decoded.append(file)
        return image_file.decode(file)

    monkeypatch.setattr(image_file, "sha256_hex", lambda d: hashed.append(d) or sha256_hex(d))
    received = storyboard_from_tensors(tensors["STORYBOARD"], arrived, decode=decode)
    studio = Studio({"": engines}, default_recipe=HOUSE)
    try:
        events = list(studio.draw(received, lambda: False))
    finally:
        studio.close()
    assert isinstance(events[-1], Finished)
    assert decoded == [data]
    assert hashed.count(data) == 1


def test_words_in_prompts_are_said_or_refused_also_for_what_is_kept(
    engines: Engines, tmp_path: Path
) -> None:
    board = Storyboard(panels=(Panel(prompt="a naked tree", sampling={"steps": 1}),))
    panels = PanelStore(Folder(tmp_path / "panels"), Index(tmp_path / "index"))
    plain = Studio({"": engines}, panels=panels)
    flags = Studio({"": engines}, panels=panels, safety=load_safety("flag"))
    refuses = Studio({"": engines}, panels=panels, safety=load_safety("refuse"))
    try:
        said, _ = drawn_by(plain, board)
        noted, _ = drawn_by(flags, board)
        line = "safety: panels[0].prompt has 'naked', a word of this server's list"
        assert noted == (line, *said)
        with pytest.raises(StoryboardError, match=r"panels\[0\]\.prompt: got 'naked', allowed: no"):
            refuses.draw(board, lambda: False)
    finally:
        for studio in (plain, flags, refuses):
            studio.close()
