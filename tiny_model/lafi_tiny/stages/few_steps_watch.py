"""Whether the LoRA in training still draws: what its few steps show, from time to time.

The loss does not tell: two neighbouring noise levels can agree on pictures that show nothing.
"""

import json
from pathlib import Path
from typing import Final

import torch
from diffusers import AutoencoderKL, LCMScheduler
from torch import Tensor
from transformers import CLIPTokenizer

from lafi_tiny.hand.caption import plain_caption
from lafi_tiny.stages.agreement import held_out_wanted
from lafi_tiny.stages.blueprint import build_noise_schedule
from lafi_tiny.stages.reader import load_reader
from lafi_tiny.stages.text_to_latent import TextToLatent
from lafi_tiny.stages.tokenizer import token_ids
from lafi_tiny.stages.train_reader import READER_FILE
from lafi_tiny.training import mixed_precision, save_grid, to_pixels

CURVE_FILE: Final = "few_steps_curve.jsonl"
STEPS: Final = 4
_SEED: Final = 12


class FewStepsWatch:
    """Draws the same held-out captions from the same noise at each look, without guidance."""

    def __init__(
        self, folder: Path, vae: AutoencoderKL, tokenizer: CLIPTokenizer, panels: int = 32
    ) -> None:
        self._folder, self._vae, self._tokenizer = folder, vae, tokenizer
        self._wanted = held_out_wanted(panels, _SEED)

    def look(self, model: TextToLatent, step: int) -> None:
        """Add a line to CURVE_FILE and a grid; nothing where the reader is not there yet."""
        if not (self._folder / READER_FILE).exists():
            return
        captions = [plain_caption(w.action, w.scene, who="a child") for w in self._wanted]
        images = draw_few_steps(model, self._vae, self._tokenizer, captions)
        with torch.random.fork_rng():  # a network that is built draws weights before it loads any
            read = load_reader(self._folder / READER_FILE).read(images)
        pairs = list(zip(read, self._wanted, strict=True))
        row = {
            "step": step,
            "action": sum(r.action == w.action for r, w in pairs) / len(pairs),
            "scene": sum(r.scene == w.scene for r, w in pairs) / len(pairs),
        }
        with (self._folder / CURVE_FILE).open("a") as file:
            file.write(json.dumps(row) + "\n")
        save_grid(to_pixels(images), self._folder / "grids" / f"few_steps_{step:06d}.png", zoom=1)
        print(f"few_steps: {row}", flush=True)


@torch.inference_mode()
def draw_few_steps(
    model: TextToLatent, vae: AutoencoderKL, tokenizer: CLIPTokenizer, captions: list[str]
) -> Tensor:
    """One picture per caption (N, 3, H, W) in [-1, 1], by STEPS of `LCMScheduler`, guidance 1."""
    place = next(model.parameters()).device
    scheduler = LCMScheduler.from_config(build_noise_schedule().config)
    scheduler.set_timesteps(STEPS)
    noise = torch.Generator().manual_seed(_SEED)
    latents = torch.randn((len(captions), *model.latent_shape), generator=noise).to(place)
    with mixed_precision(place):
        text = model.text_encoder(token_ids(tokenizer, captions).to(place))[0]
        for timestep in scheduler.timesteps:
            velocity = model.unet(latents, timestep, text).sample.float()
            latents = scheduler.step(velocity, timestep, latents, generator=noise).prev_sample
        images: Tensor = vae.decode(latents / vae.config.scaling_factor).sample
    return images.float().clamp(-1, 1)
