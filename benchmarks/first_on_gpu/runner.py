"""Runs the plan in processes of its own, so that a crash or a hang costs one row.

Knows processes and records, not what is measured.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks.first_on_gpu import record as records
from benchmarks.first_on_gpu.plan import Part, Setting

LAST_ROW_S: Final = 20.0
"""No row begins in the last seconds of a call: it would be ended before it is answered."""


def environment(setting: Setting) -> dict[str, str]:
    """Of the process that measures. On a CPU the kernel runs in Triton-lang's interpreter."""
    found = {**os.environ, "HF_HUB_OFFLINE": "1"}
    if not setting.on_gpu:
        # Idle threads that spin take the cores from those that compute.
        found |= {"TRITON_INTERPRET": "1", "OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}
    return found


def run(
    plan: Sequence[Part],
    setting: Setting,
    folder: Path,
    seconds: float,
    command: Sequence[str] = (sys.executable, "-m", "benchmarks.first_on_gpu", "--asking"),
) -> None:
    """Asks the whole plan within `seconds`; a process that dies is followed by another.

    command: what asks; it gets device, size, folder, call, seconds and the names of the parts.
    """
    end, call = time.monotonic() + seconds, f"{time.time():.3f}"
    while (left := end - time.monotonic()) > min(LAST_ROW_S, seconds / 2):
        before = _asked(plan, setting, folder, call)
        code, said = _one_process(plan, setting, folder, call, left, command)
        if code == 0:
            return
        _blame(plan, setting, folder, call, code, said)
        if _asked(plan, setting, folder, call) == before:
            # It died before it asked anything, and the next one would, too.
            raise RuntimeError(f"the process that measures ended with {code}: {said}")


def _one_process(
    plan: Sequence[Part],
    setting: Setting,
    folder: Path,
    call: str,
    left: float,
    command: Sequence[str],
) -> tuple[int, str]:
    """The exit code and the end of what it said on stderr."""
    names = [part.name for part in plan]
    asked = max(left - LAST_ROW_S, left / 2)
    arguments = [setting.device, setting.size, str(folder), call, str(asked), *names]
    with tempfile.TemporaryFile() as errors:
        try:
            code = subprocess.run(
                [*command, *arguments], env=environment(setting), stderr=errors, timeout=left
            ).returncode
        except subprocess.TimeoutExpired:
            code = -signal.SIGKILL
        errors.seek(0)
        said = errors.read().decode(errors="replace")
    sys.stderr.write(said)
    return code, said[-400:].strip()


def _asked(plan: Sequence[Part], setting: Setting, folder: Path, call: str) -> int:
    """How many parts and rows this call has asked so far."""
    kept = [records.read(folder, part.name, setting.device, setting.size) for part in plan]
    outcomes = [outcome for record in kept for outcome in record.rows.values()]
    return sum(thing == call for thing in [r.call for r in kept] + [o["call"] for o in outcomes])


def _blame(
    plan: Sequence[Part], setting: Setting, folder: Path, call: str, code: int, said: str
) -> None:
    """Writes down the row, or the part before its first row, in which a process died."""
    for part in plan:
        record = records.read(folder, part.name, setting.device, setting.size)
        if record.state != records.RUNNING:
            continue
        ended = {-signal.SIGALRM: f"longer than the {part.seconds:g} s of the part"}
        ended[-signal.SIGKILL] = "ended, because the time of the call was over"
        why = ended.get(code, f"the process ended with {code}: {said}")
        if record.row:
            record.rows[record.row] = {**records.failed(why, call)}
        else:
            record.why = why
        record.state, record.row = records.FAILED, ""
        records.write(folder, record)
