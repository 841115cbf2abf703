"""TLS with real certificates: who is not known is not heard, and new files count without a stop."""

import logging
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
import trustme
from front_server import front_server

from lafi.front.control import FrontSettings, TlsFiles
from lafi.front.door import door_of
from lafi.front.keys import Key, KeyFile, hash_of, write_keys
from lafi.server.health_pages import Health, HealthPages
from lafi_client.access import Access
from lafi_client.client import StoryboardClient
from lafi_client.errors import LafiError, ServerUnavailable


class Authority:
    """Signs certificates into a folder."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder, self.name = folder, name
        self.ca = trustme.CA()
        self.root = folder / f"{name}.ca.pem"
        self.ca.cert_pem.write_to_path(self.root)

    def files(self, name: str, client_ca: Path | None = None) -> TlsFiles:
        """A certificate for localhost, or anew under the same file names."""
        issued = self.ca.issue_cert("localhost", "127.0.0.1")
        certificate, key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        part = certificate.with_suffix(".part")
        part.write_bytes(b"".join(pem.bytes() for pem in issued.cert_chain_pems))
        key.with_suffix(".kpart").write_bytes(issued.private_key_pem.bytes())
        key.with_suffix(".kpart").replace(key)
        part.replace(certificate)
        root = str(client_ca) if client_ca else ""
        return TlsFiles(certificate=str(certificate), key=str(key), client_ca=root)


@pytest.fixture
def authority(tmp_path: Path) -> Callable[[str], Authority]:
    return lambda name: Authority(tmp_path, name)


def asks(port: int, access: Access) -> str:
    """ "" if the server answered, else the error."""
    url = f"grpcs://localhost:{port}"
    with StoryboardClient(url, retries=0, **access.options(url)) as client:
        try:
            client.queue()
        except LafiError as error:
            assert isinstance(error, ServerUnavailable), error
            assert not error.retryable, "another try would fail as well"
            return str(error)
    return ""


def test_only_who_checks_the_certificate_and_speaks_tls_is_answered(
    authority: Callable[[str], Authority], short_folder: Path
) -> None:
    ours, others = authority("ours"), authority("others")
    with front_server(short_folder, tls=ours.files("server")) as front:
        assert asks(front.port, Access(tls_ca=ours.root)) == ""
        assert "is --tls-ca the file" in asks(front.port, Access(tls_ca=others.root))
        assert "is --tls-ca the file" in asks(front.port, Access())
        with (
            StoryboardClient(front.url, retries=0) as plain,
            pytest.raises(ServerUnavailable),
        ):
            plain.queue()


def test_with_a_client_authority_only_its_clients_are_heard(
    authority: Callable[[str], Authority], short_folder: Path
) -> None:
    ours, others = authority("ours"), authority("others")
    known, unknown = ours.files("client"), others.files("stranger")

    def access(files: TlsFiles) -> Access:
        return Access("", ours.root, Path(files.certificate), Path(files.key))

    with front_server(short_folder, tls=ours.files("server", client_ca=ours.root)) as front:
        assert asks(front.port, access(known)) == ""
        with (
            StoryboardClient(
                f"grpcs://localhost:{front.port}",
                retries=0,
                **Access(tls_ca=ours.root).options("grpcs://"),
            ) as client,
            pytest.raises(LafiError),
        ):
            client.queue()
        with (
            StoryboardClient(
                f"grpcs://localhost:{front.port}", retries=0, **access(unknown).options("grpcs://")
            ) as client,
            pytest.raises(LafiError),
        ):
            client.queue()
        assert len(front.triton.received) == 1


def test_new_files_count_for_new_connections_and_broken_ones_do_not(
    authority: Callable[[str], Authority],
    short_folder: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    first, second = authority("first"), authority("second")
    files = first.files("server")
    with front_server(short_folder, tls=files) as front, caplog.at_level(logging.WARNING):
        assert asks(front.port, Access(tls_ca=first.root)) == ""
        assert second.files("server") == files
        assert asks(front.port, Access(tls_ca=second.root)) == ""
        assert asks(front.port, Access(tls_ca=first.root)) != ""
        assert "the certificate has changed and was read" in caplog.text
        Path(files.key).write_text("broken")
        assert asks(front.port, Access(tls_ca=second.root)) == ""
        assert "the certificate from before stays in use" in caplog.text
        Path(files.key).unlink()
        assert asks(front.port, Access(tls_ca=second.root)) == ""
        first.files("server")
        assert asks(front.port, Access(tls_ca=first.root)) == ""


@pytest.fixture
def pages(
    authority: Callable[[str], Authority], tmp_path: Path
) -> Iterator[tuple[str, Authority, TlsFiles]]:
    ours = authority("ours")
    files = ours.files("server", client_ca=ours.root)
    entries = [Key(name=r, sha256=hash_of(r), rights=(r,)) for r in ("draw", "metrics")]
    write_keys(tmp_path / "keys.json", KeyFile(keys=tuple(entries)))
    settings = FrontSettings(
        address="",
        artifacts="",
        request_bytes=1,
        canary_seconds=0,
        keys=str(tmp_path / "keys.json"),
        tls=files,
    )
    shown = HealthPages(
        "127.0.0.1",
        0,
        lambda: Health(True, True, "", 0, {}),
        lambda: None,
        lambda: "",
        door_of(settings),
        files,
    )
    shown.start()
    yield f"https://localhost:{shown.port}", ours, files
    shown.stop()


def fetched(url: str, authority: Authority, key: str = "") -> tuple[int, str]:
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}),
        urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=authority.root)),
    )
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        with opener.open(urllib.request.Request(url, headers=headers), timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def test_probes_need_no_key_and_metrics_need_theirs(
    pages: tuple[str, Authority, TlsFiles],
) -> None:
    url, ours, _ = pages
    for page in ("/livez", "/readyz"):
        assert fetched(url + page, ours)[0] == 200
    assert fetched(url + "/metrics", ours)[0] == 401
    assert fetched(url + "/metrics", ours, "nobody")[0] == 401
    status, text = fetched(url + "/metrics", ours, "draw")
    assert (status, 'lacks the right "metrics"' in text) == (403, True)
    status, text = fetched(url + "/metrics", ours, "metrics")
    assert (status, "lafi_ready 1" in text) == (200, True)


def test_the_pages_follow_the_files_too(
    pages: tuple[str, Authority, TlsFiles], authority: Callable[[str], Authority]
) -> None:
    url, ours, _ = pages
    second = authority("second")
    second.files("server")
    assert fetched(url + "/livez", second)[0] == 200
    with pytest.raises(urllib.error.URLError):
        fetched(url + "/livez", ours)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with pytest.raises((urllib.error.URLError, OSError)):
        opener.open(url.replace("https", "http") + "/livez", timeout=10)
    assert fetched(url + "/livez", second)[0] == 200


def test_the_credentials_of_grpc_are_those_of_the_files(
    authority: Callable[[str], Authority],
) -> None:
    files = authority("ours").files("server")
    credentials = Access(tls_ca=Path(files.certificate)).options("host:1")["credentials"]
    assert isinstance(credentials, grpc.ChannelCredentials)
    assert Access().options("host:1")["credentials"] is None
    with pytest.raises(ValueError, match=r"none\.pem: No such file"):
        Access(tls_ca=Path("none.pem")).options("host:1")
