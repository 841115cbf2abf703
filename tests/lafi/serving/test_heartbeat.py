import threading
import time
from pathlib import Path

from lafi.server.vital_signs import Beat, read_beat
from lafi.serving.heartbeat import Heartbeat


def test_the_supervisor_reads_what_the_model_writes(tmp_path: Path) -> None:
    path, said = tmp_path / "heartbeat", [3, 1]
    beating = Heartbeat(path, lambda: (said[0], said[1]), every=0.01)
    for steps in (3, 4):
        said[0] = steps
        deadline = time.monotonic() + 10
        while read_beat(path) != Beat(steps, 1):
            assert time.monotonic() < deadline
            time.sleep(0.005)
    beating.close()
    path.unlink()
    time.sleep(0.05)
    assert not path.exists(), "it has ended"


def test_a_run_that_is_over_ends_it(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    beating = Heartbeat(folder / "heartbeat", lambda: (1, 1), every=0.001)
    time.sleep(0.05)
    beating.close()
    assert not folder.exists()


def test_without_a_supervisor_nothing_is_written() -> None:
    beating = Heartbeat(None, lambda: (1, 1))
    assert "heartbeat" not in [thread.name for thread in threading.enumerate()]
    beating.close()
