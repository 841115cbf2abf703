"""The image encoder of an adapter, with its projection, as what is exported."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn
from torch.export import Dim

from lafi.engine.onnx.picture_prompts import PICTURES, SHOWN
from lafi.engine.torch.control_fit import without_weights
from lafi.engine.torch.picture_prompts import (
    ProjectedEncoder,
    TorchPictureEncoder,
    load_image_encoder,
    read_adapter,
)
from lafi.model.info import ModelInfo
from lafi.model.picture_prompt_info import ENCODER, PICTURE_TOKENS, AdapterFiles
from lafi_export.onnx_export import Graph
from lafi_export.part_weights import PartWeights
from lafi_export.picture_prompts.adapter import written

_PART: Final = "encoder"
"""The name of its weights' file and of the attribute that holds its tensors."""


class EncoderModule(nn.Module):
    """pictures (B, 3, S, S), shown (B,) -> picture_tokens (B, K, D)."""

    def __init__(self, encoder: ProjectedEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, pictures: Tensor, shown: Tensor) -> Tensor:
        made: Tensor = self.encoder(pictures, shown)
        return made


@dataclass(frozen=True, slots=True)
class EncoderModules:
    """An image encoder with its projection in fp32, and the file that it maps."""

    module: EncoderModule
    weights: PartWeights
    side: int

    def engine(self) -> TorchPictureEncoder:
        """This very module, to compare the exported one with."""
        return TorchPictureEncoder(self.module.encoder, self.side)


def load_encoder(
    files: AdapterFiles, checkpoint: Path, info: ModelInfo, folder: Path
) -> EncoderModules:
    """files: that fit the model. folder: gets a float32 file. info: with its picture prompts.

    Raises CheckpointError for weights that are missing or left over.
    """
    assert info.picture_prompts is not None
    unet = without_weights(UNet2DConditionModel, checkpoint / "unet")
    projection = read_adapter(files.adapter, unet).projection
    encoder = ProjectedEncoder(load_image_encoder(files.image_encoder, torch.float32), projection)
    weights = written(_PART, encoder, folder / f"{_PART}.safetensors")
    return EncoderModules(EncoderModule(encoder).eval(), weights, info.picture_prompts.side)


def encoder_graph(modules: EncoderModules) -> Graph:
    """What is exported."""
    side, batch = modules.side, {0: Dim("batch", max=63)}
    example = {PICTURES: torch.zeros(2, 3, side, side), SHOWN: torch.ones(2)}
    dynamic: Mapping[str, dict[int, Any]] = {PICTURES: batch, SHOWN: batch}
    return Graph(ENCODER, modules.module, example, dict(dynamic), (PICTURE_TOKENS,))
