"""One picture by diffusers' own pipeline and by our engines."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DDIMScheduler, DiffusionPipeline
from PIL import Image

from lafi.board.storyboard import Panel, Storyboard
from lafi.drawing.pipeline import draw
from lafi.engine.torch.engines import load_torch_engines
from lafi.ports.engines import Engines
from lafi.wire.events import PanelImage
from lafi_export.bare_pipeline import quiet_libraries

SIDE, STEPS, GUIDANCE, SEED = 64, 1, 8.0, 5
PROMPT = "a child at the window"

Pixels = np.ndarray
"""int16 (H, W, 3)."""


def stock_pipeline(folder: Path) -> Any:
    """diffusers' own pipeline of a folder, with the sampler that we draw with."""
    with quiet_libraries():
        return with_sampler(DiffusionPipeline.from_pretrained(folder))


def with_sampler(pipeline: Any) -> Any:
    """The same pipeline with diffusers' DDIM on the checkpoint's schedule, without a bar."""
    pipeline.scheduler = DDIMScheduler.from_config(pipeline.scheduler.config)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def drawn_by_stock(pipeline: Any, prompt: str = PROMPT, **settings: Any) -> Pixels:
    """A picture by diffusers' own pipeline."""
    image = pipeline(
        prompt,
        num_inference_steps=STEPS,
        guidance_scale=GUIDANCE,
        width=SIDE,
        height=SIDE,
        generator=torch.Generator().manual_seed(SEED),
        **settings,
    ).images[0]
    return np.asarray(image, dtype=np.int16)


def drawn_by_us(folder: Path, prompt: str = PROMPT, **settings: Any) -> Pixels:
    """The same picture by the torch engines of a folder. settings: of the storyboard."""
    return drawn_by_engines(load_torch_engines(folder), prompt, **settings)


def drawn_by_engines(engines: Engines, prompt: str = PROMPT, **settings: Any) -> Pixels:
    """The same picture by any engines."""
    board = Storyboard(
        width=SIDE,
        height=SIDE,
        sampling={"steps": STEPS, "sampler": "DDIM", "guidance": GUIDANCE},
        injection={"layers": "none"},
        panels=[Panel(prompt=prompt, seed=SEED)],
        **settings,
    )
    events = draw(board, engines)
    (panel,) = (event for event in events if isinstance(event, PanelImage))
    return np.asarray(Image.open(io.BytesIO(panel.png)).convert("RGB"), dtype=np.int16)


def distance(one: Pixels, other: Pixels) -> int:
    """The largest difference of 255 in any pixel."""
    return int(np.abs(one - other).max())
