"""The options `--picture-prompts FILE` and `--image-encoder FOLDER`, which go together."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from safetensors.torch import save_file

from lafi.model.picture_prompt_info import AdapterFiles
from lafi.model.tensor_file import is_safetensors
from lafi_export.tensor_reading import read_tensors

ADAPTER: Final = "--picture-prompts"
ENCODER: Final = "--image-encoder"


class PictureOptionError(ValueError):
    """The options give no adapter; the text names option, value and what is allowed."""


def parse_adapter(adapter: Path | None, image_encoder: Path | None) -> AdapterFiles | None:
    """None for neither. Raises PictureOptionError for one alone, and for a path not there."""
    if adapter is None and image_encoder is None:
        return None
    if adapter is None or image_encoder is None:
        given, other = (ENCODER, ADAPTER) if adapter is None else (ADAPTER, ENCODER)
        raise PictureOptionError(f"{given}: got it alone, allowed with {other}")
    if not adapter.is_file():
        raise PictureOptionError(f"{ADAPTER}: got {adapter}, allowed a file that is there")
    if not image_encoder.is_dir():
        raise PictureOptionError(f"{ENCODER}: got {image_encoder}, allowed a folder that is there")
    return AdapterFiles(adapter, image_encoder)


@contextmanager
def prepared_adapter(given: AdapterFiles | None, beside: Path) -> Iterator[AdapterFiles | None]:
    """The adapter as a safetensors file; one that was converted is gone afterwards.

    beside: an existing folder on the disk to write to. Raises TensorFileError for a damaged file.
    """
    if given is None or is_safetensors(given.adapter):
        yield given
        return
    with tempfile.TemporaryDirectory(prefix=".adapter.", dir=beside) as work:
        tensors, _ = read_tensors(given.adapter)
        file = Path(work) / f"{given.adapter.stem}.safetensors"
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, file)
        yield given._replace(adapter=file)
