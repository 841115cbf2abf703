"""Widths and depths of the bundled model's networks; all are stock diffusers and transformers.

Knows neither data nor training. `StableDiffusionPipeline` loads what `save_pipeline` writes.
"""

from dataclasses import dataclass
from pathlib import Path

from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

TEXT_LENGTH = 77
"""Tokens per prompt of the bundled model, padding included."""


@dataclass(frozen=True, slots=True)
class Blueprint:
    """Widths and depths; `side` is the training picture's side in pixels.

    text_length: tokens per prompt, padding included.
    """

    side: int = 128
    latent_channels: int = 16
    vae_widths: tuple[int, ...] = (16, 32, 64, 128)
    vae_norm_groups: int = 8
    unet_widths: tuple[int, ...] = (64, 128, 256)
    unet_heads: tuple[int, ...] = (2, 4, 8)
    norm_groups: int = 16
    text_width: int = 192
    text_layers: int = 3
    text_heads: int = 6
    text_length: int = TEXT_LENGTH

    @property
    def factor(self) -> int:
        """Pixels of a side per latent; 8 with four widths."""
        return int(2 ** (len(self.vae_widths) - 1))


BLUEPRINT = Blueprint()
"""The model that this project ships."""


def build_autoencoder(plan: Blueprint, scaling_factor: float = 1.0) -> AutoencoderKL:
    """RGB (B, 3, H, W) in [-1, 1] <-> latents (B, C, H / factor, W / factor)."""
    levels = len(plan.vae_widths)
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        block_out_channels=plan.vae_widths,
        layers_per_block=1,
        latent_channels=plan.latent_channels,
        norm_num_groups=plan.vae_norm_groups,
        sample_size=plan.side,
        scaling_factor=scaling_factor,
        mid_block_add_attention=False,
    )


def build_unet(plan: Blueprint) -> UNet2DConditionModel:
    """A UNet with self- and cross-attention at every resolution, down, mid and up."""
    levels = len(plan.unet_widths)
    return UNet2DConditionModel(
        sample_size=plan.side // plan.factor,
        in_channels=plan.latent_channels,
        out_channels=plan.latent_channels,
        down_block_types=("CrossAttnDownBlock2D",) * levels,
        up_block_types=("CrossAttnUpBlock2D",) * levels,
        block_out_channels=plan.unet_widths,
        layers_per_block=1,
        cross_attention_dim=plan.text_width,
        # diffusers reads this field as the number of heads (huggingface/diffusers issue 2011).
        attention_head_dim=plan.unet_heads,
        norm_num_groups=plan.norm_groups,
    )


def build_text_encoder(plan: Blueprint, tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """A CLIP text model over the tokenizer's vocabulary, trained from scratch with the UNet."""
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=plan.text_width,
            intermediate_size=4 * plan.text_width,
            num_hidden_layers=plan.text_layers,
            num_attention_heads=plan.text_heads,
            max_position_embeddings=plan.text_length,
            projection_dim=plan.text_width,
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
