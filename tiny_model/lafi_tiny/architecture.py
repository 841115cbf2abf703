"""The modules of the bundled model, built from one small config.

Knows widths and depths, not data and not training. Every module is a stock
diffusers or transformers class, so that `StableDiffusionPipeline` loads the result.
"""

from dataclasses import dataclass
from pathlib import Path

from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

TEXT_LENGTH = 48
"""Tokens per prompt, padding included."""


@dataclass(frozen=True, slots=True)
class Architecture:
    """Widths and depths of a tiny latent diffusion model.

    `side` is the training picture's side in pixels; the VAE divides it by 4.
    """

    side: int = 64
    latent_channels: int = 8
    vae_widths: tuple[int, ...] = (24, 48, 96)
    vae_norm_groups: int = 8
    unet_widths: tuple[int, ...] = (64, 128, 256)
    unet_heads: tuple[int, ...] = (2, 4, 8)
    text_width: int = 128
    text_layers: int = 2
    text_heads: int = 4
    norm_groups: int = 16


BUNDLED = Architecture()
"""The model that this project ships."""


def build_vae(arch: Architecture, scaling_factor: float = 1.0) -> AutoencoderKL:
    """A KL autoencoder: RGB (B, 3, H, W) in [-1, 1] <-> latents (B, C, H / 4, W / 4)."""
    levels = len(arch.vae_widths)
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        block_out_channels=arch.vae_widths,
        layers_per_block=1,
        latent_channels=arch.latent_channels,
        norm_num_groups=arch.vae_norm_groups,
        sample_size=arch.side,
        scaling_factor=scaling_factor,
        mid_block_add_attention=False,
    )


def build_unet(arch: Architecture) -> UNet2DConditionModel:
    """A UNet with self- and cross-attention at every resolution, down, mid and up."""
    levels = len(arch.unet_widths)
    return UNet2DConditionModel(
        sample_size=arch.side // 4,
        in_channels=arch.latent_channels,
        out_channels=arch.latent_channels,
        down_block_types=("CrossAttnDownBlock2D",) * levels,
        up_block_types=("CrossAttnUpBlock2D",) * levels,
        block_out_channels=arch.unet_widths,
        layers_per_block=1,
        cross_attention_dim=arch.text_width,
        # diffusers reads this field as the number of heads (huggingface/diffusers issue 2011).
        attention_head_dim=arch.unet_heads,
        norm_num_groups=arch.norm_groups,
    )


def build_text_encoder(arch: Architecture, tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """A CLIP text model over the tokenizer's vocabulary, trained from scratch with the UNet."""
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=arch.text_width,
            intermediate_size=4 * arch.text_width,
            num_hidden_layers=arch.text_layers,
            num_attention_heads=arch.text_heads,
            max_position_embeddings=TEXT_LENGTH,
            projection_dim=arch.text_width,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def build_noise_schedule() -> DDIMScheduler:
    """v-prediction on SD1.5's 1000-step DDPM schedule (arXiv:2112.10752, arXiv:2202.00512).

    It keeps a little signal at its end: with none, the largest sigma is infinite and
    samplers with Karras or beta sigmas spend nearly all of their steps in pure noise.
    """
    return DDIMScheduler(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        clip_sample=False,
        steps_offset=1,
        set_alpha_to_one=False,
        timestep_spacing="trailing",
    )


def save_pipeline(
    folder: Path,
    *,
    vae: AutoencoderKL,
    unet: UNet2DConditionModel,
    text_encoder: CLIPTextModel,
    tokenizer: CLIPTokenizer,
) -> None:
    """Write a complete `StableDiffusionPipeline` folder, weights in their present dtype."""
    StableDiffusionPipeline(
        vae=vae,
        unet=unet,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        scheduler=build_noise_schedule(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder, safe_serialization=True)
