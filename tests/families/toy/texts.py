"""The toy text stack: words of a list, one embedding, and texts of different lengths.

What an outside package says of its text encoder. Knows files, no torch.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from lafi.model.config_problems import Config, differs
from lafi.model.info import ModelInfo
from lafi.model.input_port import NOWHERE, ROWS, TOKENS, InputPort
from lafi.model.text_stack import TextOutput, TextSize, WordSpan

TEXT_MASK: Final = InputPort(name="text_mask", axes=(ROWS, TOKENS), example="weight")
"""Which tokens of a row's text count."""
PADDING: Final = 0
UNKNOWN: Final = 1
WORDS: Final = "words.json"


class ToyReader:
    """`lafi.model.text_stack.PromptReader`: a token for each word between spaces."""

    def __init__(self, words: Sequence[str], length: int) -> None:
        self._ids = {word: index for index, word in enumerate(words, UNKNOWN + 1)}
        self._length = length

    def token_ids(self, texts: Sequence[str]) -> npt.NDArray[np.int64]:
        rows = [[self._ids.get(w, UNKNOWN) for w in t.split()] for t in texts]
        if any(len(row) > self._length for row in rows):
            raise ValueError(f"text: got more than {self._length} words, allowed fewer")
        longest = max(2, *map(len, rows))
        padded = [row + [PADDING] * (longest - len(row)) for row in rows]
        return np.array(padded, dtype=np.int64)

    def size(self, text: str) -> TextSize:
        return TextSize(len(text.split()), 1)

    def unread(self, text: str) -> str:
        return " ".join(text.split()[self._length :])

    def slots(self, text: str, spans: Sequence[WordSpan]) -> npt.NDArray[np.int32]:
        return np.full(len(self.token_ids([text])[0]), NOWHERE, dtype=np.int32)


class ToyTexts:
    """`lafi.model.text_stack.TextStack`."""

    encoders: Final = ("embedding",)
    tokenizers: Final = ("vocabulary",)
    windows: Final = 1
    skips_layers: Final = False

    def problems(self, folder: Path, parts: Mapping[str, Config]) -> Sequence[str]:
        count = _vocabulary(folder / "vocabulary")
        return differs("embedding.count", parts["embedding"], count, "the words and two more")

    def describe(self, parts: Mapping[str, Config]) -> Mapping[str, Any]:
        config = parts["embedding"]
        return {"text_length": config["length"], "text_width": config["width"]}

    def tokenizers_of(self, info: ModelInfo) -> tuple[str, ...]:
        return self.tokenizers

    def ids(self, info: ModelInfo) -> tuple[str, ...]:
        return (TOKENS,)

    def vocabularies(self, folder: Path, info: ModelInfo) -> tuple[int, ...]:
        return (_vocabulary(folder / "vocabulary"),)

    def outputs(self, info: ModelInfo) -> tuple[TextOutput, ...]:
        return TextOutput("text", (TOKENS, info.text_width)), TextOutput("text_mask", (TOKENS,))

    def reader(self, folder: Path, info: ModelInfo) -> ToyReader:
        return ToyReader(_words(folder / "vocabulary"), info.text_length)


def _words(folder: Path) -> list[str]:
    words: list[str] = json.loads((folder / WORDS).read_text(encoding="utf-8"))
    return words


def _vocabulary(folder: Path) -> int:
    return len(_words(folder)) + UNKNOWN + 1


TOY_TEXTS: Final = ToyTexts()
