"""TLS of the front: certificates from files, read again when they change."""

from __future__ import annotations

import logging
import ssl
from pathlib import Path

import grpc

from lafi.front.control import TlsFiles
from lafi.front.file_signature import signature

_log = logging.getLogger(__name__)


class TlsFilesError(ValueError):
    """A certificate or key is missing, damaged, or they do not belong together."""


def check_files(files: TlsFiles) -> None:
    """Raises TlsFilesError, which names the file and says what is wrong."""
    server_context(files)
    if files.client_ca:
        try:
            ssl.create_default_context(cafile=files.client_ca)
        except (OSError, ssl.SSLError) as error:
            raise TlsFilesError(f"--tls-client-ca {files.client_ca}: {_why(error)}") from None


def server_context(files: TlsFiles) -> ssl.SSLContext:
    """A context of Python's own with these files, for HTTP. Raises TlsFilesError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    load_pair(context, files)
    return context


def load_pair(context: ssl.SSLContext, files: TlsFiles) -> None:
    """Have a context use certificate and key as they are now. Raises TlsFilesError."""
    for option, path in (("--tls-certificate", files.certificate), ("--tls-key", files.key)):
        if not Path(path).is_file():
            raise TlsFilesError(f"{option} {path}: there is no such file")
    try:
        context.load_cert_chain(files.certificate, files.key, password=_no_password)
    except (OSError, ssl.SSLError, ValueError) as error:
        raise TlsFilesError(
            f"--tls-certificate {files.certificate} and --tls-key {files.key}: {_why(error)}"
        ) from None


class WatchedFiles:
    """Notices when files have changed and are good again."""

    def __init__(self, files: TlsFiles) -> None:
        self.files = files
        self._seen = signature(*files.paths())

    def changed(self) -> bool:
        """Whether there are new files that can be used; the log tells of those that cannot."""
        now = signature(*self.files.paths())
        if now == self._seen:
            return False
        try:
            check_files(self.files)
        except TlsFilesError as error:
            if now is not None:
                self._seen = now
            _log.error("%s; the certificate from before stays in use", error)
            return False
        if signature(*self.files.paths()) != now:
            return False  # they change this moment: the next handshake looks again
        self._seen = now
        _log.warning("the certificate has changed and was read")
        return True


def server_credentials(files: TlsFiles) -> grpc.ServerCredentials:
    """Credentials that follow the files. With a client CA, clients must have a certificate of it.

    Raises TlsFilesError.
    """
    check_files(files)
    watched = WatchedFiles(files)

    def fetch() -> grpc.ServerCertificateConfiguration | None:
        try:
            return _configuration(files) if watched.changed() else None
        except OSError as error:
            _log.error("the certificate could not be read: %s", error)
            return None

    return grpc.dynamic_ssl_server_credentials(
        _configuration(files), fetch, require_client_authentication=bool(files.client_ca)
    )


def _configuration(files: TlsFiles) -> grpc.ServerCertificateConfiguration:
    pair = (Path(files.key).read_bytes(), Path(files.certificate).read_bytes())
    roots = Path(files.client_ca).read_bytes() if files.client_ca else None
    return grpc.ssl_server_certificate_configuration([pair], roots)


def _no_password() -> str:
    """A key with a password would ask for it at the terminal."""
    raise ValueError("the key has a password, and nobody is there to give it")


def _why(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    return str(getattr(error, "strerror", None) or getattr(error, "reason", None) or error)
