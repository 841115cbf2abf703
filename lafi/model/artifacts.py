"""The files of an exported model: finds them and checks that they are unchanged.

Every file is checked against the hash that `lafi export` wrote, each time it is loaded. To read a
file takes longer than to hash it (0.8 s for a GiB on one core), and what a size and a date say of
it may be wrong: a copy from elsewhere has any date. Knows files, not runtimes.
"""

import hashlib
from pathlib import Path
from typing import Final

from lafi.model.families.registry import text_stack_of
from lafi.model.info import ModelInfo, load_model_info
from lafi.model.text_stack import PromptReader

ARTIFACTS: Final = "artifacts"
"""The folder of a repository with the exported files."""
MODELS: Final = "models"
"""The folder of a repository with what Triton Server loads."""

TEXT_ENCODER: Final = "text_encoder.onnx"
VAE_ENCODER: Final = "vae_encoder.onnx"
VAE_DECODER: Final = "vae_decoder.onnx"
DENOISER: Final = "denoiser.onnx"
REFERENCE: Final = "reference.onnx"
FILES: Final = (TEXT_ENCODER, VAE_ENCODER, VAE_DECODER, DENOISER, REFERENCE)

WEIGHTS: Final = "weights"
"""The folder of the weights, beside the ONNX files."""

CONFIGS: Final = "configs"
"""The folder of the networks' configs, as the checkpoint has them; `lafi check` reads them."""

AGAIN: Final = "run `lafi export CHECKPOINT --out REPO` again"


class ArtifactsError(ValueError):
    """An exported folder is incomplete or changed, or cannot run like this on this machine."""


def file_folder(artifacts: Path, info: ModelInfo, name: str) -> Path:
    """The folder of one of FILES and its weights; for shared files of a variant, the model's."""
    return Path(artifacts).parent.parent if name in info.shared else Path(artifacts)


def load_prompt_reader(artifacts: Path, info: ModelInfo) -> PromptReader:
    """The tokenizers of an exported model, their files checked against `lafi.json`.

    So are the kept configs, which say what the graphs were made of. Raises ArtifactsError for a
    missing folder, a file of a tokenizer that is missing, new or changed, and a config that is
    changed. Exports of earlier versions have no hashes of them, and are not checked.
    """
    for name, digest in info.files_sha256.items():
        for config in (Path(artifacts) / name, Path(artifacts) / CONFIGS / name):
            if config.is_file():
                check_file(config, digest)
    for folder in tokenizer_folders(artifacts, info):
        if not folder.is_dir():
            raise ArtifactsError(f"{folder}: no such folder; {AGAIN}")
        if info.files_sha256:
            expected = {name for name in info.files_sha256 if Path(name).parent.name == folder.name}
            there = {f"{folder.name}/{file.name}" for file in folder.iterdir()}
            for name in sorted(expected ^ there):
                check_file(Path(artifacts) / name, info.files_sha256.get(name))
    return text_stack_of(info).reader(Path(artifacts), info)


def tokenizer_folders(artifacts: Path, info: ModelInfo) -> tuple[Path, ...]:
    """Where the tokenizers of an exported model lie."""
    return tuple(Path(artifacts) / part for part in text_stack_of(info).tokenizers_of(info))


def verified(artifacts: Path, name: str, *, weights: bool = True) -> Path:
    """The path of one of FILES, after checking it and its weights against `lafi.json`.

    weights: whether to check them too. Raises ArtifactsError.
    """
    info = load_model_info(artifacts)
    folder = file_folder(artifacts, info, name)
    for file in (name, *(info.onnx_weights.get(name, ()) if weights else ())):
        check_file(folder / file, info.onnx_sha256.get(file))
    return folder / name


def check_file(
    path: Path, expected: str | None, *, facts: str = "lafi.json", again: str = AGAIN
) -> None:
    """Raise ArtifactsError unless the file exists and has its hash.

    facts: the file that holds the hash. again: what writes both anew, in words.
    """
    if expected is None:
        raise ArtifactsError(f"{path}: {facts} has no hash of this file; {again}")
    if not path.is_file():
        raise ArtifactsError(f"{path}: no such file; {again}")
    found = file_sha256(path)
    if found != expected:
        raise ArtifactsError(
            f"{path}: got SHA-256 {found[:12]}, {facts} says {expected[:12]}; {again}"
        )


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
