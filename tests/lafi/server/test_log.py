import json
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lafi.server.log import LogFollower, LogLine, failure_lines, parse_line

FAILED_LOAD = (
    "E1121 08:50:01.000000 69 model_lifecycle.cc:642] \"failed to load 'text_encoder' version 1: "
    'Internal: ValueError: no such file\\n\\nAt:\\n  model.py(3): initialize\\n"'
)


@settings(deadline=None, max_examples=50)
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_a_message_of_the_server_is_read_back(message: str) -> None:
    line = parse_line(f"E1121 08:39:31.304337 4272 server.cc:604] {json.dumps(message)}")
    assert line == LogLine("error", "08:39:31", "server.cc", message.strip())


@settings(deadline=None, max_examples=50)
@given(st.text())
def test_any_line_can_be_read(raw: str) -> None:
    assert str(parse_line(raw)) == str(parse_line(raw)).strip()


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ('I1121 08:39:31.304337 42 server.cc:604] "successfully loaded"', None),
        ('W1121 08:39:31.3 42 metrics.cc:7] "DCGM unable to start: DCGM initialization"', None),
        ("Error: Failed to initialize NVML", None),
        ("| storyboard | 1 | READY |", None),
        ("", None),
        ('I1121 08:39:31.304337 42 model.py:4] "12 layers"', "08:39:31 12 layers"),
        ('W1121 08:39:31.3 42 grpc.cc:7] "slow"', "08:39:31 warning: slow"),
        ("ImportError: no module", "ImportError: no module"),
    ],
)
def test_only_what_a_person_needs_is_shown(raw: str, shown: str | None) -> None:
    line = parse_line(raw)
    assert (str(line) if line.is_worth_showing else None) == shown


def test_a_failure_names_the_models_that_did_not_load() -> None:
    raw = f"I1121 08:50:00.0 69 server.cc:1] fine\n{FAILED_LOAD}\nE1121 0 x.cc:1] other\n"
    assert failure_lines(raw) == [
        "model text_encoder did not load: ValueError: no such file\n\nAt:\n  "
        "model.py(3): initialize"
    ]


def test_a_failure_without_a_model_quotes_errors_else_the_last_lines() -> None:
    error = 'E1121 08:50:01.000000 69 grpc_server.cc:2] "address in use"'
    assert failure_lines(f"plain\n{error}\n") == ["address in use"]
    assert failure_lines("one\n\ntwo\nthree\n", limit=2) == ["two", "three"]


def test_a_follower_hands_on_whole_lines_and_the_rest_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "server.log"
    path.write_bytes(b"first\nsec")
    lines: list[str] = []
    arrived = threading.Event()
    follower = LogFollower(path, lambda line: (lines.append(line.text), arrived.set()))
    follower.start()
    assert arrived.wait(5)
    assert lines == ["first"]
    with path.open("ab") as file:
        file.write(b"ond\nlast")
    follower.stop()
    assert lines == ["first", "second", "last"]
