"""Configs of the networks that several architectures share. Knows numbers, no pipelines."""

from typing import Final

from lafi.model.architectures.architecture import Config

TEXT_LENGTH: Final = 77
"""Tokens that a CLIP text encoder takes."""
_VOCABULARY: Final = 49408
_T5_VOCABULARY: Final = 32128
SMALL_VOCABULARY: Final = 640
"""Token ids of a small model; more than those of the tokenizers in its folder."""


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


def t5_config(width: int, layers: int, heads: int, small: bool) -> Config:
    """The encoder of T5 1.1 (arXiv:1910.10683); XXL is 4096 wide with 24 layers and 64 heads."""
    return {
        "architectures": ["T5EncoderModel"],
        "model_type": "t5",
        "d_ff": 5 * width // 2,
        "d_kv": width // heads,
        "d_model": width,
        "decoder_start_token_id": 0,
        "dense_act_fn": "gelu_new",
        "dropout_rate": 0.1,
        "eos_token_id": 1,
        "feed_forward_proj": "gated-gelu",
        "initializer_factor": 1.0,
        "is_encoder_decoder": True,
        "is_gated_act": True,
        "layer_norm_epsilon": 1e-06,
        "num_decoder_layers": layers,
        "num_heads": heads,
        "num_layers": layers,
        "output_past": True,
        "pad_token_id": 0,
        "relative_attention_max_distance": 128,
        "relative_attention_num_buckets": 32,
        "tie_word_embeddings": False,
        "use_cache": True,
        "vocab_size": SMALL_VOCABULARY if small else _T5_VOCABULARY,
    }
