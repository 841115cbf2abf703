"""Widths and depths of the small transformer; all are stock diffusers and transformers.

Knows neither data nor training. `ZImagePipeline` loads what `save_transformer` writes. Its
autoencoder is the bundled model's, from `blueprint`.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import AutoencoderKL, ZImagePipeline, ZImageTransformer2DModel
from transformers import Qwen2Tokenizer, Qwen3Config, Qwen3Model

from lafi_tiny.stages.blueprint import Blueprint
from lafi_tiny.stages.noise import FlowNoise

PATCH = 2
"""Latent cells of a token along a side."""
_PLACES = (1024, 64, 64)
"""Most places on each rotary axis: tokens of a text and one for the picture, rows, columns."""


@dataclass(frozen=True, slots=True)
class TransformerBlueprint:
    """Widths and depths.

    axes: rotary channels of a head for the text's order, rows and columns; a head's width is
    their sum.
    layers: blocks that text and picture share; `refiners` are those of each alone.
    text_layers: the last one is never read, as Z-Image reads what lies before it.
    shift: of noise levels, in training and drawing.
    """

    heads: int = 5
    axes: tuple[int, int, int] = (16, 16, 16)
    layers: int = 8
    refiners: int = 1
    text_width: int = 192
    text_hidden: int = 512
    text_layers: int = 3
    text_heads: int = 6
    text_key_heads: int = 2
    shift: float = 2.0

    @property
    def width(self) -> int:
        """Channels of a token."""
        return self.heads * sum(self.axes)


TRANSFORMER_BLUEPRINT = TransformerBlueprint()
"""The transformer that this project ships."""


def build_transformer(small: TransformerBlueprint, channels: int) -> ZImageTransformer2DModel:
    """A Z-Image in small for latents of so many channels."""
    return ZImageTransformer2DModel(
        all_patch_size=(PATCH,),
        all_f_patch_size=(1,),
        in_channels=channels,
        dim=small.width,
        n_layers=small.layers,
        n_refiner_layers=small.refiners,
        n_heads=small.heads,
        n_kv_heads=small.heads,
        qk_norm=True,
        cap_feat_dim=small.text_width,
        axes_dims=list(small.axes),
        axes_lens=list(_PLACES),
    )


def build_qwen(small: TransformerBlueprint, tokenizer: Qwen2Tokenizer) -> Qwen3Model:
    """A Qwen3 over the tokenizer's vocabulary, trained from scratch with the transformer."""
    return Qwen3Model(
        Qwen3Config(
            vocab_size=len(tokenizer),
            hidden_size=small.text_width,
            intermediate_size=small.text_hidden,
            num_hidden_layers=small.text_layers,
            num_attention_heads=small.text_heads,
            num_key_value_heads=small.text_key_heads,
            head_dim=small.text_width // small.text_heads,
            max_position_embeddings=_PLACES[0],
            tie_word_embeddings=True,
            pad_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.eos_token_id,
        )
    )


def build_flow(small: TransformerBlueprint) -> FlowNoise:
    """The noise that it learns to take away."""
    return FlowNoise(small.shift)


def save_transformer(
    folder: Path,
    plan: Blueprint,
    *,
    small: TransformerBlueprint,
    vae: AutoencoderKL,
    transformer: ZImageTransformer2DModel,
    text_encoder: Qwen3Model,
    tokenizer: Qwen2Tokenizer,
) -> None:
    """Write a complete `ZImagePipeline` folder, weights in float16."""
    # The pipeline adds the shift of latents, so there must be a number.
    vae.register_to_config(shift_factor=0.0, sample_size=plan.side)
    ZImagePipeline(
        scheduler=build_flow(small).scheduler(),
        vae=vae.to(torch.float16),
        text_encoder=text_encoder.to(torch.float16),
        tokenizer=tokenizer,
        transformer=transformer.to(torch.float16),
    ).save_pretrained(folder, safe_serialization=True)
