"""The real client against a scripted endpoint on loopback: what goes out, and what comes back."""

import json
import socket
from collections.abc import Iterator

import pytest
from scripted_llm import Raw, Reply, completion, scripted_llm

from lafi.board.error import StoryboardError
from lafi_story.llm import endpoint as module
from lafi_story.llm.endpoint import OpenAiEndpoint, checked_url
from lafi_story.llm.question import Answer, LlmError, Question

QUESTION = Question("Form", "be good", "what?", {"type": "object"}, (("{}", "wrong: x"),))


def asked(reply: Reply, *, timeout: float = 20.0, retries: int = 0, key: str = "k") -> Answer:
    with scripted_llm(reply) as llm:
        endpoint = OpenAiEndpoint(llm.url, "m", key, timeout=timeout, retries=retries)
        try:
            return endpoint.ask(QUESTION)
        finally:
            endpoint.close()


def test_what_is_sent_is_the_question_at_temperature_0_and_nothing_of_the_environment(
    monkeypatch: pytest.MonkeyPatch,
):
    for name in ("ORG_ID", "PROJECT_ID", "API_KEY", "ADMIN_KEY", "BASE_URL"):
        monkeypatch.setenv(f"OPENAI_{name}", f"secret-{name}")
    with scripted_llm(lambda request: '{"a": 1}') as llm:
        endpoint = OpenAiEndpoint(llm.url + "/", "m", "k1", timeout=20)
        assert endpoint.ask(QUESTION) == Answer('{"a": 1}', 100, 20)
        endpoint.close()
    ((request,), (headers,)) = llm.requests, llm.headers
    assert llm.paths == ["/v1/chat/completions"]
    assert (request["temperature"], request["model"]) == (0, "m")
    said = [(one["role"], one["content"]) for one in request["messages"]]
    assert said == [
        *(("system", "be good"), ("user", "what?")),
        *(("assistant", "{}"), ("user", "wrong: x")),
    ]
    form = {"name": "Form", "schema": {"type": "object"}, "strict": True}
    assert request["response_format"] == {"type": "json_schema", "json_schema": form}
    assert headers["authorization"] == "Bearer k1"
    assert "secret-" not in json.dumps([request, headers])


@pytest.mark.parametrize(
    ("raw", "line"),
    [
        (Raw(401, b'{"error": {"message": "bad key"}}'), "401: the key is missing or wrong"),
        (Raw(404, b"no"), "404: no such model or path"),
        (Raw(429, b"slow down"), "429: too many requests or no credit left"),
        (Raw(500, b"\x1b[2J\xff boom"), "500: "),
        (Raw(503, b""), "503: "),
        (Raw(307, b"", {"location": "http://127.0.0.1:9/v1"}), "307: a redirect"),
        (Raw(200, b"<html>"), "no chat completion: <html>"),
        (Raw(200, b"[" * 200_000), "no chat completion"),
        (Raw(200, b"{}"), "no chat completion"),
        (Raw(200, completion("x").body[:-30]), "no chat completion"),
        (Raw(200, b'{"id":"1","object":"chat.completion","created":1,"model":"m","choices":[]}'),
         "an answer without a choice"),
        (completion('{"a"', "length"), "an answer that is cut off"),
        (completion(None, "stop", refusal="I will not\n."), "a refusal to answer: I will not ."),
        (completion(None, "content_filter"), "a refusal to answer: its content filter"),
        (Raw(200, b"x" * 10_000), "more than 9999 bytes"),
        (Raw(200, b"no gzip", {"content-encoding": "gzip"}), "an answer that breaks off"),
    ],
)  # fmt: skip
def test_whatever_is_no_whole_answer_is_named(raw: Raw, line: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "MAX_ANSWER_BYTES", 300_000 if raw.body[:1] == b"[" else 9999)
    with pytest.raises(LlmError) as caught:
        asked(lambda request: raw)
    (problem,) = caught.value.problems
    assert line in problem
    assert problem.startswith("the language model at http://127.0.0.1:")
    assert problem.isprintable()
    assert len(problem) < 500


def test_an_answer_of_nothing_is_an_empty_text():
    assert asked(lambda request: completion(None)).text == ""


@pytest.mark.parametrize("pause", [0.2, 5.0])
def test_a_slow_endpoint_ends_with_the_timeout_even_if_bytes_trickle_in(pause: float):
    body = completion("x").body
    with pytest.raises(LlmError, match=r"no whole answer within 1 s \(--llm-timeout\)"):
        asked(lambda request: Raw(200, body[:20] if pause > 1 else body, pause=pause), timeout=1)


def test_a_passing_error_is_tried_again():
    replies: Iterator[Raw] = iter(
        [Raw(429, b"", {"retry-after-ms": "1"}), Raw(500, b"", {"retry-after-ms": "1"})]
    )
    found = asked(lambda request: next(replies, completion("yes")), retries=2)
    assert found.text == "yes"


def test_nobody_there():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    with pytest.raises(LlmError, match=r"no connection: .*refused"):
        OpenAiEndpoint(url, "m", "", timeout=2, retries=0).ask(QUESTION)


@pytest.mark.parametrize("models", [(), ("a",), ("a", "b")])
def test_the_only_model_need_not_be_named(models: tuple[str, ...]):
    with scripted_llm(lambda request: "", models) as llm:
        if len(models) == 1:
            endpoint = OpenAiEndpoint(llm.url, "", "", timeout=20)
            assert endpoint.model == "a"
            endpoint.close()
            return
        with pytest.raises(LlmError, match=f"--llm-model: got {len(models)} models"):
            OpenAiEndpoint(llm.url, "", "", timeout=20)


@pytest.mark.parametrize(
    "url",
    [
        *("", "v1", "ftp://h/v1", "http://", "file:///etc/passwd", "http://h:99999/", "//h/v1"),
        *("http://me:pw@h/v1", "https://h/v1?key=pw", "https://h/v1#pw", "http://[::1/v1"),
    ],
)
def test_what_is_no_url_or_holds_a_secret_is_refused_without_showing_it(url: str):
    with pytest.raises(StoryboardError, match=r"--llm: got .*LAFI_LLM_KEY") as caught:
        checked_url(url)
    assert "pw" not in str(caught.value)


def test_a_url_loses_its_last_slash():
    assert checked_url("https://h:1/v1/") == "https://h:1/v1"
