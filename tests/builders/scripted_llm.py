"""A chat completions endpoint on a loopback port that answers what a test says, and remembers."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Reply = Callable[[dict[str, Any]], "Raw | str"]
"""A request's JSON -> the text of the answer, or a whole response."""


@dataclass(frozen=True)
class Raw:
    """A whole response. pause: seconds before each byte, of an endpoint that is slow."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    pause: float = 0.0


@dataclass
class ScriptedLlm:
    """What it was asked: paths, headers and JSON."""

    url: str
    paths: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)

    def forms(self) -> list[str]:
        """The names of the answers that it was asked for."""
        return [form_of(request) for request in self.requests]


def form_of(request: dict[str, Any]) -> str:
    """The name of the answer that is asked for."""
    return str(request["response_format"]["json_schema"]["name"])


def completion(text: str | None, finish: str = "stop", **message: Any) -> Raw:
    """A chat completion with 100 tokens read and 20 written."""
    choice = {
        "index": 0,
        "finish_reason": finish,
        "message": {"role": "assistant", "content": text, **message},
    }
    usage = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}
    data = {"id": "1", "object": "chat.completion", "created": 1, "model": "m"}
    return Raw(body=json.dumps({**data, "choices": [choice], "usage": usage}).encode())


@contextmanager
def scripted_llm(reply: Reply, models: tuple[str, ...] = ("tiny",)) -> Iterator[ScriptedLlm]:
    """Serve `reply` until the end of the block."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            told.paths.append(self.path)
            listed = [
                {"id": name, "object": "model", "created": 1, "owned_by": "o"} for name in models
            ]
            self._send(Raw(body=json.dumps({"object": "list", "data": listed}).encode()))

        def do_POST(self) -> None:
            told.paths.append(self.path)
            told.headers.append({name.lower(): value for name, value in self.headers.items()})
            request = json.loads(self.rfile.read(int(self.headers["content-length"])))
            told.requests.append(request)
            answer = reply(request)
            self._send(completion(answer) if isinstance(answer, str) else answer)

        def _send(self, raw: Raw) -> None:
            self.send_response(raw.status)
            for name, value in {"content-type": "application/json", **raw.headers}.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(raw.body)))
            self.end_headers()
            if not raw.pause:
                self.wfile.write(raw.body)
                return
            try:
                for byte in raw.body:
                    time.sleep(raw.pause)
                    self.wfile.write(bytes((byte,)))
                    self.wfile.flush()
            except OSError:  # nobody waits for it any more
                pass

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    told = ScriptedLlm(f"http://127.0.0.1:{server.server_port}/v1")
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield told
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
