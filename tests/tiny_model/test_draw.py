"""Drawing with the networks in training."""

from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL
from transformers import CLIPTokenizer

from lafi_tiny.architecture import Architecture
from lafi_tiny.draw import draw_pictures
from lafi_tiny.text_to_latent import TextToLatent, load_denoiser

CAPTIONS = ["a child running on the beach by day", "夜晚,一个孩子在雪地里坐着"]


@pytest.fixture(scope="module")
def model(tiny: Architecture, finished: Path) -> TextToLatent:
    return load_denoiser(tiny, finished)


def test_a_seed_and_a_caption_make_a_picture(
    model: TextToLatent, vae: AutoencoderKL, tokenizer: CLIPTokenizer
) -> None:
    first = draw_pictures(model, vae, tokenizer, CAPTIONS, seed=1, steps=2)
    assert first.shape == (2, 3, 64, 64)
    assert first.dtype == torch.float32
    assert torch.isfinite(first).all()
    assert torch.equal(first, draw_pictures(model, vae, tokenizer, CAPTIONS, seed=1, steps=2))
    other = draw_pictures(model, vae, tokenizer, CAPTIONS, seed=2, steps=2)
    assert not torch.equal(first, other)


def test_without_guidance_the_caption_says_nothing(
    model: TextToLatent, vae: AutoencoderKL, tokenizer: CLIPTokenizer
) -> None:
    one, other = (
        draw_pictures(model, vae, tokenizer, [caption], steps=2, guidance=0.0)
        for caption in CAPTIONS
    )
    assert torch.equal(one, other)
    guided = draw_pictures(model, vae, tokenizer, CAPTIONS[:1], steps=2, guidance=8.0)
    assert not torch.equal(one, guided)
