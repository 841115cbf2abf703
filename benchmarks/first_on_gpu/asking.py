"""Asks the rows of parts one after the other, in this process. Knows time and records.

A row that fails is written down and the next is asked. If the GPU does not answer after that, the
process ends with `BROKEN`, since nothing in it can be measured any more.
"""

import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.first_on_gpu import record as records
from benchmarks.first_on_gpu.plan import NotHere, Part, Row, Setting
from benchmarks.first_on_gpu.record import Record

BROKEN: Final = 3
"""Exit code of a process whose GPU does not answer any more."""

Alive = Callable[[], bool]


def gpu_answers() -> bool:
    """Whether the GPU still works after an error; True where torch is not loaded or has none."""
    torch: Any = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return True
    try:
        torch.cuda.synchronize()
    except RuntimeError:
        return False
    return True


def ask_all(
    plan: Sequence[Part],
    setting: Setting,
    folder: Path,
    call: str,
    seconds: float,
    alive: Alive = gpu_answers,
) -> int:
    """Asks what is not answered and was not tried in this call; 0, or `BROKEN`.

    seconds: after these no row begins. A part that takes longer than it may is ended by SIGALRM
    together with this process, also inside a kernel; the caller starts another.
    """
    end = time.monotonic() + seconds
    waiting = [
        (part, records.read(folder, part.name, setting.device, setting.size)) for part in plan
    ]
    # What failed in an earlier call comes last, since it may fail again.
    for part, record in sorted(waiting, key=lambda pair: pair[1].state == records.FAILED):
        if record.state == records.DONE or time.monotonic() >= end:
            continue
        # What is tried on a CPU may take as long as the machine's other work lets it.
        signal.setitimer(signal.ITIMER_REAL, part.seconds if setting.on_gpu else 0)
        try:
            if not _ask(part, record, setting, folder, call, end, alive):
                return BROKEN
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    return 0


def _ask(
    part: Part,
    record: Record,
    setting: Setting,
    folder: Path,
    call: str,
    end: float,
    alive: Alive,
) -> bool:
    """One part; False if nothing more can be asked in this process."""
    if record.call == call and record.why:
        return True
    record.state, record.call, record.why = records.RUNNING, call, ""
    records.write(folder, record)
    try:
        rows = part.load()(setting)
    except (ImportError, NotHere) as error:
        record.state, record.why = records.NOT_RUN, f"{type(error).__name__}: {error}"
    except Exception as error:
        record.state, record.why = records.FAILED, _text(error)
    else:
        living = _ask_rows(rows, record, folder, call, end, alive)
        record.settle([row.name for row in rows])
        records.write(folder, record)
        return living
    records.write(folder, record)
    return alive()


def _ask_rows(
    rows: Sequence[Row], record: Record, folder: Path, call: str, end: float, alive: Alive
) -> bool:
    """Rows without a result, those that failed before last; False if the GPU broke."""
    open_ = [row for row in rows if not record.has_result(row.name)]
    for row in sorted(open_, key=lambda row: record.has_failed(row.name)):
        if record.tried(row.name, call):
            continue
        if time.monotonic() >= end:
            return True
        record.row = row.name
        records.write(folder, record)
        record.rows[row.name] = _outcome(row, call)
        record.row = ""
        records.write(folder, record)
        if record.has_failed(row.name) and not alive():
            return False
    return True


def _outcome(row: Row, call: str) -> dict[str, Any]:
    started = time.monotonic()
    try:
        result = dict(row.answer())
    except NotHere as error:
        return {"not_run": str(error), "call": call}
    except Exception as error:
        return {**records.failed(_text(error), call)}
    return {"seconds": round(time.monotonic() - started, 2), "result": result, "call": call}


def _text(error: Exception) -> str:
    """The error in one text of at most 600 characters: CUDA's advice is long."""
    return f"{type(error).__name__}: {error}"[:600]
