"""diffusers' own pipeline: a storyboard's prompts as one batch, nothing shared between panels."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline

from lafi.drawing import images


class PlainDiffusers:
    """`StableDiffusionPipeline` with DDIM, on the CPU."""

    def __init__(self, checkpoint: Path, dtype: torch.dtype = torch.float32) -> None:
        self._pipeline: Any = StableDiffusionPipeline.from_pretrained(checkpoint, torch_dtype=dtype)
        self._pipeline.scheduler = DDIMScheduler.from_config(self._pipeline.scheduler.config)
        self._pipeline.set_progress_bar_config(disable=True)

    def draw(
        self, prompts: Sequence[str], seeds: Sequence[int], side: int, steps: int, guidance: float
    ) -> list[bytes]:
        """A PNG file for each prompt, side x side pixels."""
        given = self._pipeline(
            prompt=list(prompts),
            negative_prompt=[""] * len(prompts),
            height=side,
            width=side,
            num_inference_steps=steps,
            guidance_scale=guidance,
            generator=[torch.Generator().manual_seed(seed) for seed in seeds],
            output_type="np",
        ).images
        return [images.encode_png(np.round(image * 255).astype(np.uint8), {}) for image in given]
