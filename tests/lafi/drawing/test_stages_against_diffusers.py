"""Panels drawn in stages are what plain scripts with diffusers' own classes draw."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from diffusers import (
    DDIMScheduler,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionInpaintPipeline,
)
from diffusers.pipelines.stable_diffusion import (
    pipeline_stable_diffusion_inpaint as inpainting,
)
from PIL import Image
from torch import Tensor

from drawn_twice import stock_pipeline
from lafi.board.storyboard import Storyboard
from lafi.drawing.pipeline import draw
from lafi.engine.torch.engines import load_torch_engines
from lafi.ports.engines import Engines
from lafi.wire.events import PanelImage, Preview, Progress

SIDE, GUIDANCE = 64, 4.0
PROMPT, NEGATIVE = "a child is running on the beach", "a night"

Pixels = np.ndarray[Any, np.dtype[np.int16]]


@pytest.fixture(scope="module")
def pipe(checkpoint: Path) -> Any:
    return stock_pipeline(checkpoint)


@pytest.fixture(scope="module")
def engines(checkpoint: Path) -> Engines:
    return load_torch_engines(checkpoint)


def board(*stages: dict[str, Any], **fields: Any) -> Storyboard:
    document = {
        "width": SIDE,
        "height": SIDE,
        "negative_prompt": NEGATIVE,
        "sampling": {"stages": [{"guidance": GUIDANCE} | stage for stage in stages]},
        "injection": {"layers": "none"},
        "panels": [{"prompt": PROMPT, "seed": 5}],
    }
    return Storyboard.model_validate(document | fields)


def drawn(storyboard: Storyboard, engines: Engines) -> list[Pixels]:
    events = {e.panel: e.png for e in draw(storyboard, engines) if isinstance(e, PanelImage)}
    return [np.asarray(Image.open(io.BytesIO(events[i])), dtype=np.int16) for i in sorted(events)]


def embeddings(pipe: Any) -> tuple[Tensor, Tensor]:
    found = pipe.encode_prompt(PROMPT, "cpu", 1, True, NEGATIVE)
    return found[0], found[1]


def guided(pipe: Any, latents: Tensor, t: Tensor, texts: tuple[Tensor, Tensor]) -> Tensor:
    prompt, negative = texts
    both = pipe.unet(torch.cat([latents] * 2), t, torch.cat([negative, prompt])).sample
    without, positive = both.chunk(2)
    return without + GUIDANCE * (positive - without)


def picture(seed: int, mode: str = "RGB") -> Image.Image:
    blocks = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(blocks).resize((SIDE, SIDE), Image.Resampling.NEAREST).convert(mode)


def file_of(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()


@torch.no_grad()
def mean_latents(pipe: Any, image: Image.Image) -> Tensor:
    """What the VAE's mean says of a picture, scaled; stock pipelines draw from it at random."""
    pixels = torch.from_numpy(np.array(image, dtype=np.float32) / 127.5 - 1.0)
    mean = pipe.vae.encode(pixels.permute(2, 0, 1)[None]).latent_dist.mean
    return mean * pipe.vae.config.scaling_factor


@torch.no_grad()
@pytest.mark.parametrize("upscale", ["nearest-exact", "bilinear", "bicubic"])
def test_two_stages_are_text_to_image_a_latent_upscale_and_a_partial_denoise(
    pipe: Any, engines: Engines, upscale: str
) -> None:
    small, steps, last, denoise = SIDE // 2, 6, 8, 0.7
    ours = drawn(
        board(
            {"size": 0.5, "steps": steps},
            {"steps": last, "denoise": denoise, "upscale": upscale},
        ),
        engines,
    )[0]
    texts = embeddings(pipe)
    scheduler = DDIMScheduler.from_config(pipe.scheduler.config)
    cells = small // pipe.vae_scale_factor
    generator = torch.Generator().manual_seed(5)
    latents = torch.randn(1, pipe.unet.config.in_channels, cells, cells, generator=generator)
    scheduler.set_timesteps(steps)
    for t in scheduler.timesteps:
        latents = scheduler.step(guided(pipe, latents, t, texts), t, latents).prev_sample
    corners = None if upscale == "nearest-exact" else False
    large = F.interpolate(latents, scale_factor=2, mode=upscale, align_corners=corners)
    # The last 8 of round(8 / 0.7) = 11 steps, the noise from the panel's seed again.
    scheduler.set_timesteps(round(last / denoise))
    timesteps = scheduler.timesteps[-last:]
    noise = torch.randn(large.shape, generator=torch.Generator().manual_seed(5))
    latents = scheduler.add_noise(large, noise, timesteps[:1])
    for t in timesteps:
        latents = scheduler.step(guided(pipe, latents, t, texts), t, latents).prev_sample
    image = pipe.vae.decode(latents / pipe.vae.config.scaling_factor).sample[0]
    theirs = ((image / 2 + 0.5).clamp(0, 1) * 255).round().permute(1, 2, 0).numpy()
    assert np.abs(ours - theirs).max() <= 2


def test_a_stage_that_begins_with_a_picture_is_image_to_image(pipe: Any, engines: Engines) -> None:
    image, steps, strength = picture(1), 8, 0.5
    stage = {"steps": steps, "denoise": strength, "from": {"image": file_of(image)}}
    ours = drawn(board(stage), engines)[0]
    stock = StableDiffusionImg2ImgPipeline(**pipe.components)
    stock.set_progress_bar_config(disable=True)
    theirs = stock(
        PROMPT,
        image=mean_latents(pipe, image),
        strength=strength,
        num_inference_steps=round(steps / strength),
        guidance_scale=GUIDANCE,
        negative_prompt=NEGATIVE,
        generator=torch.Generator().manual_seed(5),
    ).images[0]
    assert np.abs(ours - np.asarray(theirs, dtype=np.int16)).max() <= 2


@pytest.mark.parametrize("strength", [0.5, 1.0])
@pytest.mark.parametrize("kind", ["picture", "region"])
def test_a_masked_stage_is_inpainting(
    pipe: Any, engines: Engines, strength: float, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The stock pipeline draws latents from what the VAE says at random; here it takes the mean.
    monkeypatch.setattr(inpainting, "retrieve_latents", lambda out, generator: out.latent_dist.mean)
    image, steps = picture(1), 8
    mask = Image.new("L", (SIDE, SIDE), 0)
    mask.paste(255, (SIDE // 2, 0, SIDE, SIDE // 2))
    given: Any = {"image": file_of(mask)} if kind == "picture" else [0.5, 0.0, 1.0, 0.5]
    source = {"image": file_of(image)}
    stage = {"steps": steps, "denoise": strength, "from": source, "mask": given}
    ours = drawn(board(stage), engines)[0]
    stock = StableDiffusionInpaintPipeline(**pipe.components)
    stock.set_progress_bar_config(disable=True)
    theirs = stock(
        PROMPT,
        image=image,
        mask_image=mask,
        width=SIDE,
        height=SIDE,
        strength=strength,
        num_inference_steps=round(steps / strength),
        guidance_scale=GUIDANCE,
        negative_prompt=NEGATIVE,
        generator=torch.Generator().manual_seed(5),
    ).images[0]
    assert np.abs(ours - np.asarray(theirs, dtype=np.int16)).max() <= 2


@torch.no_grad()
def test_a_black_mask_keeps_all_and_a_white_one_nothing(pipe: Any, engines: Engines) -> None:
    image = picture(1)
    stage = {"steps": 3, "denoise": 0.5, "from": {"image": file_of(image)}}
    black, white, none = (
        drawn(board(stage | mask), engines)[0]
        for mask in (
            {"mask": {"image": file_of(Image.new("L", (SIDE, SIDE), 0))}},
            {"mask": {"image": file_of(Image.new("L", (SIDE, SIDE), 255))}},
            {},
        )
    )
    latents = mean_latents(pipe, image) / pipe.vae.config.scaling_factor
    whole = (pipe.vae.decode(latents).sample[0] / 2 + 0.5).clamp(0, 1) * 255
    assert np.abs(black - whole.round().permute(1, 2, 0).numpy()).max() <= 2
    assert np.array_equal(white, none)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_panel_begins_with_an_earlier_one(engines: Engines, order: tuple[int, int]) -> None:
    """Whichever of the two that wait for it is named first."""
    begin = {"stages": [{"steps": 2, "denoise": 0.5, "from": 0, "guidance": GUIDANCE}]}
    panels: list[dict[str, Any]] = [{"prompt": PROMPT, "seed": 5}]
    panels += [{"prompt": PROMPT, "seed": 7 + i, "sampling": begin} for i in order]
    pictures = drawn(board({"steps": 4}, panels=panels), engines)
    alone = {"image": file_of(Image.fromarray(pictures[0].astype(np.uint8)))}
    for place, seed in enumerate((7 + i for i in order), 1):
        stage = {"steps": 2, "denoise": 0.5, "from": alone}
        again = drawn(board(stage, panels=[{"prompt": PROMPT, "seed": seed}]), engines)[0]
        assert np.abs(pictures[place] - again).max() <= 2


def test_every_stage_says_its_steps_and_shows_what_it_left(engines: Engines) -> None:
    stages = ({"size": 0.5, "steps": 3}, {"steps": 2, "denoise": 0.5})
    events = [*draw(board(*stages, stage_previews=True), engines)]
    told = [(e.stage, e.stages, e.step, e.steps) for e in events if isinstance(e, Progress)]
    assert told == [(1, 2, 1, 3), (1, 2, 2, 3), (1, 2, 3, 3), (2, 2, 1, 2), (2, 2, 2, 2)]
    (preview,) = (e for e in events if isinstance(e, Preview))
    assert (preview.panel, preview.stage) == (0, 1)
    assert Image.open(io.BytesIO(preview.png)).size == (SIDE // 2, SIDE // 2)
    kinds = [event.kind for event in events]
    assert kinds.index("preview") == kinds.index("panel") - 3


def test_panels_differ_in_size(engines: Engines) -> None:
    panels = [{"prompt": PROMPT, "width": 32}, {"prompt": PROMPT, "height": 96}]
    first, second = drawn(board({"steps": 2}, panels=panels), engines)
    assert (first.shape, second.shape) == ((SIDE, 32, 3), (96, SIDE, 3))


def test_a_stage_has_its_own_prompt_and_seed(engines: Engines) -> None:
    first = {"steps": 2, "size": 0.5}
    plain, other, seeded = (
        drawn(board(first, {"steps": 4, "denoise": 0.9} | own), engines)[0]
        for own in ({}, {"prompt": "a night in the snow"}, {"seed": 9})
    )
    assert np.abs(plain - other).max() > 2
    assert np.abs(plain - seeded).max() > 2
