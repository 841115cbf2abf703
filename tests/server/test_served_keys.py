"""The real server with keys and TLS: who may come in, whose storyboards are whose, and metrics."""

import os
import signal
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest
import trustme

from lafi.board.storyboard import Panel, Storyboard
from lafi.front.control import TlsFiles
from lafi.front.keys import Key, KeyFile, hash_of, write_keys
from lafi.server.exposure import Exposure
from lafi.server.supervisor import Supervisor
from lafi.store.settings import STORE
from lafi_client import StoryboardClient
from lafi_client.access import Access
from lafi_client.errors import NotAllowed, ServerUnavailable, StoryboardRefused, StoryboardUnknown

BOARD = Storyboard.model_validate(
    {
        "width": 32,
        "height": 32,
        "sampling": {"steps": 2},
        "panels": [{"prompt": "a child", "seed": seed} for seed in (61, 62)],
    }
)


class Guarded(NamedTuple):
    """A server that is reached with keys and TLS, and who signed its certificate."""

    server: Supervisor
    root: Path

    def client(self, key: str) -> StoryboardClient:
        """Of who has this key, without patience."""
        access = Access(key, tls_ca=self.root).options(self.server.client_url)
        return StoryboardClient(self.server.client_url, retries=0, **access)


@pytest.fixture(scope="module")
def guarded(served_repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp("guarded")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "root.pem")
    issued = authority.issue_cert("127.0.0.1")
    issued.private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
    entries = (
        Key(name="mia", sha256=hash_of("mia"), rights=("draw",)),
        Key(name="tom", sha256=hash_of("tom"), rights=("draw", "priority", "metrics")),
        Key(name="poor", sha256=hash_of("poor"), rights=("draw",), megapixel_steps=0.001),
        Key(name="none", sha256=hash_of("none")),
    )
    write_keys(folder / "keys.json", KeyFile(keys=entries))
    pem = str(folder / "server.pem")
    exposure = Exposure(folder / "keys.json", TlsFiles(certificate=pem, key=pem))
    environment = {STORE: str(folder / "store")}
    with Supervisor(
        served_repository, threads=1, exposure=exposure, environment=environment
    ) as running:
        yield Guarded(running, folder / "root.pem")


def test_keys_say_who_may_draw_and_nobody_else_is_heard(guarded: Guarded) -> None:
    with guarded.client("mia") as client:
        assert [panel.panel for panel in client.draw_all(BOARD)] == [0, 1]
    for key, text in (("none", 'lacks the right "draw"'), ("x", "does not know"), ("", "no keys")):
        with guarded.client(key) as client:
            assert client.ready(), "probes need no key"
            with pytest.raises(NotAllowed, match=text):
                client.draw_all(BOARD)
    plain = StoryboardClient(guarded.server.grpc_url, retries=0, api_key="mia")
    with plain, pytest.raises(ServerUnavailable):
        plain.draw_all(BOARD)


def test_the_model_knows_the_key_its_rights_and_its_budget(guarded: Guarded) -> None:
    first = BOARD.model_copy(update={"priority": 1})
    with ExitStack() as stack:
        mia, tom, poor = (stack.enter_context(guarded.client(k)) for k in ("mia", "tom", "poor"))
        with pytest.raises(NotAllowed, match='the key mia lacks the right "priority"'):
            mia.draw_all(first)
        assert len(tom.draw_all(first)) == 2
        with pytest.raises(StoryboardRefused, match=r"0\.001 for the key poor"):
            poor.draw_all(BOARD)


def test_a_storyboard_is_seen_and_cancelled_by_its_own_key(guarded: Guarded) -> None:
    panels = tuple(Panel(prompt="a child", seed=700 + number) for number in range(8))
    steps = {"stages": ({"steps": 60},)}
    long = Storyboard.model_validate(
        {"width": 64, "height": 64, "sampling": steps, "panels": panels, "detach": True}
    )
    with guarded.client("mia") as mia, guarded.client("tom") as tom:
        identifier = mia.submit(long)
        assert [entry.id for entry in mia.queue()] == [identifier[:8]]
        assert tom.queue() == []
        with pytest.raises(StoryboardUnknown):
            tom.cancel(identifier)
        with pytest.raises(StoryboardUnknown):
            list(tom.attach(identifier))
        mia.cancel(identifier)
        deadline = time.monotonic() + 30
        while mia.queue():
            assert time.monotonic() < deadline, "it goes on although its own key cancelled it"
            time.sleep(0.1)


def test_metrics_are_for_who_has_the_right_and_probes_for_all(guarded: Guarded) -> None:
    context = ssl.create_default_context(cafile=guarded.root)
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
    )

    def status(url: str, key: str = "") -> tuple[int, str]:
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {key}"})
        try:
            with opener.open(request, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    assert status(f"{guarded.server.health_url}/readyz")[0] == 200
    assert status(guarded.server.metrics_url)[0] == 401
    assert status(guarded.server.metrics_url, "mia")[0] == 403
    found, text = status(guarded.server.metrics_url, "tom")
    assert found == 200
    assert "lafi_ready 1" in text
    assert "nv_inference" in text


@pytest.mark.slow
def test_the_whole_server_draws_behind_envoy_which_is_started_again(
    served_repository: Path, tmp_path: Path
) -> None:
    pytest.importorskip("envoy")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "root.pem")
    for name in ("server.pem", "client.pem"):
        issued = authority.issue_cert("127.0.0.1")
        issued.private_key_and_cert_chain_pem.write_to_path(tmp_path / name)
    pem, root = str(tmp_path / "server.pem"), tmp_path / "root.pem"
    write_keys(
        tmp_path / "keys.json",
        KeyFile(keys=(Key(name="mia", sha256=hash_of("mia"), rights=("draw",)),)),
    )
    tls = TlsFiles(certificate=pem, key=pem, client_ca=str(root))
    exposure = Exposure(tmp_path / "keys.json", tls, envoy=True)
    access = Access("mia", root, tmp_path / "client.pem", tmp_path / "client.pem")
    with Supervisor(served_repository, threads=1, exposure=exposure) as server:
        with StoryboardClient(server.client_url, **access.options("")) as client:
            assert len(client.draw_all(BOARD)) == 2
            first = server.envoy_pid
            assert first is not None
            os.kill(first, signal.SIGKILL)
            assert len(client.draw_all(BOARD)) == 2, "the client comes back by itself"
            assert server.envoy_pid != first
            assert server.health().restarts == {"front": 0, "server": 0, "envoy": 1}
        with (
            pytest.raises(NotAllowed),
            StoryboardClient(
                server.client_url, **Access("", *_files(access)).options("")
            ) as stranger,
        ):
            stranger.draw_all(BOARD)
        last = server.envoy_pid
    assert last is not None
    assert not Path(f"/proc/{last}").exists()


def _files(access: Access) -> tuple[Path | None, Path | None, Path | None]:
    return access.tls_ca, access.tls_certificate, access.tls_key
