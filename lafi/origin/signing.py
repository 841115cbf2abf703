"""`Signing`: puts signed C2PA manifests into PNG, PDF and SVG files, by the package c2pa-python."""

import importlib.metadata
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from PIL import Image

from lafi.board.error import StoryboardError, Verbatim, problem
from lafi.origin.credentials import CERTIFICATE, KEY, Credentials, read_credentials
from lafi.origin.made import Made

MIME: Final = {".png": "image/png", ".pdf": "application/pdf", ".svg": "image/svg+xml"}
"""Kinds of files that are signed, by the end of their name."""
MODEL_MADE: Final = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
LABEL: Final = "lafi.drawing"
"""The assertion with what drew it: `{"panels": [{name, model, variant, address}]}`."""
_SETTINGS: Final = {
    "verify": {"verify_trust": False, "ocsp_fetch": False, "remote_manifest_fetch": False},
    "builder": {"thumbnail": {"enabled": False}},
}


class Signing:
    """Signs with one key. Its files differ from call to call: a manifest has an id and a time."""

    def __init__(self, credentials: Credentials) -> None:
        """Signs a picture for a trial. Raises StoryboardError where C2PA does not take the key or
        the certificates, ModuleNotFoundError without the extra `origin`."""
        import c2pa

        self._c2pa: Any = c2pa
        self._credentials = credentials
        self._version = importlib.metadata.version("lafi")
        self._context = c2pa.Context.from_dict(_SETTINGS)
        trial = io.BytesIO()
        Image.new("RGB", (8, 8)).save(trial, "PNG")
        self.signed(trial.getvalue(), "trial.png", ())

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the signer's certificate, in hexadecimal digits."""
        return self._credentials.fingerprint

    def signed(self, data: bytes, name: str, panels: Sequence[Made]) -> bytes:
        """The file with a manifest. name: its own, with the end of a kind in MIME.

        panels: what it shows. A manifest that was in it is replaced. Raises StoryboardError.
        """
        mime, out = MIME[Path(name).suffix], io.BytesIO()
        made = [panel.told() for panel in panels]
        given = self._credentials
        try:
            info = self._c2pa.C2paSignerInfo(given.algorithm, given.chain, given.key, None)
            with (
                self._c2pa.Signer.from_info(info) as signer,
                self._c2pa.Builder(self._manifest(name, mime, made), self._context) as builder,
            ):
                builder.sign(signer, mime, io.BytesIO(data), out)
            out.seek(0)
            with self._c2pa.Reader(mime, out, context=self._context) as reader:
                state = reader.get_validation_state()
        except self._c2pa.C2paError as error:
            raise self._refused(str(error)) from None
        if state not in ("Valid", "Trusted"):
            raise self._refused(f"a manifest that is {state}")
        return out.getvalue()

    def _manifest(self, name: str, mime: str, panels: list[dict[str, str]]) -> str:
        agent = {"name": "LAFI", "version": self._version}
        action = {
            "action": "c2pa.created",
            "digitalSourceType": MODEL_MADE,
            "softwareAgent": agent,
        }
        drawn = {"label": LABEL, "data": {"lafi": self._version, "panels": panels}}
        return json.dumps({
            "claim_generator_info": [agent],
            "title": name,
            "format": mime,
            "assertions": [
                {"label": "c2pa.actions.v2", "data": {"actions": [action]}},
                *([drawn] if panels else []),
            ],
        })  # fmt: skip

    def _refused(self, said: str) -> StoryboardError:
        allowed = (
            "a key and certificates that C2PA takes: of a document or e-mail signer, with its "
            "issuers, not signed by itself"
        )
        return StoryboardError([problem(f"{KEY}, {CERTIFICATE}", Verbatim(said), allowed)])


def signing_of(key: Path | None, certificate: Path | None) -> Signing | None:
    """Who signs; None without a key. Raises StoryboardError for one file without the other, and
    as `read_credentials` and `Signing`."""
    if key is None and certificate is None:
        return None
    if key is None or certificate is None:
        missing, given = (KEY, certificate) if key is None else (CERTIFICATE, key)
        got = Verbatim(f"nothing beside {given}")
        raise StoryboardError(
            [problem(missing, got, "both files, or none: then nothing is signed")]
        )
    return Signing(read_credentials(key, certificate))
