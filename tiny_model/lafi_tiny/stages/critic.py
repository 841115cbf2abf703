"""`ReaderCritic`: judges drawn panels by the bundled model's reader of actions and scenes.

Reads what a prompt asks for by the words of captions, English and Chinese. It measures pictures of
the bundled model only: the reader has seen no others.
"""

import io
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import torch
from PIL import Image

from lafi.board.critique import Judgement, unlike
from lafi.board.error import StoryboardError, Verbatim, problem
from lafi.board.limits import folded
from lafi.board.storyboard import PLACEHOLDER, Panel, Storyboard
from lafi.model.artifacts import file_sha256
from lafi_tiny.hand.picture import SIDE
from lafi_tiny.hand.words import ACTION_WORDS, LIGHT_WORDS, PLACE_WORDS, Language, Words
from lafi_tiny.stages.reader import Reading, columns, load_reader
from lafi_tiny.training import from_pixels

Table = Mapping[Language, Words]
_SCENE: Final[Mapping[str, Table]] = {"place": PLACE_WORDS, "light": LIGHT_WORDS}


class ReaderCritic:
    """As `Critic`. The score is the mean of the lowest identity score, where there is one, and the
    shares of actions, place and light that are read as the prompt asks for them."""

    needs_scores = False

    def __init__(self, file: Path) -> None:
        """file: of the stage `reader`. Raises StoryboardError for one that is none."""
        try:
            self._reader = load_reader(file)
            self.name = f"reader {file_sha256(file)[:12]}"
        except Exception as error:  # safetensors and torch raise nothing narrower
            allowed = f"the bundled model's reader, reader.safetensors ({type(error).__name__})"
            raise StoryboardError([problem("--critic", Verbatim(file), allowed)]) from None

    def judge(
        self, board: Storyboard, number: int, png: bytes, scores: Mapping[str, float]
    ) -> Judgement:
        """As `Critic`. Raises StoryboardError for a picture that is not square."""
        panel = board.panels[number]
        figures = board.figures(panel)
        if not figures and "{" not in panel.prompt and not wanted(panel.prompt, ACTION_WORDS):
            return Judgement(math.inf)
        readings = self._read(png, max(1, len(figures)))
        parts = [max(0.0, min(scores.values()))] if scores else []
        faults = [*unlike(board, number, scores)]
        actions = list(_actions(panel, figures, readings))
        if actions:
            parts.append(float(np.mean([one == other for _, one, other in actions])))
            faults += (
                f"{name or 'somebody'}: {read} in place of {asked}"
                for name, asked, read in actions
                if asked != read
            )
        text = PLACEHOLDER.sub(" ", panel.prompt)
        for slot, table in _SCENE.items():
            if asked := wanted(text, table):
                read = [reading.names[slot] for reading in readings]
                parts.append(float(np.mean([one == asked for one in read])))
                if asked not in read:
                    faults.append(f"{slot}: {read[0]} in place of {asked}")
        return Judgement(float(np.mean(parts)) if parts else math.inf, tuple(faults))

    def _read(self, png: bytes, count: int) -> Sequence[Reading]:
        """One reading for each figure, from left to right."""
        with Image.open(io.BytesIO(png), formats=["PNG"]) as image:
            if image.width != image.height:
                got = Verbatim(f"{image.width} x {image.height} pixels")
                raise StoryboardError([problem("--critic", got, "square panels, for the reader")])
            small = image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.LANCZOS)
        whole = from_pixels(np.asarray(small, dtype=np.uint8)[None].copy())
        return self._reader.read(torch.cat(columns(whole, count)) if count > 1 else whole)


def wanted(text: str, table: Table) -> str:
    """The one key of a table whose words stand in a text; "": none does, or several do."""
    found = {
        key
        for words in table.values()
        for key, phrases in words.items()
        if any(_stands_in(phrase, text.casefold()) for phrase in phrases)
    }
    return found.pop() if len(found) == 1 else ""


def _stands_in(phrase: str, text: str) -> bool:
    if phrase.isascii():
        return re.search(rf"(?<![a-z]){re.escape(phrase)}(?![a-z])", text) is not None
    return phrase in text


def _actions(
    panel: Panel, figures: Sequence[str], readings: Sequence[Reading]
) -> list[tuple[str, str, str]]:
    """(name, action that the prompt asks for, action that is read) of each figure that has one.

    Of several figures only where their regions say who is where.
    """
    if len(figures) < 2:
        asked = wanted(PLACEHOLDER.sub(" ", panel.prompt), ACTION_WORDS)
        return [("".join(figures), asked, readings[0].action)] if asked else []
    if any(name not in panel.regions for name in figures):
        return []
    placed = sorted(figures, key=lambda name: panel.regions[name][0] + panel.regions[name][2])
    said = _said_of_each(panel.prompt)
    return [
        (name, asked, reading.action)
        for name, reading in zip(placed, readings, strict=True)
        if (asked := wanted(said.get(name, ""), ACTION_WORDS))
    ]


def _said_of_each(prompt: str) -> dict[str, str]:
    """Name -> the words from it to the next name."""
    named = list(PLACEHOLDER.finditer(prompt))
    ends = [*(match.start() for match in named[1:]), len(prompt)]
    return {
        folded(match[1]): prompt[match.end() : end] for match, end in zip(named, ends, strict=True)
    }
