import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path

import psutil
import pytest

from lafi.front.control import PeerSettings
from lafi.model.info import REPOSITORY_FORMAT
from lafi.server.free_ports import PortTakenError
from lafi.server.supervisor import Supervisor
from lafi.server.triton_server import (
    RepositoryError,
    ServerFailedError,
    check_gives_named_ids,
    find_models,
    server_environment,
)
from model_infos import save_facts

CONFIG = """
backend: "python"
max_batch_size: 0
input [{ name: "X" data_type: TYPE_FP32 dims: [1] }]
output [{ name: "Y" data_type: TYPE_FP32 dims: [1] }]
"""
MODEL = """
class TritonPythonModel:
    def initialize(self, args):
        {initialize}
    def execute(self, requests):
        return []
"""


def write_model(repository: Path, name: str = "storyboard", initialize: str = "pass") -> Path:
    folder = repository / "models" / name
    (folder / "1").mkdir(parents=True)
    (folder / "config.pbtxt").write_text(CONFIG)
    (folder / "1" / "model.py").write_text(MODEL.format(initialize=initialize))
    return save_facts(repository)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]


def group_of(pid: int) -> list[int]:
    """Processes in the group that `pid` leads, itself included."""
    found = subprocess.run(["ps", "-eo", "pid=,pgid="], capture_output=True, text=True, check=True)
    pairs = (map(int, line.split()) for line in found.stdout.splitlines())
    return [process for process, group in pairs if group == pid]


def shared_memory_of(server: Supervisor) -> list[Path]:
    return list(Path("/dev/shm").glob(server.shared_memory_prefix + "*"))


def gone(pids: list[int], seconds: float = 20) -> bool:
    deadline = time.monotonic() + seconds
    while any(alive(pid) for pid in pids):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


@pytest.fixture(autouse=True)
def own_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a failed server leaves behind goes with the test, also from a process of its own."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return write_model(tmp_path / "repository")


events: list[str] = []


@pytest.fixture(scope="module")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Supervisor]:
    """For tests that leave it running."""
    repository = write_model(tmp_path_factory.mktemp("shared"))
    with Supervisor(repository, on_event=events.append) as running:
        yield running


@pytest.fixture(scope="module")
def http_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Supervisor]:
    with Supervisor(write_model(tmp_path_factory.mktemp("http")), http_port=0) as running:
        yield running


def soon(is_so: Callable[[], bool], seconds: float = 5) -> bool:
    """Whether it becomes so within these seconds."""
    deadline = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


@pytest.fixture
def server(repository: Path) -> Iterator[Supervisor]:
    with Supervisor(repository) as running:
        yield running


def test_a_server_is_ready_when_it_started_and_leaves_nothing_when_it_stops(
    server: Supervisor,
) -> None:
    assert server.is_ready()
    assert server.models == ("storyboard",)
    assert server.pid is not None
    group = group_of(server.pid)
    assert len(group) >= 2, "the server and the process of its model"
    assert shared_memory_of(server)
    folder = server.raw_log.parent
    front, watchdog = server.front_pid, server.watchdog_pid
    assert front is not None
    assert watchdog is not None
    server.stop()
    assert gone([*group, front, watchdog], 1)
    assert shared_memory_of(server) == []
    assert not folder.exists()
    server.stop()


def page(server: Supervisor, path: str, method: str = "GET") -> tuple[int, str]:
    request = urllib.request.Request(server.health_url + path, method=method)
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_the_pages_say_what_the_supervisor_has_seen(shared_server: Supervisor) -> None:
    assert page(shared_server, "/livez")[0] == 200
    status, text = page(shared_server, "/readyz")
    assert (status, json.loads(text)) == (200, {"ready": True, "in_flight": 0, "why": ""})
    status, text = page(shared_server, "/metrics")
    assert status == 200
    assert "lafi_ready 1\n" in text
    assert 'lafi_restarts_total{part="server"} 0\n' in text
    assert "nv_inference_request_success" in text, "Triton Server's own numbers"
    assert page(shared_server, "/drain")[0] == 405
    assert page(shared_server, "/elsewhere") == (
        404,
        "allowed: /livez, /readyz, /metrics, POST /drain\n",
    )


def test_http_is_closed_unless_it_is_asked_for(shared_server: Supervisor) -> None:
    assert shared_server.http_url is None
    assert shared_server.pid is not None
    sockets = psutil.Process(shared_server.pid).net_connections("inet")
    listening = [each.laddr.ip for each in sockets if each.status == psutil.CONN_LISTEN]
    assert listening == ["127.0.0.1"], "its metrics alone"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v2/logging", b'{"log_file": "/dev/null"}'),
        ("/v2/repository/index", b"{}"),
        ("/v2/trace/setting", b"{}"),
        ("/v2/systemsharedmemory/region/x/register", b'{"key": "/x", "byte_size": 1}'),
    ],
)
def test_what_could_write_files_or_map_memory_is_closed(
    http_server: Supervisor, path: str, body: bytes
) -> None:
    request = urllib.request.Request(f"{http_server.http_url}{path}", data=body)
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request)
    assert refused.value.code == 403
    assert "restricted" in refused.value.read().decode()


def stop(pid: int) -> None:
    os.kill(pid, signal.SIGSTOP)


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize(
    ("part", "harm", "text"),
    [
        ("server", kill, "Triton Server was ended by SIGKILL"),
        ("server", stop, "Triton Server was stopped"),
        ("model", kill, "the process of the model storyboard died"),
        ("model", stop, "the process of the model storyboard was stopped"),
        ("front", kill, "the front ended with code -9"),
        ("front", stop, "the front was stopped"),
    ],
)
def test_a_part_that_dies_or_stops_is_started_again(
    shared_server: Supervisor, part: str, harm: Callable[[int], None], text: str
) -> None:
    assert shared_server.pid is not None
    models = [pid for pid in group_of(shared_server.pid) if pid != shared_server.pid]
    pids = {"server": shared_server.pid, "model": models[0], "front": shared_server.front_pid}
    before = sum(shared_server.health().restarts.values())
    events.clear()
    harm(pids[part])
    assert soon(lambda: not shared_server.is_ready())
    assert soon(shared_server.is_ready, 60)
    assert sum(shared_server.health().restarts.values()) == before + 1
    assert text in events[0]
    assert gone([pids[part]], 1), "nothing of the earlier life is left"


def test_a_watchdog_that_is_killed_is_replaced(shared_server: Supervisor) -> None:
    before = shared_server.watchdog_pid
    assert before is not None
    kill(before)
    assert soon(lambda: shared_server.watchdog_pid != before)
    assert shared_server.is_ready()


def test_nothing_outlives_a_supervisor_that_is_killed(repository: Path, tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path\n"
        "from lafi.server.supervisor import Supervisor\n"
        "server = Supervisor(Path(sys.argv[1])); server.start()\n"
        "print(server.pid, server.front_pid, flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", code, str(repository)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as supervisor:
        assert supervisor.stdout is not None
        server, front = map(int, supervisor.stdout.readline().split())
        pids = [*group_of(server), front]
        assert len(pids) == 3
        supervisor.kill()
    assert gone(pids)
    assert soon(lambda: list(tmp_path.glob("lafi-*")) == [])
    assert list(Path("/dev/shm").glob(f"lafi-{supervisor.pid}-*")) == []


def test_a_model_that_does_not_load_is_named_with_its_error(tmp_path: Path) -> None:
    repository = write_model(tmp_path, initialize="raise ValueError('no denoiser.onnx here')")
    log = tmp_path / "log" / "raw.log"
    server = Supervisor(repository, log_file=log)
    with pytest.raises(ServerFailedError) as failed:
        server.start()
    assert "ended with code 1; its log" in str(failed.value)
    assert "model storyboard did not load: ValueError: no denoiser.onnx here" in str(failed.value)
    assert str(log) in str(failed.value)
    assert "no denoiser.onnx" in log.read_text()
    assert shared_memory_of(server) == []


def test_a_model_that_never_gets_ready_is_given_up(tmp_path: Path) -> None:
    repository = write_model(tmp_path, initialize="import time; time.sleep(60)")
    server = Supervisor(repository, startup_seconds=1.5, stop_timeout=1)
    with pytest.raises(ServerFailedError, match="was not ready after 2 s; its log"):
        server.start()
    assert shared_memory_of(server) == []


def test_a_start_can_be_called_off(tmp_path: Path) -> None:
    repository = write_model(tmp_path, initialize="import time; time.sleep(60)")
    server = Supervisor(repository, stop_timeout=1)
    server.start(cancelled=lambda: True)
    assert not server.is_ready()
    server.stop()
    assert shared_memory_of(server) == []


def test_a_port_in_use_is_named(shared_server: Supervisor, repository: Path) -> None:
    port = shared_server.ports["grpc"]
    with pytest.raises(PortTakenError, match=f"port {port} on 127.0.0.1 is taken"):
        Supervisor(repository, grpc_port=port).start()


def test_a_folder_that_is_no_repository_says_how_to_write_one(tmp_path: Path) -> None:
    missing = tmp_path / "nowhere"
    with pytest.raises(RepositoryError, match=f"no model repository at {missing}; write one with"):
        find_models(missing)
    with pytest.raises(RepositoryError, match=r"needs the model models/storyboard, and has none"):
        find_models(tmp_path)
    write_model(tmp_path, "other")
    with pytest.raises(RepositoryError, match=r"and has only other; write one with: lafi export"):
        find_models(tmp_path)
    write_model(tmp_path)
    (tmp_path / "models/storyboard/1/model.py").unlink()
    (tmp_path / "models/storyboard/1").rmdir()
    with pytest.raises(RepositoryError, match="has no version folder 1"):
        find_models(tmp_path)


def test_a_config_that_is_no_text_is_named(tmp_path: Path) -> None:
    write_model(tmp_path)
    config = tmp_path / "models/storyboard/config.pbtxt"
    config.write_bytes(b'backend: "\xd6\x41"')
    with pytest.raises(RepositoryError, match=f"{config} cannot be read: .*; write one with"):
        find_models(tmp_path)


@pytest.mark.parametrize("written", [None, 0, "1", True])
def test_a_repository_of_another_format_is_refused_before_anything_starts(
    written: object, repository: Path, tmp_path: Path
) -> None:
    file = repository / "artifacts" / "lafi.json"
    facts = json.loads(file.read_text())
    facts |= {"format": written}
    file.write_text(json.dumps(facts))
    before = set(tmp_path.iterdir())
    server = Supervisor(repository)
    with pytest.raises(RepositoryError, match=rf"got .*, allowed {REPOSITORY_FORMAT}; .*lafi exp"):
        server.start()
    assert set(tmp_path.iterdir()) == before
    assert (server.front_pid, server.pid, server.watchdog_pid) == (None, None, None)


def test_the_environment_puts_this_python_first_and_keeps_idle_threads_quiet() -> None:
    environment = server_environment(3, (Path("/wheel"), Path("/python")), {"EXTRA": "1"})
    assert environment["PATH"].split(os.pathsep)[0] == str(Path(sys.executable).parent)
    assert environment["LD_LIBRARY_PATH"].split(os.pathsep)[:2] == ["/wheel", "/python"]
    expected = {
        "OMP_NUM_THREADS": "3",
        "LAFI_THREADS": "3",
        "OMP_WAIT_POLICY": "PASSIVE",
        "GOMP_SPINCOUNT": "0",
        "EXTRA": "1",
    }
    assert {name: environment[name] for name in expected} == expected


def test_with_a_name_only_this_versions_adapter_is_served(tmp_path: Path) -> None:
    """An earlier one gives out ids that no other server of the set passes on."""
    write_model(tmp_path)
    with pytest.raises(RepositoryError, match=r"--pod: got .* export it again"):
        Supervisor(tmp_path, peers=PeerSettings(pod="lafi-main-0")).start()
    adapter = tmp_path / "models" / "storyboard" / "1" / "model.py"
    adapter.write_bytes((files("lafi_repository") / "storyboard/1/model.py").read_bytes())
    check_gives_named_ids(tmp_path)


@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where servers of this test alone look for each other."""
    folder = tmp_path / "shm"
    folder.mkdir()
    monkeypatch.setattr("lafi.server.supervisor.SHARED_MEMORY", folder)
    return folder


def test_a_start_removes_what_a_killed_server_left(tmp_path: Path, memory: Path) -> None:
    write_model(tmp_path)
    (memory / "lafi-1-0123abcd.lives").write_bytes(b"")
    (memory / "lafi-1-0123abcd-region").write_bytes(b"")
    said: list[str] = []
    with Supervisor(tmp_path, canary_seconds=0, on_event=said.append) as server:
        assert said == ["removed what the server lafi-1-0123abcd left, which was killed"]
        assert [file.name for file in memory.iterdir()] == [f"{server.name}.lives"]
    assert list(memory.iterdir()) == []


def test_a_start_that_fails_early_leaves_nothing(
    tmp_path: Path, memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_model(tmp_path)

    def fail(**_: object) -> str:
        raise OSError("no space left")

    monkeypatch.setattr("lafi.server.supervisor.tempfile.mkdtemp", fail)
    with pytest.raises(OSError, match="no space left"):
        Supervisor(tmp_path).start()
    assert list(memory.iterdir()) == []
