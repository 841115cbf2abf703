"""Keeps each step's result as a file that a person may edit; a later run goes on from there.

A file whose bytes are not those that were written is edited: it is used as it is. Any other is made
again when what it was made from has changed.
"""

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from lafi.board.checked_model import CheckedModel
from lafi.board.error import StoryboardError, Verbatim, problem
from lafi.board.file import decode_utf8, parse
from lafi.board.limits import MAX_FILE_BYTES
from lafi_story.yaml_text import to_yaml

Step = TypeVar("Step", bound=CheckedModel)
_STATE: Final = "steps.json"
MAX_STEP_BYTES: Final = 16 * MAX_FILE_BYTES


class StepFolder:
    """One folder for one text."""

    def __init__(self, folder: Path) -> None:
        """Makes the folder. Raises StoryboardError where it cannot."""
        self._folder = folder
        self.notes: list[str] = []
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _refused(folder, error) from None
        self._state = self._read_state()

    def text(self, name: str, made_from: str, make: Callable[[], str]) -> str:
        """The text of a file: as edited, as kept, or made and written.

        made_from: digest of all that the step goes by. Raises StoryboardError.
        """
        path, before = self._folder / name, self._state.get(name, {})
        raw = self._bytes(path)
        if raw is not None and digest(raw) != before.get("written"):
            if before.get("from") not in (None, made_from):
                self.notes.append(
                    f"{name} was edited, and what it was made from has changed since: "
                    "it is used as it is; delete it to have it made again"
                )
            else:
                self.notes.append(f"{name}: used as edited")
            return decode_utf8(raw, name)
        if raw is not None and before.get("from") == made_from:
            return decode_utf8(raw, name)
        text = make()
        self.write(path, text)
        self._state[name] = {"from": made_from, "written": digest(text.encode())}
        self.write(self._folder / _STATE, json.dumps(self._state, indent=1) + "\n")
        return text

    def step(self, name: str, kind: type[Step], made_from: str, make: Callable[[], Step]) -> Step:
        """As `text`, for the YAML file of a step. Raises StoryboardError for a wrong edit."""
        made: list[Step] = []

        def written() -> str:
            made.append(make())
            return to_yaml(made[0].model_dump(mode="json", exclude_defaults=True))

        text = self.text(name, made_from, written)
        if made:
            return made[0]
        try:
            data = parse(text)
            return kind.model_validate({} if data is None else data)
        except StoryboardError as error:
            raise StoryboardError([f"{name}: {line}" for line in error.problems]) from None

    def edited(self, path: Path) -> bool:
        """Whether somebody changed a result outside the folder, such as story.yaml."""
        raw = self._bytes(path)
        return raw is not None and digest(raw) != self._state.get("result", {}).get(str(path.name))

    def wrote(self, path: Path, text: str) -> None:
        """Write a result outside the folder, and remember it."""
        self.write(path, text)
        self._state["result"] = {path.name: digest(text.encode())}
        self.write(self._folder / _STATE, json.dumps(self._state, indent=1) + "\n")

    @staticmethod
    def write(path: Path, content: str | bytes) -> None:
        """All of it or nothing. Raises StoryboardError."""
        half = path.with_name(f".{path.name}.half")
        try:
            half.unlink(missing_ok=True)  # never through a link that somebody put there
            half.write_bytes(content.encode() if isinstance(content, str) else content)
            os.replace(half, path)
        except OSError as error:
            raise _refused(path, error) from None

    def _read_state(self) -> dict[str, dict[str, str]]:
        raw = self._bytes(self._folder / _STATE)
        try:
            state = json.loads(raw) if raw is not None else {}
        except ValueError:
            state = {}
        if not isinstance(state, dict) or not all(isinstance(v, dict) for v in state.values()):
            return {}
        return state

    def _bytes(self, path: Path) -> bytes | None:
        try:
            if not path.exists():
                return None
            if path.stat().st_size > MAX_STEP_BYTES:
                got = Verbatim(f"{path.stat().st_size} bytes")
                raise StoryboardError([problem(path.name, got, f"at most {MAX_STEP_BYTES}")])
            return path.read_bytes()
        except OSError as error:
            raise _refused(path, error) from None


def digest(*parts: bytes | str) -> str:
    """SHA-256 of parts, each with its length."""
    whole = hashlib.sha256()
    for part in parts:
        raw = part.encode() if isinstance(part, str) else part
        whole.update(len(raw).to_bytes(8, "big") + raw)
    return whole.hexdigest()


def _refused(path: Path, error: OSError) -> StoryboardError:
    reason = error.strerror or str(error)
    return StoryboardError([problem("", Verbatim(path), f"a place to write ({reason})")])
