"""`OpenAiEndpoint`: chat completions over HTTP, through the package `openai` (extra `llm`)."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from pydantic import ValidationError

from lafi.board.error import StoryboardError, Verbatim, problem
from lafi_story.llm.question import Answer, LlmError, Question
from lafi_story.steps import quoted

if TYPE_CHECKING:
    import openai

KEY_VARIABLE: Final = "LAFI_LLM_KEY"
MAX_ANSWER_BYTES: Final = 2**22
MAX_ANSWER_TOKENS: Final = 16_384
RETRIES: Final = 3
"""How often a call is tried again after 408, 409, 429, 5xx or a broken connection."""
_SAID: Final = 200
"""Characters that are shown of what an endpoint says about an error."""


class OpenAiEndpoint:
    """Sends each question to `URL/chat/completions`, at temperature 0, and follows no redirects."""

    def __init__(
        self, url: str, model: str, key: str, *, timeout: float, retries: int = RETRIES
    ) -> None:
        """model "": the only one that the endpoint has. timeout: seconds for a whole answer.

        Raises StoryboardError for a URL that is none or holds a password, LlmError where the model
        is not given and cannot be found out, ModuleNotFoundError without the extra `llm`.
        """
        import openai

        self._url, self._timeout = checked_url(url), timeout
        self._client = openai.OpenAI(
            api_key=key or "none",
            base_url=self._url,
            timeout=timeout,
            max_retries=retries,
            http_client=openai.DefaultHttpx2Client(follow_redirects=False),
        )
        # These come from the environment, and are meant for another service.
        self._client.organization = self._client.project = None
        self._model = model or self._only_model()

    @property
    def model(self) -> str:
        """As `Endpoint`."""
        return self._model

    def close(self) -> None:
        """Close its connections."""
        self._client.close()

    def ask(self, question: Question) -> Answer:
        """As `Endpoint`."""
        from openai.types.chat import ChatCompletion

        messages: list[Any] = [
            {"role": "system", "content": question.system},
            {"role": "user", "content": _content(question)},
        ]
        for text, wrong in question.wrong:
            messages.append({"role": "assistant", "content": text})
            messages.append({"role": "user", "content": wrong})
        form: Any = {
            "type": "json_schema",
            "json_schema": {"name": question.name, "schema": question.schema, "strict": True},
        }
        with self._errors():
            create = self._client.chat.completions.with_streaming_response.create
            with create(
                model=self._model,
                messages=messages,
                response_format=form,
                temperature=0,
                max_completion_tokens=MAX_ANSWER_TOKENS,
            ) as response:
                body = self._body(response.iter_bytes())
        try:
            return self._answer(ChatCompletion.model_validate_json(body))
        except ValidationError:
            raise self._error(f"an answer that is no chat completion: {_said(body)}") from None

    def _answer(self, found: Any) -> Answer:
        if not found.choices:
            raise self._error("an answer without a choice")
        choice, usage = found.choices[0], found.usage
        if choice.message.refusal or choice.finish_reason == "content_filter":
            said = _said(choice.message.refusal or "its content filter")
            raise self._error(f"a refusal to answer: {said}")
        if choice.finish_reason == "length":
            raise self._error(
                "an answer that is cut off: the model's context or its limit of tokens is too "
                f"small for a part of the text and {MAX_ANSWER_TOKENS} tokens of answer"
            )
        read, written = (usage.prompt_tokens, usage.completion_tokens) if usage else (0, 0)
        return Answer(choice.message.content or "", read, written)

    def _only_model(self) -> str:
        from openai.types import Model
        from pydantic import BaseModel

        class Models(BaseModel):
            data: list[Model]

        with (
            self._errors(),
            self._client.models.with_streaming_response.list() as response,
        ):
            body = self._body(response.iter_bytes())
        try:
            names = [one.id for one in Models.model_validate_json(body).data]
        except ValidationError:
            names = []
        if len(names) != 1:
            got = Verbatim(f"{len(names)} models: {quoted(', '.join(names[:20]))}")
            allowed = "its name, where the endpoint has not exactly one"
            raise LlmError([problem("--llm-model", got, allowed)])
        return names[0]

    def _body(self, parts: Iterator[bytes]) -> bytes:
        """All bytes of an answer; a slow one may trickle in for no longer than the timeout."""
        body, start = bytearray(), time.monotonic()
        for part in parts:
            body += part
            if len(body) > MAX_ANSWER_BYTES:
                raise self._error(f"an answer of more than {MAX_ANSWER_BYTES} bytes")
            if time.monotonic() - start > self._timeout:
                raise self._error(self._late())
        return bytes(body)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        import httpx2
        import openai

        try:
            yield
        except openai.APITimeoutError:
            raise self._error(self._late()) from None
        except openai.APIConnectionError as error:
            raise self._error(f"no connection: {_said(error.__cause__ or error)}") from None
        except openai.APIStatusError as error:
            raise self._error(_status(error)) from None
        except openai.OpenAIError as error:
            raise self._error(f"no answer: {_said(error)}") from None
        except httpx2.TimeoutException:  # while the answer's body arrives
            raise self._error(self._late()) from None
        except httpx2.HTTPError as error:
            raise self._error(f"an answer that breaks off: {_said(error)}") from None

    def _late(self) -> str:
        return f"no whole answer within {self._timeout:g} s (--llm-timeout)"

    def _error(self, got: str) -> LlmError:
        return LlmError([f"the language model at {self._url}: got {got}"])


def _content(question: Question) -> Any:
    """The text alone, or with the picture before it."""
    if question.picture is None:
        return question.user
    picture = {"type": "image_url", "image_url": {"url": question.picture.url}}
    return [picture, {"type": "text", "text": question.user}]


def checked_url(url: str) -> str:
    """The URL without a slash at the end. Raises StoryboardError."""
    try:
        parts = urlsplit(url)
        fits = parts.scheme in ("http", "https") and parts.hostname and (parts.port or 1)
        bare = not (parts.query or parts.fragment or "@" in parts.netloc)
    except ValueError:
        fits = bare = False
    if not fits or not bare:
        # A key in the URL is not shown again.
        got = Verbatim("a URL with a name, a password or parameters") if fits else url
        allowed = f"http(s)://HOST[:PORT]/PATH, the key in the environment variable {KEY_VARIABLE}"
        raise StoryboardError([problem("--llm", got, allowed)])
    return url.rstrip("/")


def _status(error: "openai.APIStatusError") -> str:
    code = error.status_code
    known = {
        401: f"401: the key is missing or wrong (environment variable {KEY_VARIABLE})",
        403: f"403: the key may not do this (environment variable {KEY_VARIABLE})",
        404: "404: no such model or path (--llm-model; most URLs end in /v1)",
        429: "429: too many requests or no credit left, also after waiting",
    }
    if 300 <= code < 400:
        return f"{code}: a redirect, which is not followed; give the URL that it leads to"
    body = error.body
    said = body.get("message") if isinstance(body, dict) else error.response.text
    return f"{known.get(code, f'{code}')}: {_said(said or 'no word why')}"


def _said(said: object) -> str:
    """Words of the other side as one short printable line."""
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
    line = quoted(text) or type(said).__name__
    return line if len(line) <= _SAID else line[:_SAID] + "..."
