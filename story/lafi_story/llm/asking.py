"""`Asker`: a question to a checked answer, from a recording or the model, asked again if wrong."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, TypeVar

from lafi.board.checked_model import CheckedModel
from lafi.board.error import StoryboardError
from lafi_story.llm.question import Endpoint, LlmError, Picture, Question
from lafi_story.llm.recording import Recording

Form = TypeVar("Form", bound=CheckedModel)
TRIES: Final = 3
"""How often a question is asked; from the second time on with what was wrong."""
_KEPT: Final = 4000
"""Characters of a wrong answer that are sent back with the next try."""


@dataclass(slots=True)
class Usage:
    """What a run took. kept: answers that were in the recording."""

    answered: int = 0
    kept: int = 0
    read: int = 0
    written: int = 0

    def line(self, prices: tuple[float, float] | None = None) -> str:
        """prices: of a million tokens read and written, in any currency."""
        said = f"the language model answered {self.answered} times"
        said += f", {self.kept} answers were there from before" if self.kept else ""
        said += f"; tokens: {self.read} read, {self.written} written"
        if prices is not None:
            cost = (self.read * prices[0] + self.written * prices[1]) / 1e6
            said += f"; cost: {cost:.4f}"
        return said


class Asker:
    """Counts what it costs in `usage`."""

    def __init__(
        self, model: str, endpoint: Endpoint | None = None, recording: Recording | None = None
    ) -> None:
        """endpoint None: replayed, every answer must be in the recording."""
        self.model = model
        self.usage = Usage()
        self._endpoint = endpoint
        self._recording = recording

    def ask(
        self,
        form: type[Form],
        system: str,
        user: str,
        check: Callable[[Form], None] = lambda answer: None,
        *,
        picture: Picture | None = None,
    ) -> Form:
        """The answer. check: raises StoryboardError for what has to be answered again. picture:
        what is asked about.

        Raises LlmError where there is none, also after TRIES.
        """
        schema = form.model_json_schema()
        question = Question(form.__name__, system, user, schema, picture=picture)
        digest = question.digest(self.model)
        kept = self._recording.get(digest) if self._recording is not None else None
        if kept is not None:
            found: Form = form.model_validate(kept)
            check(found)
            self.usage.kept += 1
            return found
        answer = self._asked(form, question, check)
        if self._recording is not None:
            self._recording.add(digest, self.model, answer.model_dump(mode="json"))
        return answer

    def _asked(self, form: type[Form], question: Question, check: Callable[[Form], None]) -> Form:
        if self._endpoint is None:
            raise LlmError([
                f"--replay: no answer to a question about {form.__name__}: the text, an edited "
                "step, the vocabulary or the model is not the one that was recorded"
            ])  # fmt: skip
        wrong = ""
        for _ in range(TRIES):
            found = self._endpoint.ask(question)
            self.usage.answered += 1
            self.usage.read += found.read
            self.usage.written += found.written
            try:
                answer: Form = form.model_validate_json(json_in(found.text))
                check(answer)
                return answer
            except StoryboardError as error:
                wrong = str(error)
            again = f"This is wrong:\n{wrong}\nAnswer again, with the JSON alone."
            question = replace(question, wrong=((found.text[:_KEPT], again),))
        first = wrong.splitlines()[0]
        raise LlmError([
            f"the language model {self.model}: got no {form.__name__} in {TRIES} answers; of the "
            f"last one: {first}"
        ])  # fmt: skip


def json_in(text: str) -> str:
    """The JSON object of an answer, without thoughts before it and fences around it."""
    text = text.rpartition("</think>")[2]
    start, end = text.find("{"), text.rfind("}")
    return text[start : end + 1] if 0 <= start < end else text
