"""The image encoder of picture prompts on an ONNX file. Knows tensors, not storyboards."""

from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor

from lafi.engine.onnx.graph import RunGraph, RuntimeName, open_graph
from lafi.model.artifacts import check_file
from lafi.model.info import ModelInfo
from lafi.model.picture_prompt_info import ENCODER, picture_prompt_folder

PICTURES: Final = "pictures"
SHOWN: Final = "shown"
"""The inputs: pictures, and for each whether there is one, 1 or 0."""


class OnnxPictureEncoder:
    """`lafi.ports.picture_encoder.PictureEncoder` on an ONNX file."""

    def __init__(self, run: RunGraph, side: int) -> None:
        """side: of its pictures, in pixels."""
        self._run = run
        self._side = side

    def __call__(self, pictures: Tensor) -> Tensor:
        """As the protocol."""
        return self._tokens(pictures, 1.0)

    def nothing(self) -> Tensor:
        """As the protocol."""
        return self._tokens(torch.zeros(1, 3, self._side, self._side), 0.0)

    def _tokens(self, pictures: Tensor, shown: float) -> Tensor:
        flags = np.full(len(pictures), shown, np.float32)
        feed = {PICTURES: pictures.contiguous().numpy(), SHOWN: flags}
        return torch.from_numpy(self._run(feed)[0])


def load_picture_encoder(
    artifacts: Path, info: ModelInfo, runtime: RuntimeName, threads: int
) -> OnnxPictureEncoder | None:
    """That of an exported model, in f32; variants use the model's. None where it has none.

    artifacts: the folder of the model or of a variant, with these facts. Raises ArtifactsError for
    a missing or changed file.
    """
    facts = info.picture_prompts
    if facts is None:
        return None
    own = Path(artifacts).parent.parent if info.variant else Path(artifacts)
    folder = picture_prompt_folder(own)
    for file in dict.fromkeys((ENCODER, *facts.sha256)):
        check_file(folder / file, facts.sha256.get(file))
    return OnnxPictureEncoder(open_graph(folder / ENCODER, runtime, "f32", threads), facts.side)
