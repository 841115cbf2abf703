"""The networks: their shapes, where they attend, and how much they weigh."""

import pytest
import torch
from diffusers import EulerDiscreteScheduler
from transformers import CLIPTokenizer

from lafi_tiny.stages.blueprint import (
    BLUEPRINT,
    TEXT_LENGTH,
    Blueprint,
    build_autoencoder,
    build_noise_schedule,
    build_text_encoder,
    build_unet,
)
from lafi_tiny.stages.reader import Reader


def test_the_bundled_model_is_below_50_million_bytes_in_float16(tokenizer: CLIPTokenizer) -> None:
    with torch.device("meta"):
        modules = (
            build_autoencoder(BLUEPRINT),
            build_unet(BLUEPRINT),
            build_text_encoder(BLUEPRINT, tokenizer),
            Reader(),
        )
    parameters = sum(p.numel() for module in modules for p in module.parameters())
    assert 20e6 < 2 * parameters < 50e6


def test_self_and_cross_attention_at_three_resolutions_down_mid_and_up() -> None:
    with torch.device("meta"):
        names = dict(build_unet(BLUEPRINT).named_modules())
    for block in (*(f"down_blocks.{i}" for i in range(3)), *(f"up_blocks.{i}" for i in range(3))):
        for kind in ("attn1", "attn2"):
            assert f"{block}.attentions.0.transformer_blocks.0.{kind}" in names
    assert "mid_block.attentions.0.transformer_blocks.0.attn1" in names
    assert "mid_block.attentions.0.transformer_blocks.0.attn2" in names
    assert sum(name.endswith("attn1") for name in names) == 10


@pytest.mark.parametrize("side", [64, 128])
def test_pictures_become_latents_an_eighth_as_wide_and_back(plan: Blueprint, side: int) -> None:
    assert plan.factor == 8
    vae, unet = build_autoencoder(plan), build_unet(plan)
    with torch.inference_mode():
        latents = vae.encode(torch.zeros(2, 3, side, side)).latent_dist.mean
        assert latents.shape == (2, plan.latent_channels, side // 8, side // 8)
        assert vae.decode(latents).sample.shape == (2, 3, side, side)
        text = torch.zeros(2, TEXT_LENGTH, plan.text_width)
        assert unet(latents, torch.tensor([0, 999]), text).sample.shape == latents.shape


def test_the_text_encoder_takes_padded_prompts(plan: Blueprint, tokenizer: CLIPTokenizer) -> None:
    ids = tokenizer(["a child", ""], padding="max_length", return_tensors="pt").input_ids
    with torch.inference_mode():
        text = build_text_encoder(plan, tokenizer)(ids)[0]
    assert text.shape == (2, TEXT_LENGTH, plan.text_width)
    assert not torch.equal(text[0], text[1])


def test_the_schedule_predicts_v_and_keeps_a_little_signal_at_its_end() -> None:
    schedule = build_noise_schedule()
    assert schedule.config.prediction_type == "v_prediction"
    assert 0 < schedule.alphas_cumprod[-1] < 0.01
    sigmas = EulerDiscreteScheduler.from_config(schedule.config, use_karras_sigmas=True)
    sigmas.set_timesteps(10)
    assert torch.isfinite(sigmas.sigmas).all()
    assert sigmas.sigmas[0] < 20
