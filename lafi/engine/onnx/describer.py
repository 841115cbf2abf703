"""The recogniser's text tower: embeds descriptions in the same space as pictures.

Knows texts, not enrolments. Imports no torch, so that the served models start fast.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
from tokenizers import Tokenizer

from lafi.engine.onnx.graph import RunGraph, open_graph
from lafi.engine.onnx.recogniser import unit_rows
from lafi.model.artifacts import ArtifactsError, check_file
from lafi.model.info import DescriberInfo, ModelInfo, RecogniserInfo
from lafi.model.recogniser_files import DESCRIBER, RECOGNISER, facts_of
from lafi.ports.recogniser import Embeddings

TOKENIZER: Final = "tokenizer.json"
DESCRIBER_FILES: Final = (DESCRIBER, TOKENIZER)
_PADDING: Final = "<|endoftext|>"


class Describer:
    """`tokens` (B, T) int64 -> one output (B, D), in the recogniser's own space."""

    def __init__(self, run: RunGraph, tokenizer: Tokenizer, width: int) -> None:
        self._run = run
        self._tokenizer = tokenizer
        self._width = width

    def __call__(self, texts: Sequence[str]) -> Embeddings:
        """One row of unit length for each text. Texts that are too long are cut off."""
        ids = np.array([each.ids for each in self._tokenizer.encode_batch([*texts])], np.int64)
        (given,) = self._run({"tokens": ids})
        embeddings = unit_rows(given, self._width, DESCRIBER)
        if len(embeddings) != len(texts):
            got = f"{len(embeddings)} rows"
            raise ArtifactsError(f"{DESCRIBER}: got {got}, allowed {len(texts)}, one for each text")
        return embeddings


def load_describer(folder: Path, info: RecogniserInfo, threads: int = 0) -> Describer:
    """A recogniser's text tower, ready to run in ONNX Runtime.

    Raises ArtifactsError for a recogniser without one, a file that is missing, or a network with
    another interface.
    """
    if info.describer is None:
        raise ArtifactsError(f"{folder}: got a recogniser without a text tower, allowed one")
    for name in DESCRIBER_FILES:
        if not (folder / name).is_file():
            raise ArtifactsError(f"{folder / name}: no such file; allowed: a folder with {name}")
    wanted = f"tokens (B, {info.describer.length}) -> (B, {info.width})"
    try:
        run = open_graph(folder / DESCRIBER, "onnxruntime", "f32", threads)
        describer = Describer(run, _tokenizer(folder / TOKENIZER, info.describer), info.width)
        describer(["a", "b c"])
    except ArtifactsError:
        raise
    except Exception as error:
        # ONNX Runtime and tokenizers raise many types of their own.
        message = f"{folder}: got a text tower that fails ({error}), allowed {wanted}"
        raise ArtifactsError(message) from error
    return describer


def exported_describer(artifacts: Path, model: ModelInfo, threads: int = 0) -> Describer | None:
    """The text tower in an exported folder; None if its recogniser has none.

    Raises ArtifactsError for a missing or changed file.
    """
    facts = facts_of(model)
    if facts.describer is None:
        return None
    folder = Path(artifacts) / RECOGNISER
    for name in DESCRIBER_FILES:
        check_file(folder / name, facts.sha256.get(name))
    return load_describer(folder, facts, threads)


def _tokenizer(path: Path, info: DescriberInfo) -> Tokenizer:
    tokenizer = Tokenizer.from_file(str(path))
    padding = tokenizer.token_to_id(_PADDING)
    if padding is None:
        raise ArtifactsError(f"{path}: got a tokenizer without {_PADDING}, allowed one of CLIP")
    tokenizer.enable_truncation(info.length)
    tokenizer.enable_padding(length=info.length, pad_id=padding, pad_token=_PADDING)
    return tokenizer
