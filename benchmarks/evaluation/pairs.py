"""The tasks of every method: pairs of a reference picture and a target prompt.

Knows names, angles and pixels, not how pictures are drawn. A reference has a group of targets;
identity is common to a group, pose and scene of reference and targets are independent.
"""

import hashlib
import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
"""RGB uint8 (H, W, 3)."""


@dataclass(frozen=True, slots=True)
class Shown:
    """The content of a picture, true or read by a reader.

    identity    attribute -> name; of a reference or a target only what can be seen of it
    angles      joint angles in degrees, always the same joints; empty if none are known
    background, time   place and light; empty if not known
    """

    identity: Mapping[str, str]
    action: str
    background: str = ""
    time: str = ""
    angles: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class ReferencePicture:
    """A character's picture as PNG files of side x side pixels.

    png         opaque, with its own background
    masked_png  the same with the foreground as alpha; None if unknown
    """

    shown: Shown
    png: bytes
    masked_png: bytes | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """A panel to draw.

    shown   the requested content; angles are the mean angles of the requested action
    prompt  text with {who} for the character's caption
    seed    of the panel's noise
    truth   real pictures of it, each with another pose of the action and another framing;
            empty if there are none
    """

    shown: Shown
    prompt: str
    seed: int
    truth: tuple[Pixels, ...] = ()


@dataclass(frozen=True, slots=True)
class Group:
    """A character and the panels that show it.

    caption      names the character without its looks; the reference row's caption too
    description  the looks in words
    second       another picture of the same character
    """

    reference: ReferencePicture
    caption: str
    description: str
    targets: tuple[Target, ...]
    second: ReferencePicture | None = None

    @property
    def digest(self) -> str:
        """64 hexadecimal digits: a hash of everything here that decides the panels' pixels."""
        content = hashlib.sha256()
        pictures = [self.reference, *([self.second] if self.second else [])]
        for data in [p for picture in pictures for p in (picture.png, picture.masked_png or b"")]:
            content.update(hashlib.sha256(data).digest())
        prompts = [(target.prompt, target.seed) for target in self.targets]
        content.update(repr((self.caption, self.description, prompts)).encode())
        return content.hexdigest()


class PanelReader(Protocol):
    """Reads the content of pictures. `side`: of the panels that it reads, in pixels."""

    @property
    def side(self) -> int: ...

    def read(self, pixels: Pixels, /) -> list[Shown]:
        """RGB uint8 (N, side, side, 3) -> one reading each."""
        ...


class PairSource(Protocol):
    """Groups number `first` to `first + count - 1` of a seed, always the same ones."""

    def __call__(self, first: int, count: int, *, seed: int, side: int) -> Sequence[Group]: ...


def load_named(name: str) -> Any:
    """`module:attribute` -> that object. Raises ValueError if there is none."""
    module, colon, attribute = name.partition(":")
    if not (module and colon and attribute):
        raise ValueError(f"name: got {name!r}, allowed module:attribute")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"name: got {name!r}, allowed an importable one ({error})") from error
