"""The small transformer and its text encoder, which are trained together as a flow.

Diffusers' own forward pass is trained, with its plain attention; drawing with references runs
the same submodules in `lafi.engine.torch`.
"""

from collections import defaultdict
from functools import partial

import torch
from diffusers import ZImageTransformer2DModel
from torch import Tensor
from torch.nn import functional as F
from transformers import Qwen2Tokenizer, Qwen3Model

from lafi.engine.torch.text_stacks.qwen import QWEN_TEXTS
from lafi.model.text_stacks.qwen_reader import MULTIPLE, QwenReader
from lafi_tiny.stages.blueprint import Blueprint
from lafi_tiny.stages.denoising_model import (
    DenoisingModel,
    MiddleShape,
    Recipe,
    StageFiles,
    Text,
    outputs_of,
)
from lafi_tiny.stages.noise import LAST_TIMESTEP
from lafi_tiny.stages.qwen_tokenizer import stage_qwen_tokenizer
from lafi_tiny.stages.transformer_blueprint import (
    PATCH,
    TransformerBlueprint,
    build_flow,
    build_qwen,
    build_transformer,
)

MOST_TOKENS = 512
"""Tokens of a text, as many as `ZImagePipeline` reads."""
_POOLED = 2
"""Tokens along a side that are averaged to one middle feature."""
TRANSFORMER = StageFiles(
    name="transformer",
    state="transformer.pt",
    best="transformer_best.pt",
    curve="transformer_curve.jsonl",
    finish="transformer_finish.json",
    figures="transformer_evaluation.json",
)


class TextToFlow(DenoisingModel):
    """The networks that are trained together."""

    def __init__(
        self, plan: Blueprint, small: TransformerBlueprint, tokenizer: Qwen2Tokenizer
    ) -> None:
        super().__init__()
        self.transformer: ZImageTransformer2DModel = build_transformer(small, plan.latent_channels)
        self.text_encoder: Qwen3Model = build_qwen(small, tokenizer)
        self.noise = build_flow(small)
        side = plan.side // plan.factor
        self.latent_shape = (plan.latent_channels, side, side)
        self.middle = MiddleShape(small.width, side // PATCH // _POOLED)

    @staticmethod
    def token_ids(tokenizer: Qwen2Tokenizer, texts: list[str]) -> Tensor:
        """As `DenoisingModel`: (B, 2, T), ids, and 1 where a token counts; as a server reads them.

        Raises ValueError for a text of more than MOST_TOKENS.
        """
        return torch.from_numpy(QwenReader(tokenizer, MOST_TOKENS).token_ids(texts))

    def read(self, token_ids: Tensor) -> Text:
        """As `DenoisingModel`: hidden states (B, T, width), and which tokens count (B, T)."""
        return QWEN_TEXTS.encode((self.text_encoder,), token_ids)

    def predict(self, noisy: Tensor, timesteps: Tensor, text: Text) -> tuple[Tensor, Tensor]:
        """As `DenoisingModel`: the velocity, and what the block halfway gives for the picture.

        Texts of about one length are run together, so that none is padded more than it must be.
        """
        words, counting = text
        lengths = [int(length) for length in counting.sum(dim=1).tolist()]
        shares = 1.0 - timesteps.float().expand(len(noisy)) / LAST_TIMESTEP
        alike: dict[int, list[int]] = defaultdict(list)
        for row, length in enumerate(lengths):
            alike[-(-length // MULTIPLE)].append(row)
        parts = []
        for rows in alike.values():
            told = [words[row, : lengths[row]] for row in rows]
            parts.append(self._predict_rows(noisy[rows], shares[rows], told))
        back = torch.tensor([row for rows in alike.values() for row in rows]).argsort()
        velocity, middle = (torch.cat(part)[back] for part in zip(*parts, strict=True))
        return velocity, middle

    def _predict_rows(
        self, noisy: Tensor, shares: Tensor, told: list[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """shares: of the picture, 1 is without noise; told: (T, width) for each row."""
        blocks = self.transformer.layers
        with outputs_of(blocks[(len(blocks) - 1) // 2]) as kept:
            pictures = list(noisy.unsqueeze(2).unbind())
            outputs = self.transformer(pictures, shares, told, return_dict=False)[0]
        high, wide = (side // PATCH for side in noisy.shape[-2:])
        tokens = kept[0][:, : high * wide].transpose(1, 2).unflatten(-1, (high, wide))
        # The network predicts the way from noise to the picture.
        return -torch.stack(outputs).squeeze(2), F.avg_pool2d(tokens, _POOLED)

    def placed_for_training(self, place: torch.device) -> None:
        """Move there; on a CPU attention is multiplied out, as its fused backward pass is slow."""
        self.to(place)
        if place.type == "cpu":
            self.text_encoder.set_attn_implementation("eager")
            self.transformer.set_attention_backend("_native_math")

    def compile_blocks(self) -> None:
        """Blocks that see the picture: most of a step is small operations between products."""
        for block in (*self.transformer.noise_refiner, *self.transformer.layers):
            block.compile(dynamic=True)


def transformer_recipe(plan: Blueprint, small: TransformerBlueprint) -> Recipe:
    """The small transformer as a stage trains it."""
    return Recipe(
        files=TRANSFORMER,
        tokenizer=stage_qwen_tokenizer,
        build=partial(TextToFlow, plan, small),
        watched_steps=20,
    )
