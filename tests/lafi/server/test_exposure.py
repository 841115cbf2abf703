"""What may be reached from other machines is protected, or it was said that it need not be."""

import io
from pathlib import Path

import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from lafi.front.control import TlsFiles
from lafi.front.keys import Key, KeyFile, KeyFileError, hash_of, write_keys
from lafi.front.tls import TlsFilesError
from lafi.server.command import serve_command
from lafi.server.exposure import Exposure, ExposureError, is_loopback
from lafi.server.serve_settings import ServeSettings


@pytest.fixture(scope="session")
def protection(tmp_path_factory: pytest.TempPathFactory) -> Exposure:
    folder = tmp_path_factory.mktemp("protection")
    write_keys(folder / "keys.json", KeyFile(keys=(Key(name="a", sha256=hash_of("a")),)))
    authority = trustme.CA()
    issued = authority.issue_cert("localhost")
    issued.cert_chain_pems[0].write_to_path(folder / "server.pem")
    issued.private_key_pem.write_to_path(folder / "server.key")
    files = TlsFiles(certificate=str(folder / "server.pem"), key=str(folder / "server.key"))
    return Exposure(keys=folder / "keys.json", tls=files)


@given(
    host=st.sampled_from(
        ["127.0.0.1", "localhost", "::1", "0.0.0.0", "::", "10.0.0.1", "127.evil"]
    ),
    keys=st.booleans(),
    tls=st.booleans(),
    insecure=st.booleans(),
    http=st.booleans(),
)
def test_beyond_loopback_it_takes_keys_and_tls_or_a_word(
    protection: Exposure, host: str, keys: bool, tls: bool, insecure: bool, http: bool
) -> None:
    asked = Exposure(protection.keys if keys else None, protection.tls if tls else None, insecure)
    open_http = http and (keys or tls)
    alone = host in ("127.0.0.1", "localhost", "::1")
    assert is_loopback(host) == alone
    if not open_http and (alone or insecure or (keys and tls)):
        asked.check(host, http=http)
        return
    with pytest.raises(ExposureError) as refused:
        asked.check(host, http=http)
    if open_http:
        assert "knows neither keys nor TLS" in str(refused.value)
    else:
        assert ("--keys" in str(refused.value)) == (not keys)
        assert ("--tls-certificate" in str(refused.value)) == (not tls)
        assert "--insecure" in str(refused.value)


def test_files_that_are_not_good_are_refused_before_anything_starts(
    protection: Exposure, tmp_path: Path
) -> None:
    assert protection.tls is not None
    assert protection.keys is not None
    tls = protection.tls
    nothing = str(tmp_path / "none.pem")
    (tmp_path / "bad.pem").write_text("no certificate")
    bad = str(tmp_path / "bad.pem")
    other = trustme.CA().issue_cert("localhost").private_key_pem
    other.write_to_path(tmp_path / "other.key")
    for wrong, text in (
        ({"certificate": nothing}, "--tls-certificate .*none.pem: there is no such file"),
        ({"key": nothing}, "--tls-key .*none.pem: there is no such file"),
        ({"client_ca": nothing}, "--tls-client-ca .*none.pem: there is no such file"),
        ({"certificate": bad}, "bad.pem"),
        ({"client_ca": bad}, "--tls-client-ca .*bad.pem"),
        ({"key": str(tmp_path / "other.key")}, "(?i)key.values.mismatch"),
    ):
        with pytest.raises(TlsFilesError, match=text):
            Exposure(tls=tls.model_copy(update=wrong)).check("127.0.0.1", http=False)
    with pytest.raises(KeyFileError, match="is not valid"):
        Exposure(keys=tmp_path / "bad.pem").check("127.0.0.1", http=False)


def test_the_command_says_what_is_missing_and_starts_nothing(tmp_path: Path) -> None:
    output = io.StringIO()
    asked = ServeSettings(host="0.0.0.0")
    code = serve_command(tmp_path / "nowhere", asked, Console(file=output, width=200))
    assert code == 1
    said = output.getvalue()
    assert "nobody needs a key (--keys FILE" in said
    assert "nothing is encrypted" in said
    assert "no model repository" not in said, "it did not even look"
