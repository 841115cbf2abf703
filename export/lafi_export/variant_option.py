"""Parses the options `--variant` and `--variant-trigger` to `Variant`s.

    --variant NAME=FILE[:STRENGTH][,FILE[:STRENGTH]...]
    --variant-trigger NAME=TEXT

Distinguishes LoRA files and learnt words by the names of their tensors. Knows files, not
checkpoints.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from lafi.board.limits import MAX_PROMPT_BYTES, NAME_PATTERN
from lafi.model.tensor_file import TensorFileError, is_safetensors, read_header
from lafi_export.checkpoint_variant import Variant
from lafi_export.learnt_words import are_learnt_words
from lafi_export.lora_adapters import Strength
from lafi_export.lora_file import is_lora_key
from lafi_export.tensor_reading import load_pickled

MAX_STRENGTH: Final = 10.0
OPTION: Final = "--variant"
TRIGGER: Final = "--variant-trigger"
_SYNTAX: Final = "NAME=FILE[:STRENGTH][,FILE[:STRENGTH]...], with :WORD after a learnt word's file"
_NAME: Final = re.compile(NAME_PATTERN)
_TEXTS: Final = ("text_encoder", "text_encoder_2")
_BLOCK: Final = re.compile(rf"(?P<where>down|mid|up|{'|'.join(_TEXTS)})(\.block_(?P<block>\d+))?")
_BLOCKS: Final = (
    "down, mid, up, one of their blocks such as up.block_1, text_encoder or text_encoder_2"
)


class VariantOptionError(ValueError):
    """The option is not a variant; the text names option, value and what is allowed."""


def parse_variants(options: Sequence[str], triggers: Sequence[str] = ()) -> tuple[Variant, ...]:
    """One variant for each option, in order, with its trigger if there is one.

    The text after a colon is the strength of a LoRA file (-10 to 10, not 0; default 1), or the
    strengths of single blocks and text encoders (`down=0.5:up.block_1=0`, the others 1), or the
    word of a learnt word's file that does not name it. Raises VariantOptionError, also for a name
    that is used twice, a trigger of an unknown variant and a file that cannot be read.
    """
    variants = [_parse(option) for option in options]
    names = [variant.name for variant in variants]
    for name in names:
        if names.count(name) > 1:
            raise _refused(name, "each name once")
    found = _triggers(triggers, names)
    return tuple(replace(one, trigger=found.get(one.name, "")) for one in variants)


def _triggers(options: Sequence[str], names: Sequence[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for option in options:
        name, equals, text = option.partition("=")
        text = text.strip().removesuffix(",").rstrip()
        if not equals or name not in names or name in found:
            known = ", ".join(names) or "no variant"
            raise _refused(option, f"NAME=TEXT once for each of {known}", TRIGGER)
        if not text or not text.isprintable() or len(text.encode()) > MAX_PROMPT_BYTES:
            allowed = f"1 to {MAX_PROMPT_BYTES} bytes of text in one line"
            raise _refused(option, allowed, TRIGGER)
        found[name] = text
    return found


def _parse(option: str) -> Variant:
    name, equals, files = option.partition("=")
    if not equals or not files:
        raise _refused(option, _SYNTAX)
    if not _NAME.fullmatch(name):
        raise _refused(option, "a lower-case name of up to 32 letters, digits and _, such as ink")
    loras: list[tuple[Path, Strength]] = []
    words: list[tuple[Path, str]] = []
    for text in files.split(","):
        path, suffix = _split(text)
        if _is_word(path, option):
            words.append((path, suffix))
        else:
            loras.append((path, _strength(suffix)))
    return Variant(name, tuple(loras), tuple(words))


def _split(text: str) -> tuple[Path, str]:
    """The file and the text after its colon. A colon may also be part of a file's name."""
    head, tail = text, ""
    while not Path(head).is_file() and ":" in head:
        head, _, last = head.rpartition(":")
        tail = f"{last}:{tail}" if tail else last
    return (Path(head), tail) if head and Path(head).is_file() else _split_once(text)


def _split_once(text: str) -> tuple[Path, str]:
    """Of a file that is not there."""
    head, _, tail = text.rpartition(":")
    return (Path(head), tail) if head else (Path(text), "")


def _is_word(path: Path, option: str) -> bool:
    try:
        if is_safetensors(path):
            keys = list(read_header(path).tensors)
        else:
            content = load_pickled(path)
            keys = list(content) if isinstance(content, dict) else [""]
            if "string_to_param" in keys:
                return True
    except TensorFileError as error:
        raise _refused(option, f"files of tensors ({error})") from error
    return are_learnt_words(keys) and not any(is_lora_key(str(key)) for key in keys)


def _strength(text: str) -> Strength:
    if not text:
        return 1.0
    if "=" not in text:
        return _number(text, zero=False)
    unet: dict[str, Any] = {}
    found: dict[str, Any] = {}
    for one in text.split(":"):
        where, _, number = one.partition("=")
        match = _BLOCK.fullmatch(where)
        if match is None or (match["where"] in (*_TEXTS, "mid") and match["block"]):
            raise _refused(one, f"BLOCK=STRENGTH with {_BLOCKS}")
        value = _number(number, zero=True)
        name = match["where"]
        if name in _TEXTS:
            found[name] = value
        elif match["block"] is None:
            unet[name] = value
        else:
            inner = unet.setdefault(name, {})
            if not isinstance(inner, dict):
                raise _refused(text, f"{name} as a whole or by its blocks, not both")
            inner[f"block_{match['block']}"] = value
    return {"unet": unet or 1.0, **found}


def _number(text: str, *, zero: bool) -> float:
    bounds = f"a number from {-MAX_STRENGTH:g} to {MAX_STRENGTH:g}{'' if zero else ', not 0'}"
    allowed = f"as a LoRA's strength {bounds}"
    try:
        strength = float(text)
    except ValueError:
        raise _refused(text, allowed) from None
    if not math.isfinite(strength) or abs(strength) > MAX_STRENGTH or not (strength or zero):
        raise _refused(text, allowed)
    return strength


def _refused(got: str, allowed: str, option: str = OPTION) -> VariantOptionError:
    return VariantOptionError(f"{option}: got {got!r}, allowed {allowed}")
