"""Makes a diffusers folder of whatever a control network or adapter comes as.

A file has no config: the model's UNet and the shapes of its tensors tell it, so that one for
another model is refused for its tensors.
"""

import inspect
import json
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from diffusers import ControlNetModel, UNet2DConditionModel
from diffusers.loaders.single_file_utils import convert_controlnet_checkpoint
from safetensors.torch import save_file
from torch import Tensor

from lafi.engine.torch.control_fit import complete_config
from lafi.model.checkpoint import CheckpointError
from lafi_export.control.adapter_source import is_control_adapter, write_adapter_folder
from lafi_export.tensor_reading import read_tensors

_EMBEDDING: Final = "controlnet_cond_embedding."
_ORIGINAL: Final = ("control_model.", "input_hint_block.")
"""How names begin in the authors' files; some leave out `control_model.`."""
_OURS: Final = "controlnet_mid_block.weight"
_WIDTHS: Final = "conditioning_embedding_out_channels"


@contextmanager
def prepared_controls(
    given: Mapping[str, Path], checkpoint: Path, beside: Path
) -> Iterator[dict[str, Path]]:
    """Name -> folder of a `ControlNetModel` or a `T2IAdapter`; of files gone afterwards.

    checkpoint: the prepared folder of the model. beside: an existing folder on the disk to write
    to. Raises CheckpointError for a file that is neither, TensorFileError for a damaged one.
    """
    files = {name: path for name, path in given.items() if path.is_file()}
    if not files:
        yield dict(given)
        return
    with tempfile.TemporaryDirectory(prefix=".control.", dir=beside) as work:
        for name, path in files.items():
            _write_folder(name, path, checkpoint, Path(work) / name)
        yield {name: Path(work) / name if name in files else path for name, path in given.items()}


def is_control_network(names: Collection[str]) -> bool:
    """Whether these are a ControlNet's tensors, with the names of diffusers or of its authors."""
    return _OURS in names or any(name.startswith(_ORIGINAL) for name in names)


def _write_folder(name: str, path: Path, checkpoint: Path, folder: Path) -> None:
    tensors = read_tensors(path)[0]
    if not (checkpoint / "unet").is_dir():
        raise CheckpointError(f"control {name}: allowed with the UNets of SD1.5, SD2.1 and SDXL")
    if is_control_adapter(tensors):
        write_adapter_folder(f"control {name}: {path}", tensors, checkpoint, folder)
        return
    if not is_control_network(tensors):
        raise CheckpointError(
            f"control {name}: {path}: got no control network, allowed a ControlNet or "
            "T2I-Adapter of SD1.5, SD2.1 or SDXL, with the names of diffusers or of its authors"
        )
    unet = complete_config(UNet2DConditionModel, checkpoint / "unet")
    found = convert_controlnet_checkpoint(tensors, unet)
    folder.mkdir()
    config = _config(unet) | {_WIDTHS: _embedding_widths(name, path, found)}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    kept = {key: value.contiguous() for key, value in found.items() if value is not None}
    save_file(kept, folder / "diffusion_pytorch_model.safetensors")


def _config(unet: Mapping[str, Any]) -> dict[str, Any]:
    """Of the control network of a UNet: the fields that both classes have."""
    fields = inspect.signature(ControlNetModel.__init__).parameters
    shared = {field: value for field, value in unet.items() if field in fields}
    return shared | {"_class_name": ControlNetModel.__name__}


def _embedding_widths(name: str, path: Path, tensors: Mapping[str, Tensor]) -> list[int]:
    """Channels of the part that sees the picture: its first layer, then every second block."""
    blocks = sum(
        key.startswith(f"{_EMBEDDING}blocks.") and key.endswith(".weight") for key in tensors
    )
    layers = ["conv_in", *(f"blocks.{place}" for place in range(1, blocks, 2))]
    try:
        return [int(tensors[f"{_EMBEDDING}{layer}.weight"].shape[0]) for layer in layers]
    except KeyError as error:
        raise CheckpointError(f"control {name}: {path}: has no tensor {error}") from error
