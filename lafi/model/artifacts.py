"""The files of an exported model: their names, where they lie, and whether they are unchanged.

Every file is checked against the hash that `lafi export` wrote down. Knows files, no runtime.
"""

import hashlib
from pathlib import Path
from typing import Final

from lafi.model.info import ModelInfo, load_model_info

TEXT_ENCODER: Final = "text_encoder.onnx"
VAE_ENCODER: Final = "vae_encoder.onnx"
VAE_DECODER: Final = "vae_decoder.onnx"
DENOISER: Final = "denoiser.onnx"
REFERENCE: Final = "reference.onnx"
FILES: Final = (TEXT_ENCODER, VAE_ENCODER, VAE_DECODER, DENOISER, REFERENCE)

WEIGHTS: Final = "weights"
"""The folder beside the ONNX files in which their weights lie."""

AGAIN: Final = "run `lafi export CHECKPOINT --out REPO` again"


class ArtifactsError(ValueError):
    """An exported folder is incomplete or changed, or cannot run on this machine as asked."""


def file_folder(artifacts: Path, info: ModelInfo, name: str) -> Path:
    """Where one of FILES and its weights lie; a variant has only what is not the model's own."""
    return Path(artifacts).parent.parent if name in info.shared else Path(artifacts)


def tokenizer_folders(artifacts: Path, info: ModelInfo) -> tuple[Path, ...]:
    """Where the tokenizers lie, one for each text encoder, in their order."""
    names = ("tokenizer", "tokenizer_2")[: info.text_encoders]
    return tuple(Path(artifacts) / name for name in names)


def verified(artifacts: Path, name: str, *, weights: bool = True) -> Path:
    """The path of one of FILES; it and its weights have the hashes that `lafi.json` says.

    weights: whether they are checked as well. Raises ArtifactsError.
    """
    info = load_model_info(artifacts)
    folder = file_folder(artifacts, info, name)
    for file in (name, *(info.onnx_weights.get(name, ()) if weights else ())):
        check_file(folder / file, info.onnx_sha256.get(file))
    return folder / name


def check_file(path: Path, expected: str | None) -> None:
    """Raise ArtifactsError unless the file is there and has the hash that `lafi.json` says."""
    if expected is None:
        raise ArtifactsError(f"{path}: lafi.json has no hash of this file; {AGAIN}")
    if not path.is_file():
        raise ArtifactsError(f"{path}: no such file; {AGAIN}")
    found = file_sha256(path)
    if found != expected:
        raise ArtifactsError(
            f"{path}: got SHA-256 {found[:12]}, lafi.json says {expected[:12]}; {AGAIN}"
        )


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
