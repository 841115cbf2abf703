"""Marks in prompts that mean something to other programs and nothing here.

Each gets a note: the words are drawn as letters, which nobody who wrote the mark expects.
"""

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from lafi.board.error import shown
from lafi.board.storyboard import Storyboard
from lafi.drawing.long_texts import stage_texts
from lafi.drawing.weighted_texts import Plans


class Mark(NamedTuple):
    """pattern: how it is written. what: it means elsewhere. instead: what does it here, if any."""

    pattern: re.Pattern[str]
    what: str
    instead: str = ""


_WEIGHT: Final = "is a weight"
_END: Final = r"(?=[\s,.;)\]]|$)"
MARKS: Final = (
    Mark(re.compile(r"(?<!\S)AND(?!\S)"), "joins prompts", "regions of characters, or BREAK"),
    Mark(re.compile(r"\bembedding:[^\s,]+"), "names a learnt word", "the word itself"),
    Mark(re.compile(r"<(?:lyco|hypernet|embedding):[^<>]*>"), "loads a file", "a variant"),
    Mark(re.compile(r"(?<![^\s,(])__[\w/-]+__"), "is a wildcard"),
    Mark(re.compile(rf"[\w)](?:\+{{2,}}|-{{2,}}|(?<=\))[+-]){_END}"), _WEIGHT, "(words:1.3)"),
    Mark(re.compile(rf"(?<!\\)\)\d+(?:\.\d+)?{_END}"), _WEIGHT, "(words:1.3)"),
    Mark(re.compile(r":\s*\d+,\d+\s*\)"), "is a weight with a comma", "(words:1.3)"),
    Mark(re.compile(r"(?<!\\)\[[^\[\]]*:\s*\d*\.?\d+\s*\]"), "changes words midway", "stages"),
    Mark(re.compile(r"(?<!\\)\[[^\[\]]*\|[^\[\]]*\]"), "changes words at every step"),
    Mark(
        re.compile(r"(?<!\S)--(?:ar|no|v|s|q|style|seed|niji|stylize|chaos)(?!\S)"),
        "is an option",
        "fields of the storyboard",
    ),
)
"""Of AUTOMATIC1111's web interface, ComfyUI, compel, dynamic prompts and Midjourney."""
WIDE: Final = (
    Mark(re.compile(r"｛[^{}｛｝]*[｝}]|\{[^{}｛｝]*｝"), "names a character", "{name}"),
    Mark(
        re.compile(
            r"(?<!\\)(?:（[^()（）]*[^\d\s()（）][:：]\s*\d*\.?\d+\s*[)）]"
            r"|\([^()（）]*[^\d\s()（）](?:：\s*\d*\.?\d+\s*[)）]|:\s*\d*\.?\d+\s*）))"
        ),
        _WEIGHT,
        "(words:1.3)",
    ),
    Mark(re.compile(r"＜\s*lora\s*[:：][^<>＜＞]*＞", re.IGNORECASE), "loads a file", "a variant"),
)
"""What Chinese and Japanese keyboards write for signs that mean something here."""


def foreign_notes(storyboard: Storyboard, plans: Plans) -> Iterator[str]:
    """A line for each such mark of each text. plans: of every panel."""
    for field, text in {field: text for field, text, _ in stage_texts(storyboard, plans)}.items():
        for mark in MARKS:
            found = mark.pattern.search(text)
            if found is not None:
                instead = f"; allowed here: {mark.instead}" if mark.instead else ""
                yield (
                    f"{field}: {shown(found[0])} {mark.what} in other programs and has no such "
                    f"effect here{instead}"
                )
        for mark in WIDE:
            if mark.what == _WEIGHT and not storyboard.prompt_weights:
                continue
            found = mark.pattern.search(text)
            if found is not None:
                yield (
                    f"{field}: {shown(found[0])} {mark.what} only with narrow signs and is read as "
                    f"letters; allowed here: {mark.instead}"
                )
