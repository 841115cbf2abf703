"""A real Envoy before a real front: TLS, mTLS, keys, limits, and unread streams."""

import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import grpc
import pytest
import trustme
from front_requests import STORY
from front_server import FrontServer, front_server
from tritonclient.grpc import service_pb2_grpc
from waiting import soon

from lafi.front.control import TlsFiles
from lafi.front.keys import Key, KeyFile, hash_of, write_keys
from lafi.server.envoy_config import FRONT_SOCKET, write_config
from lafi.server.envoy_process import EnvoyProcess, EnvoySettings, find_envoy
from lafi.server.free_ports import hold_ports
from lafi_client.access import Access
from lafi_client.client import StoryboardClient
from lafi_client.errors import LafiError, NotAllowed

pytest.importorskip("envoy")


class Guarded:
    """Envoy, the front behind it, and certificates of who may come."""

    def __init__(self, folder: Path, front: FrontServer, authority: trustme.CA, url: str) -> None:
        self.folder, self.front, self.authority, self.url = folder, front, authority, url

    def issue(self, name: str, authority: trustme.CA | None = None) -> str:
        """A file with a certificate and its key, renamed into place."""
        issued = (authority or self.authority).issue_cert("127.0.0.1")
        issued.private_key_and_cert_chain_pem.write_to_path(self.folder / f".{name}")
        (self.folder / f".{name}").replace(self.folder / name)
        return str(self.folder / name)

    def access(self, certificate: str = "client.pem", root: str = "root.pem") -> Access:
        """Of a client with a certificate and the key `mia`."""
        pair = self.folder / certificate
        return Access("mia", self.folder / root, pair, pair)

    def client(self, access: Access) -> StoryboardClient:
        """Without patience."""
        return StoryboardClient(self.url, retries=0, **access.options(self.url))


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def guarded() -> Iterator[Guarded]:
    authority = trustme.CA()
    with TemporaryDirectory(prefix="lafi") as name:
        folder = Path(name)
        authority.cert_pem.write_to_path(folder / "root.pem")
        keys = KeyFile(keys=(Key(name="mia", sha256=hash_of("mia"), rights=("draw",)),))
        write_keys(folder / "keys.json", keys)
        settings = {"keys": str(folder / "keys.json"), "address": f"unix:{folder / FRONT_SOCKET}"}
        with (
            front_server(folder, unread_seconds=2.0, **settings) as front,
            hold_ports("127.0.0.1", {"grpc": 0}) as held,
        ):
            port = held.numbers["grpc"]
            made = Guarded(folder, front, authority, f"grpcs://127.0.0.1:{port}")
            pem = made.issue("server.pem")
            made.issue("client.pem")
            tls = TlsFiles(certificate=pem, key=pem, client_ca=str(folder / "root.pem"))
            log = folder / "log"
            envoy = EnvoyProcess(
                EnvoySettings(find_envoy(), "localhost", port, tls), "lafi-test", folder, log
            )
            try:
                soon(lambda: envoy.trouble() is not None or listens(port))
                assert envoy.trouble() is None, log.read_text()
                yield made
            finally:
                envoy.stop()


def test_who_has_a_certificate_and_a_key_is_answered(guarded: Guarded) -> None:
    with guarded.client(guarded.access()) as client:
        assert client.ready()
        assert client.queue() == []
    (passed,) = guarded.front.triton.received[-1:]
    assert '"mia"' in passed.parameters["lafi_caller"].string_param
    unknown = guarded.client(Access("x", *_files(guarded.access())))
    with unknown, pytest.raises(NotAllowed, match="does not know the key"):
        unknown.queue()


def _files(access: Access) -> tuple[Path | None, Path | None, Path | None]:
    return access.tls_ca, access.tls_certificate, access.tls_key


def test_nobody_else_is_heard(guarded: Guarded) -> None:
    stranger = trustme.CA()
    stranger.cert_pem.write_to_path(guarded.folder / "other.pem")
    guarded.issue("stranger.pem", stranger)
    before = len(guarded.front.triton.received)
    for access in (
        Access("mia", guarded.folder / "root.pem"),
        guarded.access("stranger.pem"),
        guarded.access(root="other.pem"),
    ):
        with guarded.client(access) as client, pytest.raises(LafiError):
            client.queue()
    plain = StoryboardClient(guarded.url.removeprefix("grpcs://"), retries=0, api_key="mia")
    with plain, pytest.raises(LafiError):
        plain.queue()
    assert len(guarded.front.triton.received) == before


def test_a_new_certificate_counts_without_a_restart(guarded: Guarded) -> None:
    second = trustme.CA()
    second.cert_pem.write_to_path(guarded.folder / "second.pem")

    def answered() -> bool:
        with guarded.client(guarded.access(root="second.pem")) as client:
            return client.ready()

    assert not answered()
    guarded.issue("server.pem", second)
    soon(answered)
    guarded.issue("server.pem")
    soon(lambda: not answered())


def test_headers_have_a_limit(guarded: Guarded) -> None:
    credentials = guarded.access().options(guarded.url)["credentials"]
    assert credentials is not None
    target = guarded.url.removeprefix("grpcs://")
    with grpc.secure_channel(target, credentials) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        headers = [("authorization", "Bearer mia")]
        large = [*headers, ("x-large", "a" * 20_000)]
        with pytest.raises(grpc.RpcError) as refused:
            list(stub.ModelStreamInfer(iter([STORY]), metadata=large, timeout=10))
        assert refused.value.code() is not grpc.StatusCode.DEADLINE_EXCEEDED
        answers = list(stub.ModelStreamInfer(iter([STORY]), metadata=headers, timeout=10))
        assert len(answers) == 1


@pytest.mark.parametrize("tls", [None, TlsFiles(certificate="a", key="b", client_ca="c")])
def test_envoy_itself_finds_no_fault_with_the_configuration(tmp_path: Path, tls: Any) -> None:
    path = write_config(tmp_path, "127.0.0.1", 1, tls)
    command = [str(find_envoy()), "--mode", "validate", "--config-path", str(path)]
    said = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert said.returncode == 0, said.stderr
    assert "deprecated" not in said.stderr.lower()
