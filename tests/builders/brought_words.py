"""Textual inversions after public bug reports: layouts, words, widths, damage."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from brought_files import LFS_POINTER, Brought, normal, saved

WIDTH, SECOND = 64, 96
"""Of the small models' text encoders."""


def of(word: str = "", **tensors: Tensor) -> Callable[[Path], str]:
    """A file, and the word behind its name; `__` in a key stands for a dot."""

    def build(folder: Path) -> str:
        named = {key.replace("__", "."): value for key, value in tensors.items()}
        path = saved(folder / "word.safetensors", named)
        return f"{path}:{word}" if word else str(path)

    return build


def keyed(key: str, value: Tensor, word: str = "") -> Callable[[Path], str]:
    """A file with a key that is no name in Python."""
    return lambda folder: (
        f"{saved(folder / 'word.safetensors', {key: value})}{':' if word else ''}{word}"
    )


def pickled(content: object, word: str = "") -> Callable[[Path], str]:
    """As torch.save writes it."""

    def build(folder: Path) -> str:
        torch.save(content, folder / "word.pt")
        return f"{folder / 'word.pt'}{':' if word else ''}{word}"

    return build


def raw(content: bytes) -> Callable[[Path], str]:
    """A file of these bytes."""

    def build(folder: Path) -> str:
        (folder / "word.safetensors").write_bytes(content)
        return f"{folder / 'word.safetensors'}"

    return build


def vectors(count: int, width: int = WIDTH, seed: int = 0) -> Tensor:
    """(n, D)."""
    return normal(count, width, seed=seed, scale=3.0)


WEB = {"string_to_token": {"*": 265}, "string_to_param": {"*": vectors(3)}, "name": "zoe"}
RIGHT = (
    (Brought("diffusers", keyed("<mia>", vectors(1)[0])), "<mia>", "a <mia> child"),
    (Brought("several vectors", keyed("<mia>", vectors(3))), "<mia>", "<mia> at night"),
    (Brought("renamed", keyed("<mia>", vectors(2), "<eva>")), "<eva>", "a <eva>"),
    (Brought("emb_params", of("<mia>", emb_params=vectors(2))), "<mia>", "a <mia>, a dog"),
    (Brought("key *", keyed("*", vectors(2), "<mia>")), "<mia>", "two <mia>"),
    (Brought("half precision", keyed("<mia>", vectors(2).half())), "<mia>", "a <mia> child"),
    (Brought("web interface's file", pickled(WEB)), "zoe", "a zoe child"),
    (Brought("web interface's file, renamed", pickled(WEB, "<eva>")), "<eva>", "a <eva>"),
    (Brought("pickled tensor", pickled(vectors(2), "<mia>")), "<mia>", "a <mia>"),
    (Brought("upper case in the prompt", keyed("<mia>", vectors(2))), "<mia>", "a <mia> CHILD"),
    (
        Brought(
            "both encoders",
            of("<mia>", clip_l=vectors(2), clip_g=vectors(2, SECOND)),
            model="sdxl",
        ),
        "<mia>",
        "a <mia> child",
    ),
    (
        Brought(
            "pivotal tuning",
            of("<s0>", text_encoders_0=vectors(2), text_encoders_1=vectors(2, SECOND)),
            model="sdxl",
        ),
        "<s0>",
        "in <s0> style, a dog",
    ),
)
"""File, its word, and a prompt: drawn as the stock pipeline draws it with the file loaded."""
REFUSED = (
    Brought(
        "SDXL's on SD1.5",
        of("x1", clip_l=vectors(2), clip_g=vectors(2, SECOND)),
        "embeddings for text_encoder_2, which this checkpoint has not",
    ),
    Brought(
        "SD1.5's on SDXL",
        keyed("<mia>", vectors(2)),
        "no embeddings for text_encoder_2",
        model="sdxl",
    ),
    Brought(
        "one of two encoders",
        of("x1", clip_g=vectors(2, SECOND)),
        "no embeddings for text_encoder",
        model="sdxl",
    ),
    Brought("another width", keyed("<mia>", vectors(2, 32)), "<mia>: width: got 32"),
    Brought("80 vectors", keyed("<mia>", vectors(80)), "got 80 embeddings, allowed 74"),
    Brought("without a word", of(emb_params=vectors(1)), "word: got '', allowed a word"),
    Brought("a space in the word", keyed("my mia", vectors(1)), "word: got 'my mia'"),
    Brought("a control character", keyed("a\x07b", vectors(1)), "word: got 'a.x07b'"),
    Brought("a known token", keyed("a", vectors(1)), "got 'a', which is a token already"),
    Brought("two words", of(one=vectors(1), two=vectors(1)), "got one, two|no LoRA|got one"),
    Brought("not a number", keyed("<mia>", vectors(1) * torch.nan), "allowed finite numbers"),
    Brought("whole numbers", keyed("<mia>", torch.ones(64, dtype=torch.int8)), "of torch.int8"),
    Brought("three axes", keyed("<mia>", vectors(2)[None]), r"got \[1, 2, 64\]"),
    Brought("no vectors", keyed("<mia>", torch.zeros(0, WIDTH)), r"got \[0, 64\]"),
    Brought("git-lfs pointer", raw(LFS_POINTER.encode()), "a git-lfs pointer"),
    Brought("empty", raw(b""), "is empty"),
    Brought(
        "code in a pickle", pickled({"word": Path("/")}), "cannot be read without its own code"
    ),
)
