"""Configs of the networks that several architectures share. Knows numbers, no pipelines."""

from typing import Final

from lafi.model.architectures.architecture import Config

TEXT_LENGTH: Final = 77
"""Tokens that a CLIP text encoder takes."""
_VOCABULARY: Final = 49408
SMALL_VOCABULARY: Final = 640
"""Token ids of a small model; more than the 514 of the byte-level tokenizer in its folder."""


def vae_config(
    small: bool, *, scaling_factor: float, sample_size: int, latent_channels: int = 4
) -> Config:
    """The VAE of the SD family, eight times smaller than a picture."""
    return {
        "_class_name": "AutoencoderKL",
        "act_fn": "silu",
        "block_out_channels": [8, 16, 16, 16] if small else [128, 256, 512, 512],
        "down_block_types": ["DownEncoderBlock2D"] * 4,
        "in_channels": 3,
        "latent_channels": latent_channels,
        "layers_per_block": 2,
        "norm_num_groups": 8 if small else 32,
        "out_channels": 3,
        "sample_size": sample_size,
        "scaling_factor": scaling_factor,
        "up_block_types": ["UpDecoderBlock2D"] * 4,
    }


def clip_config(
    width: int, layers: int, heads: int, small: bool, activation: str = "quick_gelu"
) -> Config:
    """A text encoder of CLIP, whose stored numbers of special tokens are as published."""
    return {
        "architectures": ["CLIPTextModel"],
        "model_type": "clip_text_model",
        "attention_dropout": 0.0,
        "bos_token_id": 0,
        # As published. The number is wrong; it makes transformers look for the largest id.
        "eos_token_id": 2,
        "pad_token_id": 1,
        "hidden_act": activation,
        "hidden_size": width,
        "intermediate_size": 4 * width,
        "layer_norm_eps": 1e-05,
        "max_position_embeddings": TEXT_LENGTH,
        "num_attention_heads": heads,
        "num_hidden_layers": layers,
        "projection_dim": width,
        "vocab_size": SMALL_VOCABULARY if small else _VOCABULARY,
    }
