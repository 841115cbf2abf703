"""A killed group of processes is gone, also where its orphans are ours."""

import subprocess
import sys

# As process 1 of a container: it is given every orphan, and nobody else asks for their ends.
AS_PROCESS_ONE = """
import ctypes, os, signal, subprocess, sys
from lafi.server import processes
PR_SET_CHILD_SUBREAPER = 36
assert ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
code = "import subprocess as s; c = s.Popen(['sleep', '60']); print(c.pid, flush=True); c.wait()"
leader = subprocess.Popen(
    [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, start_new_session=True
)
other = subprocess.Popen(["sleep", "60"], start_new_session=True)
child = int(leader.stdout.readline())
os.killpg(leader.pid, signal.SIGKILL)
leader.wait()
processes.wait_for_group(leader.pid, 20.0)
print(processes.state_of(child) or "gone", other.poll())
other.kill()
print(other.wait())
"""


def test_orphans_of_a_killed_group_leave_no_dead_behind() -> None:
    """And no other child's end is taken from who waits for it."""
    said = subprocess.run(
        [sys.executable, "-c", AS_PROCESS_ONE], capture_output=True, text=True, timeout=60
    )
    assert said.returncode == 0, said.stderr
    assert said.stdout.splitlines() == ["gone None", "-9"]
