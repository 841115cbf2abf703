"""What a language model is asked and answers, and who answers: `Endpoint`."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from lafi.board.error import StoryboardError
from lafi_story.step_folder import digest


class LlmError(StoryboardError):
    """The language model gave nothing that can be used; its line names what happened."""


@dataclass(frozen=True, slots=True)
class Question:
    """name: of the answer's type. schema: JSON schema that the answer must have."""

    name: str
    system: str
    user: str
    schema: Mapping[str, Any]
    wrong: tuple[tuple[str, str], ...] = ()
    """Answers that were wrong so far, each with what is wrong."""

    def digest(self, model: str) -> str:
        """SHA-256 of all that decides the answer; it gives away neither text nor question."""
        schema = json.dumps(self.schema, sort_keys=True)
        tried = (part for pair in self.wrong for part in pair)
        return digest(model, self.name, self.system, self.user, schema, *tried)


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
