"""A signal ends no process because OpenVINO took its stack away."""

import signal
import subprocess
import sys
import threading
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from lafi.engine.onnx.signal_stack import SS_DISABLE, kept_signal_stack, signal_stack

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="stack_t of Linux")

SIGNALLED = """
import os, signal, sys, threading
from pathlib import Path

heard = []
signal.signal(signal.SIGHUP, lambda *_: heard.append(1))
{opened}
other = threading.Thread(target=held.clear)
other.start()
other.join()
os.kill(os.getpid(), signal.SIGHUP)
assert heard == [1]
"""
OPENED = """
import numpy as np
from lafi.engine.onnx.graph import cpu_has_bf16, open_graph
cpu_has_bf16()
held = [open_graph(Path(sys.argv[1]), "openvino")]
held[0]({"x": np.ones(2, dtype=np.float32)})
"""
BARE = """
import openvino
held = [openvino.Core()]
held.append(held[0].compile_model(sys.argv[1], "CPU"))
"""


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [2]) for name in "xy"]
    nodes = [helper.make_node("Relu", ["x"], ["y"])]
    model = helper.make_model(helper.make_graph(nodes, "relu", ends[:1], ends[1:]))
    model.opset_import[0].version = 17
    model.ir_version = 8
    path = tmp_path / "relu.onnx"
    onnx.save(model, path)
    return path


def heed() -> None:
    """Started in the background, tests inherit ignored signals, and so would their children."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def exit_status(opened: str, graph: Path) -> int:
    code = SIGNALLED.format(opened=opened)
    command = [sys.executable, "-W", "ignore", "-c", code, str(graph)]
    return subprocess.run(command, timeout=120, preexec_fn=heed).returncode


def test_a_signal_after_another_thread_let_the_graph_go(graph: Path) -> None:
    assert exit_status(OPENED, graph) == 0


def test_openvino_alone_still_takes_the_stack(graph: Path) -> None:
    """Once it does not, `kept_signal_stack` can go."""
    assert exit_status(BARE, graph) == -signal.SIGSEGV


def test_the_stack_is_as_before() -> None:
    seen: list[tuple[int | None, int]] = []

    def look() -> None:
        with kept_signal_stack():
            pass
        stack = signal_stack()
        seen.append((stack.sp, stack.flags))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert seen == [(None, SS_DISABLE)]
