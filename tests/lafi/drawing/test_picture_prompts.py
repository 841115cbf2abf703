"""Picture prompts of panels: refused or told before any work, and each picture seen once."""

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from picture_adapters import SIDE, random_adapter
from PIL import Image
from torch import Tensor
from transformers import CLIPImageProcessorPil

from lafi.board.error import StoryboardError
from lafi.board.storyboard import Storyboard
from lafi.drawing.check import check_drawable
from lafi.drawing.picture_prompts import clip_pixels, on_white, picture_prompt_notes
from lafi.drawing.pipeline import draw
from lafi.drawing.plan import plan_panel
from lafi.engine.torch.engines import load_torch_engines
from lafi.ports.engines import Engines
from lafi.wire.events import Accepted, PanelImage, Portrait

MIA = {"name": "mia", "prompt": "a child with red hair"}


class Counting:
    """An image encoder that keeps what it saw."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.seen: list[Tensor] = []

    def __call__(self, pictures: Tensor) -> Tensor:
        self.seen.append(pictures)
        made: Tensor = self.inner(pictures)
        return made

    def nothing(self) -> Tensor:
        made: Tensor = self.inner.nothing()
        return made


@pytest.fixture(scope="module")
def loaded(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Engines:
    files = random_adapter(checkpoint, tmp_path_factory.mktemp("adapter"))
    return load_torch_engines(checkpoint, picture_prompts=files)


@pytest.fixture
def engines(loaded: Engines) -> Engines:
    return replace(loaded, picture_encoder=Counting(loaded.picture_encoder))


def board(*panels: list[dict[str, Any]], **fields: Any) -> Storyboard:
    settings = {"width": 32, "height": 32, "characters": [MIA]} | fields
    given = [{"prompt": "a child", "seed": 3, "picture_prompts": each} for each in panels]
    sampling = {"steps": 3, "sampler": "DDIM", "guidance": 3}
    return Storyboard(panels=given, sampling=sampling, injection={"layers": "none"}, **settings)


def drawn(story: Storyboard, engines: Engines) -> dict[int, np.ndarray]:
    panels = [event for event in draw(story, engines) if isinstance(event, PanelImage)]
    return {e.panel: np.asarray(Image.open(io.BytesIO(e.png)), dtype=np.int16) for e in panels}


def test_a_model_without_an_adapter_says_how_it_gets_one(checkpoint: Path) -> None:
    plain = load_torch_engines(checkpoint)
    with pytest.raises(StoryboardError) as refused:
        check_drawable(board([{"character": "mia"}]), {"": plain})
    (line,) = refused.value.problems
    assert line.startswith("panels[0].picture_prompts: got 1 of them, allowed: none, since ")
    assert "lafi export CHECKPOINT --out REPO --picture-prompts FILE --image-encoder" in line


def test_a_picture_of_which_only_the_header_is_whole_is_refused(
    engines: Engines, png: bytes
) -> None:
    with pytest.raises(StoryboardError, match=r"picture_prompts\[0\].image: got a file that ends"):
        check_drawable(board([{"image": png[:120]}]), {"": engines})


def test_one_that_acts_in_no_step_is_told(engines: Engines) -> None:
    late = board([{"character": "mia", "start": 0.9}, {"character": "mia", "strength": 0.0}])
    plans = [plan_panel(late, panel, {"": engines.info}) for panel in late.panels]
    expected = [
        "panels[0].picture_prompts[0]: it has no effect in stage 1: none of its 3 steps lies in "
        "start to end",
        "panels[0].picture_prompts[1]: it has no effect in stage 1: its strength is 0",
    ]
    assert [*picture_prompt_notes(late, plans)] == expected
    (accepted,) = (event for event in draw(late, engines) if isinstance(event, Accepted))
    assert {*expected} <= {*accepted.notes}


def test_each_picture_is_seen_once(engines: Engines, png: bytes) -> None:
    """However many panels and stages it is a prompt of, and by which name."""
    mia = MIA | {"reference": png}
    both = [{"image": png}, {"character": "mia", "strength": 0.5}]
    pictures = drawn(board(both, [{"image": png}], [], characters=[mia]), engines)
    assert engines.picture_encoder is not None
    assert [seen.shape for seen in engines.picture_encoder.seen] == [(1, 3, SIDE, SIDE)]  # type: ignore
    assert np.abs(pictures[1] - pictures[2]).max() > 8


def test_a_character_is_its_reference_or_its_portrait(engines: Engines) -> None:
    """Who is not in the panel has a portrait, too, which can be given as an image."""
    named = board([{"character": "mia"}])
    portrait, panel = None, None
    for event in draw(named, engines):
        portrait = event.png if isinstance(event, Portrait) else portrait
        panel = event.png if isinstance(event, PanelImage) else panel
    assert portrait is not None
    assert panel is not None
    (again,) = drawn(board([{"image": portrait}]), engines).values()
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(panel)), dtype=np.int16), again)
    (by_reference,) = drawn(
        board([{"character": "mia"}], characters=[MIA | {"reference": portrait}]), engines
    ).values()
    assert np.array_equal(by_reference, again)


def test_stages_of_other_sizes_read_the_same_picture(engines: Engines, png: bytes) -> None:
    stages = [{"steps": 2, "size": [32, 32]}, {"steps": 2, "denoise": 0.5}]
    story = board([{"image": png}], [], width=64, height=64)
    staged = Storyboard.model_validate(story.model_dump() | {"sampling": {"stages": stages}})
    pictures = drawn(staged, engines)
    assert len(engines.picture_encoder.seen) == 1  # type: ignore[union-attr]
    assert np.abs(pictures[0] - pictures[1]).max() > 8


@pytest.mark.parametrize("size", [(90, 60), (60, 90), (28, 28), (7, 200)])
def test_pictures_are_prepared_as_clip_does(size: tuple[int, int]) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    expected = CLIPImageProcessorPil(size={"shortest_edge": SIDE}, crop_size=SIDE)(
        image, return_tensors="pt"
    )["pixel_values"]
    assert torch.equal(clip_pixels(image, SIDE), expected)
    assert clip_pixels(image, SIDE).shape == (1, 3, SIDE, SIDE)


def test_behind_what_is_transparent_is_white() -> None:
    image = Image.new("RGBA", (2, 1), (10, 20, 30, 255))
    image.putpixel((1, 0), (0, 0, 0, 0))
    made = on_white(image)
    assert [made.getpixel((x, 0)) for x in (0, 1)] == [(10, 20, 30), (255, 255, 255)]
