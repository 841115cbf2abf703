"""Stages drawn by models of two families, a UNet and Z-Image, against diffusers' two pipelines."""

import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionImg2ImgPipeline, ZImageImg2ImgPipeline, ZImagePipeline
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from PIL import Image

from drawn_twice import stock_pipeline
from lafi.board.error import StoryboardError
from lafi.board.storyboard import Storyboard
from lafi.drawing.content_address import content_address
from lafi.drawing.pipeline import draw
from lafi.engine.torch.engines import load_torch_engines
from lafi.ports.engines import Engines
from lafi.wire.events import Latents, PanelImage, Preview, Progress

SIDE, SEED, GUIDANCE = 64, 5, 4.0
PROMPT = "a child is running on the beach"
REFINE = {"steps": 2, "denoise": 0.5, "upscale": "pixels"}


@pytest.fixture(scope="module")
def engines(checkpoint: Path, small_checkpoints: Callable[[str], Path]) -> dict[str, Engines]:
    painter = small_checkpoints("zimage")
    return {"": load_torch_engines(checkpoint), "paint": load_torch_engines(painter)}


@pytest.fixture(scope="module")
def unet(checkpoint: Path) -> Any:
    return stock_pipeline(checkpoint)


@pytest.fixture(scope="module")
def painter(small_checkpoints: Callable[[str], Path]) -> Any:
    pipe = ZImagePipeline.from_pretrained(small_checkpoints("zimage"))
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.fixture
def means() -> Iterator[None]:
    """Pictures are encoded as the mean, not as a sample of the VAE's distribution."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            DiagonalGaussianDistribution, "sample", lambda self, generator=None: self.mean
        )
        yield


def board(*stages: dict[str, Any], **fields: Any) -> Storyboard:
    document = {
        "width": SIDE,
        "height": SIDE,
        "sampling": {"stages": [*stages]},
        "injection": {"layers": "none"},
        "panels": [{"prompt": PROMPT, "seed": SEED}],
    }
    return Storyboard.model_validate(document | fields)


FROM_UNET = {"steps": 3, "guidance": GUIDANCE}
BY_PAINTER = {"variant": "paint", "guidance": 1.0}


def pixels_of(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), dtype=np.int16)


def drawn(asked: Storyboard, engines: Mapping[str, Engines]) -> np.ndarray:
    (png,) = (event.png for event in draw(asked, engines) if isinstance(event, PanelImage))
    return pixels_of(png)


def told(side: int, **more: Any) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(SEED)
    return {"prompt": PROMPT, "width": side, "height": side, "generator": generator} | more


def enlarged(image: Image.Image) -> Image.Image:
    return image.resize((SIDE, SIDE), Image.Resampling.LANCZOS)


@pytest.mark.usefixtures("means")
@pytest.mark.parametrize("scale", [0.5, 1.0])
def test_drawn_by_a_unet_and_refined_by_a_transformer(
    engines: dict[str, Engines], unet: Any, painter: Any, scale: float
) -> None:
    small = round(SIDE * scale)
    first = unet(**told(small, num_inference_steps=3, guidance_scale=GUIDANCE)).images[0]
    refine = ZImageImg2ImgPipeline(**painter.components)
    refine.set_progress_bar_config(disable=True)
    theirs = refine(
        **told(SIDE, num_inference_steps=4, guidance_scale=0.0),
        image=enlarged(first),
        strength=0.5,
    ).images[0]
    ours = drawn(board({**FROM_UNET, "size": scale}, REFINE | BY_PAINTER), engines)
    assert np.abs(ours - np.asarray(theirs, dtype=np.int16)).max() <= 2
    assert np.abs(ours - np.asarray(enlarged(first), dtype=np.int16)).max() > 2


@pytest.mark.usefixtures("means")
def test_drawn_by_a_transformer_and_refined_by_a_unet(
    engines: dict[str, Engines], unet: Any, painter: Any
) -> None:
    first = painter(**told(32, num_inference_steps=3, guidance_scale=0.0)).images[0]
    refine = StableDiffusionImg2ImgPipeline(**unet.components)
    refine.set_progress_bar_config(disable=True)
    given = told(SIDE, num_inference_steps=4, guidance_scale=GUIDANCE)
    del given["width"], given["height"]
    theirs = refine(**given, image=enlarged(first), strength=0.5).images[0]
    ours = drawn(
        board({**BY_PAINTER, "steps": 3, "size": 0.5}, {**REFINE, "guidance": GUIDANCE}), engines
    )
    assert np.abs(ours - np.asarray(theirs, dtype=np.int16)).max() <= 2


def test_latents_that_mean_nothing_to_the_other_model_are_refused(
    engines: dict[str, Engines],
) -> None:
    for upscale in ("bilinear", "lanczos"):
        stage = REFINE | BY_PAINTER | {"upscale": upscale}
        with pytest.raises(StoryboardError) as refused:
            draw(board(FROM_UNET, stage), engines)
        unet, painter = engines[""].info.name, engines["paint"].info.name
        assert [*refused.value.problems] == [
            f"panels[0].sampling.stages[1].upscale: got '{upscale}', allowed: pixels: {unet} draws "
            f"the stage before, and its latents mean nothing to {painter}"
        ]


def test_a_stage_that_begins_with_a_picture_needs_no_crossing(
    engines: dict[str, Engines],
) -> None:
    stages = {"stages": [{**BY_PAINTER, "steps": 2, "denoise": 0.5, "from": 0}]}
    panels = [
        {"prompt": PROMPT, "sampling": {"stages": [FROM_UNET]}},
        {"prompt": PROMPT, "sampling": stages},
    ]
    events = list(draw(board(FROM_UNET, panels=panels), engines))
    first, second = (pixels_of(e.png) for e in events if isinstance(e, PanelImage))
    assert np.abs(first - second).max() > 2


def test_a_size_that_the_last_model_cannot_draw_is_refused(engines: dict[str, Engines]) -> None:
    coarse = engines["paint"].info.model_copy(update={"side_multiple": 48})
    several = {**engines, "paint": replace(engines["paint"], info=coarse)}
    with pytest.raises(StoryboardError) as refused:
        draw(board(FROM_UNET, REFINE | BY_PAINTER, height=96), several)
    assert [*refused.value.problems] == [
        f"panels[0].width: got {SIDE}, allowed: a multiple of 48 pixels "
        f"(model {coarse.name} draws the last stage)"
    ]


def test_progress_preview_and_kept_latents_come_of_each_models_stage(
    engines: dict[str, Engines],
) -> None:
    fields = {"stage_previews": True, "keep_stages": True}
    asked = board(FROM_UNET, REFINE | BY_PAINTER, **fields)
    events = list(draw(asked, engines))
    stages = [(e.stage, e.step) for e in events if isinstance(e, Progress)]
    assert stages == [(1, 1), (1, 2), (1, 3), (2, 1), (2, 2)]
    (preview,) = (e for e in events if isinstance(e, Preview))
    assert np.array_equal(pixels_of(preview.png), drawn(board(FROM_UNET), engines))
    (kept,) = (e.data for e in events if isinstance(e, Latents))
    whole = drawn(asked, engines)
    panel = asked.panels[0].model_dump(mode="json", exclude_unset=True)
    again = asked.model_dump(mode="json", exclude_unset=True)
    again["panels"] = [panel | {"resume": {"stage": 2, "data": kept}}]
    resumed = list(draw(Storyboard.model_validate(again), engines))
    assert {e.stage for e in resumed if isinstance(e, Progress)} == {2}
    (png,) = (e.png for e in resumed if isinstance(e, PanelImage))
    assert np.array_equal(pixels_of(png), whole)


def test_both_models_read_a_character_each_in_its_own_layers(engines: dict[str, Engines]) -> None:
    fields = {"characters": [{"name": "mia", "prompt": "a child"}]}
    panels = [{"prompt": "{mia} is running", "seed": SEED}]
    stages = (FROM_UNET, REFINE | BY_PAINTER)

    def read(layers: str, **refine: Any) -> np.ndarray:
        asked = {"injection": {"layers": layers, "end": 1.0}, "panels": panels, **fields}
        return drawn(board(stages[0], stages[1] | refine, **asked), engines)

    everywhere, nowhere = read("all"), read("none")
    first_alone = read("all", injection={"layers": "none"})
    assert np.abs(everywhere - first_alone).max() > 2
    assert np.abs(first_alone - nowhere).max() > 2


def test_the_address_follows_the_weights_of_the_model_that_refines(
    engines: dict[str, Engines],
) -> None:
    asked = board(FROM_UNET, REFINE | BY_PAINTER)
    models = {variant: each.info for variant, each in engines.items()}
    other = models["paint"].model_copy(update={"weights_sha256": "cd" * 32})
    addresses = {
        content_address(asked, asked.panels[0], each)
        for each in (models, models | {"paint": other})
    }
    assert len(addresses) == 2


def test_variants_of_one_model_hand_on_latents(engines: dict[str, Engines]) -> None:
    ink = replace(engines[""], info=engines[""].info.model_copy(update={"variant": "ink"}))
    stage = {"variant": "ink", "guidance": 1.0, "steps": 1, "denoise": 0.5}
    by_ink = drawn(board(FROM_UNET, stage), {"": engines[""], "ink": ink})
    by_itself = drawn(board(FROM_UNET, stage | {"variant": ""}), {"": engines[""]})
    # The same weights under another name, so the same picture, and not through pixels.
    assert np.abs(by_ink - by_itself).max() == 0
