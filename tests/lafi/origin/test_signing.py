"""Manifests as the library's own reader reads them, and keys that are refused before any work."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID
from fpdf import FPDF
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from signers import key_pem, manifest_of, signer

from lafi.board.error import StoryboardError
from lafi.origin.made import Made, made_by
from lafi.origin.signing import MODEL_MADE, signing_of

SAID = {"model": "bundled", "variant": "", "address": "ab" * 32, "prompt": "a secret wish"}


def png(settings: dict[str, Any] | None = None) -> bytes:
    said, file = PngInfo(), io.BytesIO()
    if settings is not None:
        said.add_itxt("lafi", json.dumps(settings))
    Image.new("RGB", (16, 16), "red").save(file, "PNG", pnginfo=said)
    return file.getvalue()


def pdf() -> bytes:
    file = FPDF()
    file.add_page()
    return bytes(file.output())


SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"></svg>'


@pytest.mark.parametrize(
    ("name", "mime", "data"),
    [
        ("panel_00.png", "image/png", png(SAID)),
        ("comic.pdf", "application/pdf", pdf()),
        ("page_01.svg", "image/svg+xml", SVG),
    ],
)
def test_a_signed_file_says_that_a_model_made_it(name: str, mime: str, data: bytes, tmp_path: Path):
    own = signer(tmp_path)
    signing = signing_of(own.key, own.certificate)
    assert signing is not None
    made = made_by(png(SAID), "panel_00.png")
    signed = signing.signed(data, name, [made])
    state, manifest = manifest_of(signed, mime, own.root)
    assert state == "Trusted"
    assert manifest["title"] == name
    assert manifest["claim_generator_info"][0]["name"] == "LAFI"
    assertions = {one["label"]: one["data"] for one in manifest["assertions"]}
    (action,) = assertions["c2pa.actions.v2"]["actions"]
    assert (action["action"], action["digitalSourceType"]) == ("c2pa.created", MODEL_MADE)
    (panel,) = assertions["lafi.drawing"]["panels"]
    assert panel == {"name": "panel_00.png", "model": "bundled", "address": "ab" * 32}
    assert "secret" not in json.dumps(manifest)
    before = {"image/png": b"IDAT", "application/pdf": b"%PDF-1."}.get(mime, b'width="')
    at = signed.find(before) + len(before)
    changed = bytearray(signed)
    changed[at] ^= 1
    assert manifest_of(bytes(changed), mime, own.root)[0] == "Invalid"


def test_the_pixels_and_what_a_picture_says_of_itself_stay(tmp_path: Path):
    own = signer(tmp_path)
    signing = signing_of(own.key, own.certificate)
    assert signing is not None
    before = png(SAID)
    once = signing.signed(before, "a.png", [made_by(before, "a.png")])
    twice = signing.signed(once, "a.png", [made_by(once, "a.png")])
    for data in (once, twice):
        with Image.open(io.BytesIO(data)) as image, Image.open(io.BytesIO(before)) as old:
            assert image.tobytes() == old.tobytes()
            assert json.loads(image.text["lafi"]) == SAID
        assert manifest_of(data, "image/png", own.root)[0] == "Trusted"
    assert len(twice) < len(once) + 4000


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP384R1()),
        ed25519.Ed25519PrivateKey.generate(),
        rsa.generate_private_key(65537, 2048),
    ],
)
def test_other_kinds_of_keys_sign(key: Any, tmp_path: Path):
    own = signer(tmp_path, key)
    signing = signing_of(own.key, own.certificate)
    assert signing is not None
    signed = signing.signed(png(), "a.png", [Made("a.png")])
    assert manifest_of(signed, "image/png", own.root)[0] == "Trusted"


def test_nothing_is_signed_without_a_key(tmp_path: Path):
    assert signing_of(None, None) is None
    own = signer(tmp_path)
    with pytest.raises(StoryboardError, match="--sign-certificate: got nothing beside"):
        signing_of(own.key, None)
    with pytest.raises(StoryboardError, match="--sign-key: got nothing beside"):
        signing_of(None, own.certificate)


def wrong_key(folder: Path) -> None:
    (folder / "key.pem").write_bytes(key_pem(ec.generate_private_key(ec.SECP256R1())))


def with_password(folder: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    (folder / "key.pem").write_bytes(key_pem(key, b"hush"))


def other_issuer(folder: Path) -> None:
    (folder / "other").mkdir()
    chain = (folder / "chain.pem").read_text().split("-----BEGIN")[1]
    (folder / "chain.pem").write_text(f"-----BEGIN{chain}{signer(folder / 'other').root}")


def upside_down(folder: Path) -> None:
    first, second = (folder / "chain.pem").read_text().split("-----BEGIN")[1:]
    (folder / "chain.pem").write_text(f"-----BEGIN{second}-----BEGIN{first}")


def no_key(folder: Path) -> None:
    (folder / "key.pem").write_text("no key\n")


def no_file(folder: Path) -> None:
    (folder / "key.pem").unlink()


@pytest.mark.parametrize(
    ("spoil", "line"),
    [
        (wrong_key, "--sign-key: got key.pem, which is not the key of .*CN=signer"),
        (with_password, "--sign-key: got key.pem, allowed: a private key without password"),
        (other_issuer, "--sign-certificate: got .*CN=signer, which .*CN=authority did not issue"),
        (upside_down, "--sign-certificate: got .*CN=authority, which .*CN=signer did not issue"),
        (no_key, "--sign-key: got key.pem, allowed: a private key"),
        (no_file, r"--sign-key: got .*key\.pem, allowed: .*No such file"),
    ],
)
def test_a_key_that_cannot_sign_is_refused_at_once(spoil: Any, line: str, tmp_path: Path):
    own = signer(tmp_path)
    spoil(tmp_path)
    with pytest.raises(StoryboardError, match=line) as refused:
        signing_of(own.key, own.certificate)
    assert "PRIVATE" not in str(refused.value)


@pytest.mark.parametrize("days", [(-30, -1), (2, 30)])
def test_a_certificate_that_is_not_valid_today_is_refused(days: tuple[int, int], tmp_path: Path):
    own = signer(tmp_path, days=days)
    with pytest.raises(StoryboardError, match=r"--sign-certificate: got .*CN=signer, valid 20"):
        signing_of(own.key, own.certificate)


def test_what_only_c2pa_refuses_is_said_too(tmp_path: Path):
    own = signer(tmp_path, purpose=ExtendedKeyUsageOID.SERVER_AUTH)
    with pytest.raises(StoryboardError, match=r"--sign-key, --sign-certificate: got .*certificate"):
        signing_of(own.key, own.certificate)


def test_a_file_that_says_nothing_gives_its_name():
    assert made_by(png(), "p.png") == Made("p.png")
    assert made_by(b"no picture", "p.png") == Made("p.png")
    assert made_by(png({"model": 7}), "p.png") == Made("p.png")
