"""Parses the option `--variant NAME=FILE[:STRENGTH][,FILE[:STRENGTH]...]` to a `Variant`.

Distinguishes LoRA files and learnt words by the names of their tensors. Knows files' headers, not
checkpoints.
"""

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from safetensors import SafetensorError, safe_open

from lafi.board.limits import NAME_PATTERN
from lafi_export.checkpoint_variant import Variant
from lafi_export.lora import is_lora_key
from lafi_export.textual_inversion import are_learnt_words

MAX_STRENGTH: Final = 10.0
OPTION: Final = "--variant"
_SYNTAX: Final = "NAME=FILE[:STRENGTH][,FILE[:STRENGTH]...], with :WORD after a learnt word's file"
_NAME: Final = re.compile(NAME_PATTERN)


class VariantOptionError(ValueError):
    """The option is not a variant; the text names option, value and what is allowed."""


def parse_variants(options: Sequence[str]) -> tuple[Variant, ...]:
    """One variant for each option, in order.

    The text after a colon is the strength of a LoRA file (-10 to 10, not 0; default 1), or the
    word of a learnt word's file that does not name it. Raises VariantOptionError, also for a name
    that is used twice and for a file that cannot be read.
    """
    variants = [_parse(option) for option in options]
    names = [variant.name for variant in variants]
    for name in names:
        if names.count(name) > 1:
            raise _refused(name, "each name once")
    return tuple(variants)


def _parse(option: str) -> Variant:
    name, equals, files = option.partition("=")
    if not equals or not files:
        raise _refused(option, _SYNTAX)
    if not _NAME.fullmatch(name):
        raise _refused(option, "a lower-case name of up to 32 letters, digits and _, such as ink")
    loras: list[tuple[Path, float]] = []
    words: list[tuple[Path, str]] = []
    for text in files.split(","):
        path, suffix = _split(text)
        keys = _keys(path, option)
        if are_learnt_words(keys) and not any(map(is_lora_key, keys)):
            words.append((path, suffix))
        else:
            loras.append((path, _strength(suffix)))
    return Variant(name, tuple(loras), tuple(words))


def _split(text: str) -> tuple[Path, str]:
    """The file and the text after its colon. A colon may also be part of a file's name."""
    head, _, tail = text.rpartition(":")
    return (Path(head), tail) if head and not Path(text).is_file() else (Path(text), "")


def _keys(path: Path, option: str) -> list[str]:
    try:
        with safe_open(path, framework="pt") as file:
            return list(file.keys())
    except (OSError, SafetensorError) as error:
        raise _refused(option, f"safetensors files ({path}: {error})") from error


def _strength(text: str) -> float:
    if not text:
        return 1.0
    allowed = f"as a LoRA's strength a number from {-MAX_STRENGTH:g} to {MAX_STRENGTH:g}, not 0"
    try:
        strength = float(text)
    except ValueError:
        raise _refused(text, allowed) from None
    if not math.isfinite(strength) or not 0 < abs(strength) <= MAX_STRENGTH:
        raise _refused(text, allowed)
    return strength


def _refused(got: str, allowed: str) -> VariantOptionError:
    return VariantOptionError(f"{OPTION}: got {got!r}, allowed {allowed}")
