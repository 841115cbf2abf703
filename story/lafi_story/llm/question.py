"""What a language model is asked and answers, and who answers: `Endpoint`."""

import base64
import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from PIL import Image

from lafi.board.error import StoryboardError
from lafi_story.step_folder import digest


class LlmError(StoryboardError):
    """The language model gave nothing that can be used; its line names what happened."""


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture that is asked about: a PNG file of pixels alone, without what else a file may say.

    sha256: of the pixels, so that it does not depend on who packed them.
    """

    png: bytes
    sha256: str

    @classmethod
    def of(cls, image: Image.Image) -> "Picture":
        """Of an image, RGB."""
        packed = io.BytesIO()
        bare = Image.frombytes("RGB", image.size, image.tobytes())
        bare.save(packed, format="PNG")
        size = f"{image.width} {image.height} ".encode()
        return cls(packed.getvalue(), hashlib.sha256(size + bare.tobytes()).hexdigest())

    @property
    def url(self) -> str:
        """As `data:image/png;base64,...`."""
        return f"data:image/png;base64,{base64.b64encode(self.png).decode()}"


@dataclass(frozen=True, slots=True)
class Question:
    """name: of the answer's type. schema: JSON schema that the answer must have."""

    name: str
    system: str
    user: str
    schema: Mapping[str, Any]
    wrong: tuple[tuple[str, str], ...] = ()
    """Answers that were wrong so far, each with what is wrong."""
    picture: Picture | None = None
    """What the question is about, for a model that sees."""

    def digest(self, model: str) -> str:
        """SHA-256 of all that decides the answer; it gives away neither text nor question."""
        schema = json.dumps(self.schema, sort_keys=True)
        more = [part for pair in self.wrong for part in pair]
        if self.picture is not None:
            more.append(f"picture {self.picture.sha256}")
        return digest(model, self.name, self.system, self.user, schema, *more)


@dataclass(frozen=True, slots=True)
class Answer:
    """The model's text. read, written: tokens; 0 where the endpoint does not say."""

    text: str
    read: int = 0
    written: int = 0


class Endpoint(Protocol):
    """Answers questions one by one."""

    @property
    def model(self) -> str:
        """The model's name."""
        ...

    def ask(self, question: Question) -> Answer:
        """Raises LlmError where there is no whole answer."""
        ...
