"""CLIP's tokenizer from the vocabulary that this package ships, for checkpoints without one.

The file is that of OpenAI's CLIP as `open_clip_torch` 3.3.0 distributes it (MIT, see the licence
beside it). Knows tokenizers, not checkpoints.
"""

import gzip
from functools import cache
from pathlib import Path
from typing import Final

from tokenizers.pre_tokenizers import ByteLevel
from transformers import CLIPTokenizer

_FILE: Final = Path(__file__).parent / "clip_vocabulary" / "bpe_simple_vocab_16e6.txt.gz"
_MERGES: Final = 49152 - 256 - 2
"""Of the many in the file, those that CLIP uses."""
_START, END_TOKEN = "<|startoftext|>", "<|endoftext|>"
_TEXT_LENGTH: Final = 77
FIRST_TOKEN: Final = "!"
"""What OpenCLIP's encoders pad texts with; OpenAI's with the end token."""


def clip_tokenizer(pad: str = END_TOKEN) -> CLIPTokenizer:
    """The tokenizer of SD1.5's text encoder; with `FIRST_TOKEN`, of SD2.1's and SDXL's second."""
    vocabulary, merges = _tables()
    return CLIPTokenizer(
        vocab=vocabulary,
        merges=merges,
        model_max_length=_TEXT_LENGTH,
        bos_token=_START,
        eos_token=END_TOKEN,
        unk_token=END_TOKEN,
        pad_token=pad,
    )


def byte_tokens() -> list[str]:
    """A token for each byte in CLIP's order: printable ones first."""
    alphabet = [chr(code) for code in range(ord("!"), ord("~") + 1)]
    return alphabet + sorted(set(ByteLevel.alphabet()) - set(alphabet))


@cache
def _tables() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Token -> id, and the merges in their order."""
    lines = gzip.decompress(_FILE.read_bytes()).decode("utf-8").splitlines()
    pairs = [line.split() for line in lines[1 : _MERGES + 1]]
    merges = [(first, second) for first, second in pairs]
    alphabet = byte_tokens()
    tokens = [*alphabet, *(one + "</w>" for one in alphabet)]
    tokens += [first + second for first, second in merges]
    tokens += [_START, END_TOKEN]
    return {token: index for index, token in enumerate(tokens)}, merges
