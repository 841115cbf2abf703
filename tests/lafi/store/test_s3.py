"""The store behind a real S3-compatible server process."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import s3fs

from lafi.store.leases import Leases
from lafi.store.panels import PanelStore, open_store
from lafi.store.record import Facts, Record

RECORD = Record(Facts(address="ab" * 32, seed=1, references=("cd" * 32,)), bytes(300_000))


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while True:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        assert server.poll() is None, "it has ended"
        assert time.monotonic() < deadline, "it does not start"
        time.sleep(0.1)
    yield f"http://127.0.0.1:{port}"
    server.kill()
    server.wait()


@pytest.fixture
def bucket(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "NO_PROXY": "127.0.0.1",
    }.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    s3fs.S3FileSystem().mkdir("lafi-test")
    return "s3://lafi-test/panels"


def test_two_servers_share_a_bucket(bucket: str, tmp_path: Path) -> None:
    stores: list[PanelStore] = [open_store(bucket, tmp_path / name) for name in ("one", "two")]
    one, two = stores
    assert one.get(RECORD.facts.address) is None
    one.put(RECORD)
    assert two.get(RECORD.facts.address) == RECORD
    leases = [Leases(store.place, owner=f"server {n}") for n, store in enumerate(stores)]
    assert leases[0].take("a")
    assert not leases[1].take("a")
    leases[0].release("a")
    assert leases[1].take("a")
    assert [*two.check()] == [], "a lease is no damaged panel"
    assert two.forget("cd" * 32) == 1
    assert one.get(RECORD.facts.address) is None
    for each in (*leases, *stores):
        each.close()
