"""The JSON file of a part: what each of its rows gave, written after every row.

Knows files, not measurements.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

DONE: Final = "done"
FAILED: Final = "failed"
NOT_RUN: Final = "not run"
RUNNING: Final = "running"
OUT_OF_TIME: Final = "out of time"


@dataclass(slots=True)
class Record:
    """What is known of one part.

    state: `done` if every row has a result; `failed` if one has an error; `not run` if one cannot
    be measured here; `out of time` if one was not asked yet; `running` while a process works on it.
    call: the call that worked on it last. row: the one that is running. why: of the whole part.
    rows: by name, `{"seconds", "result", "call"}`, `{"error", "call"}` or `{"not_run", "call"}`.
    """

    part: str
    device: str
    size: str
    state: str = OUT_OF_TIME
    call: str = ""
    row: str = ""
    why: str = ""
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)

    def has_result(self, name: str) -> bool:
        return "result" in self.rows.get(name, {})

    def has_failed(self, name: str) -> bool:
        return "error" in self.rows.get(name, {})

    def tried(self, name: str, call: str) -> bool:
        """Whether this call has asked it already, with whatever outcome."""
        return self.rows.get(name, {}).get("call") == call

    def settle(self, names: list[str]) -> None:
        """Sets the state after a call. names: of all rows of the part."""
        outcomes = [self.rows.get(name, {}) for name in names]
        self.row = ""
        if any("error" in outcome for outcome in outcomes):
            self.state = FAILED
        elif any("not_run" in outcome for outcome in outcomes):
            self.state = NOT_RUN
        else:
            self.state = DONE if all(outcomes) else OUT_OF_TIME


def file_of(folder: Path, part: str) -> Path:
    """Where a part's record lies."""
    return folder / f"{part}.json"


def read(folder: Path, part: str, device: str, size: str) -> Record:
    """The record in the folder, or a new one.

    Raises ValueError for a record of another device or size, whose figures must not be mixed.
    """
    file = file_of(folder, part)
    if not file.exists():
        return Record(part, device, size)
    kept = Record(**json.loads(file.read_text(encoding="utf-8")))
    if (kept.device, kept.size) != (device, size):
        raise ValueError(
            f"{file}: got figures of {kept.device}, {kept.size}, allowed {device}, {size}; "
            "take another folder"
        )
    return kept


def write(folder: Path, record: Record) -> None:
    """Replaces the file at once, so that a process that is killed leaves a whole one."""
    folder.mkdir(parents=True, exist_ok=True)
    file = file_of(folder, record.part)
    beside = file.with_suffix(".tmp")
    beside.write_text(json.dumps(asdict(record), indent=1) + "\n", encoding="utf-8")
    os.replace(beside, file)


def failed(error: str, call: str) -> Mapping[str, Any]:
    """The outcome of a row that failed."""
    return {"error": error, "call": call}
