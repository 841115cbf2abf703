"""Makes a diffusers folder with safetensors weights of whatever a checkpoint comes as.

A folder that is one already is used where it lies; others are written to a temporary folder, which
is gone afterwards, also after an error.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from safetensors.torch import save_file

from lafi.model.checkpoint import CheckpointError
from lafi_export.checkpoint_variant import link_or_copy
from lafi_export.single_file import SingleFile, write_folder
from lafi_export.tensor_reading import read_tensors

_PICKLED: Final = ("diffusion_pytorch_model.bin", "pytorch_model.bin")


@contextmanager
def prepared(given: SingleFile, beside: Path) -> Iterator[Path]:
    """The folder of a checkpoint. beside: an existing folder on the disk to write to.

    Raises CheckpointError and TensorFileError as `write_folder`.
    """
    checkpoint = given.checkpoint
    if checkpoint is not None and not checkpoint.exists():
        raise CheckpointError(f"{checkpoint}: no such file or folder")
    if checkpoint is None and not given.parts:
        raise CheckpointError("CHECKPOINT: got none, allowed a folder, a file, or --unet FILE ...")
    if checkpoint is not None and checkpoint.is_dir():
        if given != SingleFile(checkpoint):
            raise CheckpointError(
                f"{checkpoint}: got a folder with --unet, --vae, --text-encoder, --config, "
                "--tokenizer or --prediction, allowed a file: a folder has its own"
            )
        if not _pickled(checkpoint):
            yield checkpoint
            return
    with tempfile.TemporaryDirectory(prefix=".checkpoint.", dir=beside) as work:
        name = (checkpoint or next(iter(given.parts.values()))).stem
        folder = Path(work) / name
        if checkpoint is not None and checkpoint.is_dir():
            _convert(checkpoint, folder)
        else:
            write_folder(given, folder)
        yield folder


def _pickled(checkpoint: Path) -> list[Path]:
    """Weights that torch.save wrote, of parts that have no others."""
    found = [file for name in _PICKLED for file in checkpoint.glob(f"*/{name}")]
    return [file for file in found if not any(file.parent.glob("*.safetensors"))]


def _convert(checkpoint: Path, folder: Path) -> None:
    shutil.copytree(checkpoint, folder, copy_function=link_or_copy)
    for file in _pickled(folder):
        tensors, _ = read_tensors(file)
        file.unlink()
        name = (
            file.name.replace("pytorch_model", "model")
            if "diffusion" not in file.name
            else file.name
        )
        whole = {key: value.contiguous().clone() for key, value in tensors.items()}
        save_file(
            whole, file.with_name(name).with_suffix(".safetensors"), metadata={"format": "pt"}
        )
