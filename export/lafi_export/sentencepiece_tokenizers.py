"""T5's tokenizers that are a SentencePiece model alone, as PixArt's published folders have them.

A server reads `tokenizer.json`, which transformers makes of the model here. Knows tokenizers'
files, not networks.
"""

import os
import shutil
import tempfile
from pathlib import Path
from typing import Final

from transformers import T5Tokenizer

from lafi.model.checkpoint import CheckpointError

PIECES: Final = "spiece.model"
_WHOLE: Final = "tokenizer.json"


def unconverted_tokenizers(checkpoint: Path) -> list[Path]:
    """Folders of a diffusers folder's tokenizers that have PIECES and no `tokenizer.json`."""
    found = sorted(checkpoint.glob(f"tokenizer*/{PIECES}"))
    return [file.parent for file in found if not (file.parent / _WHOLE).exists()]


def with_whole_tokenizers(checkpoint: Path, work: Path) -> Path:
    """The folder itself, or one of links in `work` whose tokenizers have a `tokenizer.json`.

    Raises CheckpointError for a damaged SentencePiece model.
    """
    if not unconverted_tokenizers(checkpoint):
        return checkpoint
    whole = checkpoint.resolve()
    folder = work / "with_tokenizers" / whole.name
    shutil.copytree(whole, folder, copy_function=os.symlink)
    for tokenizer in unconverted_tokenizers(folder):
        _convert(tokenizer)
    return folder


def _convert(folder: Path) -> None:
    """Put a folder with `tokenizer.json` in the place of this one."""
    try:
        tokenizer = T5Tokenizer.from_pretrained(folder)
    except Exception as error:  # sentencepiece, protobuf and transformers each have their own
        raise CheckpointError(
            f"{folder / PIECES}: is damaged or no T5 tokenizer ({error})"
        ) from error
    with tempfile.TemporaryDirectory(prefix=".tokenizer.", dir=folder.parent) as work:
        made = Path(work) / "made"
        tokenizer.save_pretrained(made)
        shutil.rmtree(folder)
        made.rename(folder)
