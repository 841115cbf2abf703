"""`Recording`: checked answers as lines of JSON, for a run to go on with or to be replayed.

A line holds the SHA-256 of a question and its answer. Never in it: keys, headers, the URL, the
questions. Answers quote the text, so only the user may read the file (mode 0600).
"""

import json
import os
import stat
from pathlib import Path
from typing import Any, Final, Self

from lafi.board.error import StoryboardError, Verbatim, problem

_HEAD: Final = {"lafi_recording": 1}
MAX_RECORDING_BYTES: Final = 2**26
_FORM: Final = "a recording that LAFI wrote"


class Recording:
    """Answers by digest. Each new one is written at once."""

    def __init__(self, path: Path, *, writes: bool) -> None:
        """writes: whether answers are added; the file is then made, or gone on with.

        Raises StoryboardError for a file that is no recording.
        """
        self._path = path
        self._answers: dict[str, dict[str, Any]] = {}
        self._models: list[str] = []
        flags = os.O_RDWR | os.O_CREAT if writes else os.O_RDONLY
        flags |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
        try:
            self._file = os.fdopen(os.open(path, flags, 0o600), "r+b" if writes else "rb")
        except OSError as error:
            raise self._refused(f"{_FORM} ({error.strerror or error})") from None
        try:
            self._load()
            if writes:
                self._begin()
        except BaseException:
            self._file.close()
            raise

    @property
    def models(self) -> tuple[str, ...]:
        """The models that answered, in order."""
        return tuple(dict.fromkeys(self._models))

    def __len__(self) -> int:
        return len(self._answers)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def get(self, digest: str) -> Any:
        """The answer as plain data; None: there is none."""
        found = self._answers.get(digest)
        return None if found is None else found["answer"]

    def add(self, digest: str, model: str, answer: Any) -> None:
        """Write an answer. Raises StoryboardError where it cannot."""
        line = {"question": digest, "model": model, "answer": answer}
        self._answers[digest] = line
        self._models.append(model)
        self._write(line)

    def _begin(self) -> None:
        if hasattr(os, "fchmod"):
            os.fchmod(self._file.fileno(), 0o600)
        self._file.truncate(self._whole)  # without a line that was being written when a run ended
        self._file.seek(self._whole)
        if not self._whole:
            self._write(_HEAD)

    def _load(self) -> None:
        status = os.fstat(self._file.fileno())
        if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_RECORDING_BYTES:
            raise self._refused(f"{_FORM}, of at most {MAX_RECORDING_BYTES} bytes")
        raw = self._file.read(MAX_RECORDING_BYTES)
        self._whole = raw.rfind(b"\n") + 1
        if raw and not self._whole:
            raise self._refused(_FORM)
        for number, line in enumerate(raw[: self._whole].splitlines()):
            try:
                self._take(number, json.loads(line))
            except (ValueError, KeyError, TypeError, RecursionError):
                raise self._refused(f"{_FORM} (its line {number + 1} is none)") from None

    def _take(self, number: int, line: dict[str, Any]) -> None:
        """Raises ValueError, KeyError or TypeError for what is no line of a recording."""
        if number == 0:
            if line != _HEAD:
                raise ValueError
            return
        digest, model = line["question"], line["model"]
        if not isinstance(digest, str) or not isinstance(model, str) or "answer" not in line:
            raise ValueError
        self._answers[digest] = line
        self._models.append(model)

    def _write(self, line: dict[str, Any]) -> None:
        try:
            self._file.write(json.dumps(line, ensure_ascii=True).encode() + b"\n")
            self._file.flush()
        except OSError as error:
            raise self._refused(f"a place to write ({error.strerror or error})") from None

    def _refused(self, allowed: str) -> StoryboardError:
        return StoryboardError([problem("", Verbatim(self._path), allowed)])
