"""Widths and depths of the 128 px model's networks; all are stock diffusers and transformers."""

from dataclasses import dataclass

from diffusers import AutoencoderKL

FACTOR = 8
"""Pixels of a side per latent."""


@dataclass(frozen=True, slots=True)
class Blueprint:
    """Widths and depths; `side` is the training picture's side in pixels."""

    side: int = 128
    latent_channels: int = 8
    vae_widths: tuple[int, ...] = (16, 32, 64, 128)
    vae_norm_groups: int = 8


BLUEPRINT = Blueprint()
"""The model that is trained."""


def build_autoencoder(plan: Blueprint, scaling_factor: float = 1.0) -> AutoencoderKL:
    """RGB (B, 3, H, W) in [-1, 1] <-> latents (B, C, H / 8, W / 8)."""
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
