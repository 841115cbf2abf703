import io
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from rich.console import Console

from lafi.server import command as serve
from model_infos import save_facts

MODEL = """
class TritonPythonModel:
    def execute(self, requests):
        return []
"""
CONFIG = """
backend: "python"
input [{ name: "X" data_type: TYPE_FP32 dims: [1] }]
output [{ name: "Y" data_type: TYPE_FP32 dims: [1] }]
"""
COMMAND = (
    "import sys; from pathlib import Path; from lafi.server.command import serve_command\n"
    "from lafi.server.serve_settings import ServeSettings\n"
    "from lafi.server.exposure import Exposure\n"
    "asked = ServeSettings(sys.argv[2], 0, 0, 0 if sys.argv[2] == '0.0.0.0' else None,"
    "                      exposure=Exposure(insecure=True))\n"
    "sys.exit(serve_command(Path(sys.argv[1]), asked))"
)


@pytest.fixture(autouse=True)
def own_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a failed server leaves behind goes with the test, also from a process of its own."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository" / "models" / "storyboard"
    (folder / "1").mkdir(parents=True)
    (folder / "config.pbtxt").write_text(CONFIG)
    (folder / "1" / "model.py").write_text(MODEL)
    return save_facts(tmp_path / "repository")


@pytest.mark.parametrize(
    ("number", "host", "warned"),
    [(signal.SIGTERM, "127.0.0.1", False), (signal.SIGINT, "0.0.0.0", True)],
)
def test_it_says_where_it_listens_and_stops_when_asked(
    repository: Path, number: signal.Signals, host: str, warned: bool
) -> None:
    command = [sys.executable, "-c", COMMAND, str(repository), host]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as serving:
        assert serving.stdout is not None
        said: list[str] = []
        while "stop with Ctrl-C" not in "".join(said[-1:]):
            line = serving.stdout.readline()
            assert line, f"it ended early: {said}"
            said.append(line)
        os.kill(serving.pid, number)
        said += serving.stdout.readlines()
    text = "".join(said)
    assert serving.returncode == 0, text
    assert f"gRPC     {host}:" in text
    assert (f"HTTP     http://{host}:" in text) == warned, "only where it was asked for"
    assert f"health   http://{host}:" in text
    assert "models   storyboard" in text
    assert "lafi draw story.yaml --url" in text
    assert ("is not loopback" in text) == warned
    assert text.endswith("stopping ...\nstopped\n")


def test_an_expected_failure_is_one_clear_line(tmp_path: Path) -> None:
    output = io.StringIO()
    code = serve.serve_command(tmp_path / "nowhere", console=Console(file=output, width=200))
    assert code == 1
    assert "error: there is no model repository at" in output.getvalue()
    assert "lafi export CHECKPOINT --out REPOSITORY" in output.getvalue()
    assert "Traceback" not in output.getvalue()
