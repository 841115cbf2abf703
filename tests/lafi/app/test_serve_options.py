"""What a server is told of the others behind its address is checked before anything starts."""

from pathlib import Path

import pytest
import typer

from lafi.app.serve_options import peers_of
from lafi.front.control import PeerSettings, TlsFiles

TEMPLATE = "{pod}.lafi-main-pods.drawing.svc:8001"


def test_a_server_without_a_name_is_alone() -> None:
    assert peers_of("", "", None, encrypted=True) is None


def test_what_was_given_is_kept(tmp_path: Path) -> None:
    (root := tmp_path / "root.pem").write_text("")
    found = peers_of("lafi-main-0", TEMPLATE, root, encrypted=True)
    assert found == PeerSettings(pod="lafi-main-0", template=TEMPLATE, ca=str(root))
    assert peers_of("lafi-main-0", "", None, encrypted=False) == PeerSettings(pod="lafi-main-0")
    assert dict(found.environment()) == {"LAFI_POD": "lafi-main-0"}


@pytest.mark.parametrize(
    ("pod", "template", "encrypted", "words"),
    [
        ("", TEMPLATE, True, "needs --pod"),
        ("lafi", TEMPLATE, True, "allowed: small letters"),
        ("lafi-0", "lafi-0:8001", True, "allowed: host:port with {pod}"),
        ("lafi-0", TEMPLATE, False, "needs --peers and --tls-certificate"),
        ("lafi-0", "", True, "needs --peers and --tls-certificate"),
    ],
)
def test_what_makes_no_sense_is_refused(
    pod: str, template: str, encrypted: bool, words: str, tmp_path: Path
) -> None:
    (root := tmp_path / "root.pem").write_text("")
    with pytest.raises(typer.BadParameter, match=words):
        peers_of(pod, template, root, encrypted=encrypted)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(typer.BadParameter, match="there is no such file"):
        peers_of("lafi-0", TEMPLATE, tmp_path / "root.pem", encrypted=True)


@pytest.mark.parametrize("client_ca", ["", "clients.pem"])
def test_others_are_spoken_to_as_this_server_speaks(client_ca: str) -> None:
    peers = PeerSettings(pod="lafi-0", template=TEMPLATE, ca="root.pem")
    assert peers.like(None) == peers
    told = peers.like(TlsFiles(certificate="a.pem", key="a.key", client_ca=client_ca))
    assert told.encrypted
    shown = ("a.pem", "a.key") if client_ca else ()
    assert told.files() == ("root.pem", *shown)
