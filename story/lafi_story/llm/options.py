"""`--llm` and what goes with it: options to a planner."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lafi.board.error import StoryboardError, Verbatim, problem
from lafi_story.llm.asking import Asker
from lafi_story.llm.endpoint import KEY_VARIABLE, OpenAiEndpoint, checked_url
from lafi_story.llm.recording import Recording

KEPT_ANSWERS: Final = "answers.jsonl"
"""The recording in a folder of steps, from which a run that was stopped goes on."""
MAX_TIMEOUT: Final = 3600.0


@dataclass(frozen=True, slots=True)
class LlmOptions:
    """url "": none is asked. model "": the endpoint's only one, or that of the recording.

    record, replay: files. timeout: seconds for an answer, 1 to MAX_TIMEOUT. price: of a million
    tokens, "READ,WRITTEN". Raises StoryboardError for what does not go together.
    """

    url: str = ""
    model: str = ""
    record: Path | None = None
    replay: Path | None = None
    timeout: float = 300.0
    price: str = ""

    def __post_init__(self) -> None:
        if self.url:
            checked_url(self.url)
        if self.url and self.replay is not None:
            got = Verbatim("--llm beside it")
            raise StoryboardError([problem("--replay", got, "one of them: a replay asks nobody")])
        for option, given in (("--record", self.record), ("--llm-price", self.price)):
            if given and not self.url:
                raise StoryboardError([problem(option, Verbatim(given), "only with --llm")])
        if self.model and not self.wanted:
            allowed = "only with --llm or --replay"
            raise StoryboardError([problem("--llm-model", self.model, allowed)])
        if not 1 <= self.timeout <= MAX_TIMEOUT:
            allowed = f"1 to {MAX_TIMEOUT:g} seconds"
            raise StoryboardError([problem("--llm-timeout", self.timeout, allowed)])
        self.prices()

    @property
    def wanted(self) -> bool:
        """Whether a language model plans, or planned."""
        return bool(self.url) or self.replay is not None

    def prices(self) -> tuple[float, float] | None:
        """Of a million tokens, read and written. Raises StoryboardError."""
        if not self.price:
            return None
        try:
            read, written = (float(part) for part in self.price.split(","))
            if not (0 <= read < 1e6 and 0 <= written < 1e6):
                raise ValueError
        except ValueError:
            allowed = "two numbers with a comma: of a million tokens read, and written"
            raise StoryboardError([problem("--llm-price", self.price, allowed)]) from None
        return read, written

    @contextmanager
    def asker(self, steps: Path | None) -> Iterator[Asker]:
        """Who is asked. steps: the folder in which answers are kept; None: nowhere.

        Raises StoryboardError; ModuleNotFoundError without the extra `llm`.
        """
        with ExitStack() as stack:
            if self.replay is not None:
                recording = stack.enter_context(Recording(self.replay, writes=False))
                yield Asker(self.model or self._recorded(recording), None, recording)
                return
            key = os.environ.get(KEY_VARIABLE, "")
            endpoint = OpenAiEndpoint(self.url, self.model, key, timeout=self.timeout)
            stack.callback(endpoint.close)
            path = self.record or (steps / KEPT_ANSWERS if steps is not None else None)
            kept = stack.enter_context(Recording(path, writes=True)) if path is not None else None
            yield Asker(endpoint.model, endpoint, kept)

    def _recorded(self, recording: Recording) -> str:
        if len(recording.models) != 1:
            got = Verbatim(f"answers of {', '.join(recording.models) or 'no model'}")
            raise StoryboardError([problem("--replay", got, "one model's, or --llm-model")])
        return recording.models[0]
