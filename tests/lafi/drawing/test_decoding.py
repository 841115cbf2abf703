"""Which finished pictures are decoded together, and that nobody can tell."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lafi.board.storyboard import Storyboard
from lafi.drawing import decoding, images
from lafi.drawing.decoding import DrawingError, decoded
from lafi.drawing.plan import plan_panel
from lafi.drawing.stage_loop import Done
from lafi.drawing.staged import StagedPicture
from lafi.engine.torch.engines import load_torch_engines
from lafi.ports.engines import Engines

SIDES = (2, 4, 128)


@pytest.fixture(scope="module")
def engines(checkpoint: Path) -> Engines:
    return load_torch_engines(checkpoint)


class Decoder:
    """Pictures of one cell to one pixel, grey as the first channel of their latents."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, ...]] = []

    def __call__(self, latents: Tensor) -> Tensor:
        self.calls.append(tuple(latents.shape))
        return latents[:, :1].expand(-1, 3, -1, -1)


def done(key: int, latents: Tensor, engines: Engines, variant: str = "") -> Done:
    board = Storyboard.model_validate(
        {"width": 32, "height": 32, "panels": [{"prompt": "a child", "seed": 1}]}
    )
    (stage,) = plan_panel(board, board.panels[0], {"": engines.info})
    picture = StagedPicture(key, board.panels[0], [replace(stage, variant=variant)])
    return Done(picture, latents)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(SIDES), st.sampled_from(("", "ink"))), max_size=12),
)
def test_pictures_of_one_size_and_variant_share_calls_and_keep_their_order(
    engines: Engines, wanted: list[tuple[int, str]]
) -> None:
    decoders = {"": Decoder(), "ink": Decoder()}
    by_variant = {name: replace(engines, vae_decoder=each) for name, each in decoders.items()}
    latents = [torch.randn(4, side, side) for side, _ in wanted]
    finished = [
        done(key, each, engines, variant)
        for key, (each, (_, variant)) in enumerate(zip(latents, wanted, strict=True))
    ]
    pictures = decoded(finished, by_variant)
    for picture, each in zip(pictures, latents, strict=True):
        alone = images.to_pixels(Decoder()(each[None])[0])
        assert not isinstance(picture, DrawingError)
        assert (picture == alone).all()
    for variant, decoder in decoders.items():
        shapes = [side for side, of in wanted if of == variant]
        small = sum(side < 128 for side in shapes)
        assert sum(shape[0] for shape in decoder.calls) == len(shapes)
        assert len(decoder.calls) == len({s for s in shapes if s < 128}) + len(shapes) - small


def test_the_pixels_are_those_of_each_alone(engines: Engines) -> None:
    finished = [done(key, torch.randn(4, 4, 4), engines) for key in range(5)]
    together = decoded(finished, {"": engines})
    for each, picture in zip(finished, together, strict=True):
        alone = images.to_pixels(engines.vae_decoder(each.latents[None])[0])
        assert not isinstance(picture, DrawingError)
        assert abs(picture.astype(int) - alone.astype(int)).max() <= 1


def test_one_that_is_not_finite_fails_alone(engines: Engines) -> None:
    finished = [done(key, torch.randn(4, 4, 4), engines) for key in range(3)]
    finished[1].latents[0, 0, 0] = torch.nan
    first, broken, last = decoded(finished, {"": engines})
    assert isinstance(broken, DrawingError)
    assert str(broken).startswith("1: the model gave numbers that are not finite")
    assert not isinstance(first, DrawingError)
    assert not isinstance(last, DrawingError)


def test_large_pictures_have_calls_of_their_own(engines: Engines) -> None:
    decoder = Decoder()
    cells = int(decoding.PIXELS_TOGETHER**0.5) // engines.info.vae_scale
    finished = [done(key, torch.zeros(4, cells, cells), engines) for key in range(2)]
    finished += [done(key, torch.zeros(4, cells // 2, cells), engines) for key in range(3)]
    decoded(finished, {"": replace(engines, vae_decoder=decoder)})
    assert [shape[0] for shape in decoder.calls] == [1, 1, 2, 1]
