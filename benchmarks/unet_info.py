"""`ModelInfo` for a UNet without a checkpoint: just enough for engines to run it."""

from typing import Any

from lafi.model.families.unet import self_attention_layers
from lafi.model.info import ModelInfo


def unet_info(unet: Any, vae_scale: int = 8, text_length: int = 77) -> ModelInfo:
    """unet: a diffusers `UNet2DConditionModel`, on any device."""
    config = unet.config
    pooled = 0
    if config.addition_embed_type == "text_time":
        pooled = config.projection_class_embeddings_input_dim - 6 * config.addition_time_embed_dim
    return ModelInfo(
        name="unet",
        architecture=type(unet).__name__,
        latent_channels=config.in_channels,
        vae_scale=vae_scale,
        side_multiple=vae_scale * 2 ** (len(config.block_out_channels) - 1),
        text_length=text_length,
        text_width=config.cross_attention_dim,
        pooled_width=pooled,
        layers=self_attention_layers(unet),
    )
