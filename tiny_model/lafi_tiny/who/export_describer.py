"""The text tower as ONNX, beside the recognisers, with the tokenizer that it needs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from transformers import CLIPTokenizer

from lafi_tiny.onnx_file import describe_file, open_onnx, trace_to_onnx
from lafi_tiny.stages.tokenizer import token_ids
from lafi_tiny.who.describer import load_describer
from lafi_tiny.who.fusion import TextEmbed, calibrate_words
from lafi_tiny.who.open_set import Embed
from lafi_tiny.who.train_describer import DESCRIBER_FILE
from lafi_tiny.who.verification import Array

CARD_KEY = "describer"
TOKENIZER = "tokenizer.json"
MADE = "words"
"""The graph's output."""


def export_describer(folder: Path, tokenizer: CLIPTokenizer, out: Path) -> dict[str, Any]:
    """Write `describer.onnx` and its tokenizer of the tower in `folder`; facts of it."""
    network = load_describer(folder / DESCRIBER_FILE, tokenizer)
    example = torch.zeros(2, tokenizer.model_max_length, dtype=torch.int64)
    # Not `embedding`: the graph has values of that name inside.
    trace_to_onnx(network, "tokens", example, out / f"{CARD_KEY}.onnx", made=MADE)
    plain = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    plain.no_padding()
    plain.no_truncation()
    plain.save(str(out / TOKENIZER))
    return {
        "parameters": sum(p.numel() for p in network.parameters()),
        "length": tokenizer.model_max_length,
    }


def describe_exported(tokenizer: CLIPTokenizer, out: Path, embed: Embed) -> dict[str, Any]:
    """What the card says of the file in `out`, and how much words count.

    embed: the recogniser beside it, which decides that.
    """
    path = out / f"{CARD_KEY}.onnx"
    return {**describe_file(path), **calibrate_words(embed, onnx_describer(path, tokenizer))}


def onnx_describer(path: Path, tokenizer: CLIPTokenizer) -> TextEmbed:
    """The exported tower in ONNX Runtime on the CPU, one thread."""
    session = open_onnx(path)

    def embed(texts: Sequence[str]) -> Array:
        ids = token_ids(tokenizer, list(texts)).numpy()
        embeddings: Array = np.asarray(session.run([MADE], {"tokens": ids})[0], np.float64)
        return embeddings

    return embed
