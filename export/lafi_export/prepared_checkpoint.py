"""Makes a diffusers folder with safetensors weights of whatever a checkpoint comes as.

A folder that is one already is used where it lies; others are written to a temporary folder, which
is gone afterwards, also after an error. So are folders of which GGUF files replace parts, and those
with a tokenizer that has no `tokenizer.json`.
"""

import shutil
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from safetensors.torch import save_file

from lafi.model.checkpoint import CheckpointError
from lafi_export.checkpoint_variant import link_or_copy
from lafi_export.gguf_parts import is_gguf, weights_from_gguf
from lafi_export.sentencepiece_tokenizers import unconverted_tokenizers, with_whole_tokenizers
from lafi_export.single_file import SINGLE_FILE_PARTS, SingleFile, write_folder
from lafi_export.tensor_reading import read_tensors

_PICKLED: Final = ("diffusion_pytorch_model.bin", "pytorch_model.bin")


@contextmanager
def prepared(given: SingleFile, beside: Path) -> Iterator[Path]:
    """The folder of a checkpoint. beside: an existing folder on the disk to write to.

    Raises CheckpointError and TensorFileError as `write_folder` and `weights_from_gguf`.
    """
    checkpoint = given.checkpoint
    if checkpoint is not None and not checkpoint.exists():
        raise CheckpointError(f"{checkpoint}: no such file or folder")
    if checkpoint is None and not given.parts:
        raise CheckpointError("CHECKPOINT: got none, allowed a folder, a file, or --unet FILE ...")
    replaced: dict[str, Path] = {part: file for part, file in given.parts.items() if is_gguf(file)}
    if checkpoint is not None and checkpoint.is_dir():
        if given != SingleFile(checkpoint, given.parts) or len(replaced) < len(given.parts):
            raise CheckpointError(
                f"{checkpoint}: got a folder with --vae, --config, --tokenizer or --prediction, or "
                "with a part that is no .gguf file; allowed beside a folder: .gguf files"
            )
        if not (replaced or _pickled(checkpoint) or unconverted_tokenizers(checkpoint)):
            yield checkpoint
            return
    else:
        _refuse_parts_of_folders(given)
    with tempfile.TemporaryDirectory(prefix=".checkpoint.", dir=beside) as work:
        if checkpoint is not None and checkpoint.is_dir():
            source = with_whole_tokenizers(checkpoint, Path(work))
            if not (replaced or _pickled(source)):
                yield source
                return
            folder = Path(work) / checkpoint.resolve().name
            weights_from_gguf(source, replaced, folder)
            _convert(source, folder, replaced)
        else:
            folder = Path(work) / (checkpoint or next(iter(given.parts.values()))).stem
            write_folder(given, folder)
        yield folder


def _refuse_parts_of_folders(given: SingleFile) -> None:
    """GGUF files, and parts that published single files do not have."""
    for part, file in given.parts.items():
        if is_gguf(file) or part not in SINGLE_FILE_PARTS:
            raise CheckpointError(
                f"--{part.replace('_', '-')}: got {file} without a folder, allowed a .gguf file "
                "with a diffusers folder as CHECKPOINT, whose configs and other parts count"
            )


def _pickled(checkpoint: Path) -> list[Path]:
    """Weights that torch.save wrote, of parts that have no others."""
    found = [file for name in _PICKLED for file in checkpoint.glob(f"*/{name}")]
    return [file for file in found if not any(file.parent.glob("*.safetensors"))]


def _convert(checkpoint: Path, folder: Path, written: Collection[str]) -> None:
    """A copy of a folder, its weights as safetensors. written: parts that have theirs already."""

    def left_out(where: str, names: list[str]) -> list[str]:
        place = Path(where)
        if place.parent != checkpoint or place.name not in written:
            return []
        return [name for name in names if name != "config.json"]

    shutil.copytree(
        checkpoint, folder, copy_function=link_or_copy, ignore=left_out, dirs_exist_ok=True
    )
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
