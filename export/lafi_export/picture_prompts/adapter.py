"""An adapter's layers in the denoiser; weights that are mapped from a float32 file.

Knows modules and files, not ONNX.
"""

from pathlib import Path
from typing import Any

from torch import nn

from lafi.engine.torch.picture_prompts import read_adapter
from lafi.model.picture_prompt_info import PICTURE_PROMPTS
from lafi_export.part_weights import PartWeights
from lafi_export.weights_file import TensorLayout, tensor_places, write_weights


def adapter_part(part: str) -> str:
    """The name of the adapter's part of a denoiser, whose own part has the name `part`."""
    return f"{part}.{PICTURE_PROMPTS}"


def add_adapter(
    network: Any, part: str, adapter: Path, folder: Path, there: PartWeights | None = None
) -> PartWeights:
    """Puts an adapter's layers into a UNet; gives their weights, `folder`/picture_prompts.*.

    network: not prepared for injection yet. part: its name in a checkpoint. there: the weights, if
    they are written already.
    """
    layers = read_adapter(adapter, network).layers
    file = folder / f"{PICTURE_PROMPTS}.safetensors"
    weights = there or written(adapter_part(part), layers, file)
    network.add_module(PICTURE_PROMPTS, layers)
    return weights


def written(part: str, module: nn.Module, path: Path) -> PartWeights:
    """Writes a module's weights as float32; from then on it maps the file."""
    tensors = {n: value for n, value in module.state_dict().items() if value.is_floating_point()}
    layouts = {name: TensorLayout("F32", tuple(value.shape)) for name, value in tensors.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_weights(path, layouts, lambda name: tensors[name].float().contiguous())
    weights = PartWeights(part, path, tensor_places(path), {name: name for name in tensors})
    module.load_state_dict(weights.load(), strict=False, assign=True)
    module.requires_grad_(False)
    return weights
