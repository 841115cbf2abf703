"""Parses Triton Server's log and picks the lines worth showing.

The server writes its raw log to a file, and a `LogFollower` reads new lines from it as they come.
Lines that are not shown are still in the file.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Level = Literal["info", "warning", "error", "plain"]

_LEVELS: dict[str, Level] = {"I": "info", "W": "warning", "E": "error", "F": "error"}
_ENTRY = re.compile(
    r"^(?P<level>[IWEF])\d{4} (?P<time>\d\d:\d\d:\d\d)\.\d+ \d+ (?P<source>[\w.\-]+):\d+\] ?"
    r"(?P<text>.*)$"
)
# Messages that the server prints on every machine without a GPU. They help no one.
_NOISE = (
    "Unable to allocate pinned system memory",
    "CudaDriverHelper has not been initialized",
    "DCGM unable to start",
    "Failed to initialize NVML",
    "CUDA memory pool disabled",
)
_FAILURE = re.compile(r"Traceback|Error\b|Exception|error:|terminate called|Segmentation")

_LOAD_FAILURE = re.compile(
    r"failed to load '(?P<name>\w+)' version \d+: (?:Internal: )?(?P<reason>.+)", re.DOTALL
)


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of the server's log. time: "HH:MM:SS" or "" for a line without a header."""

    level: Level
    time: str
    source: str
    text: str

    @property
    def is_noise(self) -> bool:
        """True for the server's messages about a missing GPU."""
        return any(noise in self.text for noise in _NOISE)

    @property
    def is_table(self) -> bool:
        """True for a line of the tables that the server draws."""
        return self.level == "plain" and self.text.startswith(("+-", "| "))

    @property
    def is_worth_showing(self) -> bool:
        """True for warnings, errors and our models' messages, not for the server's progress."""
        if self.is_noise or self.is_table or not self.text.strip():
            return False
        if self.level in ("warning", "error"):
            return True
        if self.level == "info":
            return self.source.endswith(".py")
        return bool(_FAILURE.search(self.text))

    def __str__(self) -> str:
        prefix = {"warning": "warning: ", "error": "error: "}.get(self.level, "")
        return f"{self.time} {prefix}{self.text}".strip()


def parse_line(raw: str) -> LogLine:
    """Parses one raw line; a line without a header (tables, tracebacks) becomes "plain"."""
    match = _ENTRY.match(raw)
    if match is None:
        return LogLine("plain", "", "", raw.rstrip())
    text = _unquote(match["text"].strip())
    return LogLine(_LEVELS[match["level"]], match["time"], match["source"], text.strip())


def _unquote(text: str) -> str:
    """Decodes a message that the server wrote as a JSON string to keep it on one line."""
    if len(text) < 2 or not text[0] == text[-1] == '"':
        return text
    try:
        return str(json.loads(text, strict=False))
    except ValueError:
        return text[1:-1]


def failure_lines(raw: str, limit: int = 20) -> list[str]:
    """The last `limit` lines of a raw log that explain a failure, oldest first.

    They are the reasons why models did not load; if there are none, the errors with their
    tracebacks; if there are none either, the last lines of the log.
    """
    entries = [parse_line(line) for line in raw.splitlines()]
    if models := [_model_failure(match) for e in entries if (match := _LOAD_FAILURE.match(e.text))]:
        return models[-limit:]
    kept: list[str] = []
    in_error = False
    for line in entries:
        if line.is_noise or not line.text.strip():
            continue
        in_error = line.level == "error" or (in_error and line.level == "plain")
        explains = not line.is_table and (in_error or _FAILURE.search(line.text))
        if explains and line.text not in kept:
            kept.append(line.text)
    if not kept:
        kept = [line for line in raw.splitlines() if line.strip()]
    return kept[-limit:]


def _model_failure(match: re.Match[str]) -> str:
    return f"model {match['name']} did not load: {match['reason'].strip()}"


class LogFollower:
    """Reads a growing log file in a thread and calls `on_line` for each whole line."""

    def __init__(self, path: Path, on_line: Callable[[LogLine], None]) -> None:
        self._path = path
        self._on_line = on_line
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="server-log", daemon=True)

    def start(self) -> None:
        """Starts reading at the beginning of the file."""
        self._thread.start()

    def stop(self) -> None:
        """Reads the rest of the file and ends the thread."""
        self._stopping.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        rest = b""
        with self._path.open("rb") as file:
            while True:
                last_round = self._stopping.is_set()
                *lines, rest = (rest + file.read()).split(b"\n")
                self._report(lines)
                if last_round:
                    self._report([rest])
                    return
                self._stopping.wait(0.05)

    def _report(self, lines: Sequence[bytes]) -> None:
        for line in lines:
            self._on_line(parse_line(line.decode(errors="replace")))
