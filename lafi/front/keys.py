"""The file of API keys: who may come in, what each may do, and how much at a time.

    {"keys": [{"name": "studio", "sha256": "9f86...", "rights": ["draw", "enrol"],
               "megapixel_steps": 2000}]}

Keys are 32 random bytes, so nobody guesses one, and a hash that is slow on purpose would protect
nothing that SHA-256 does not. The file holds hashes only: who reads it has no key.
"""

from __future__ import annotations

import hashlib
import logging
import os
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from lafi.front.file_signature import signature
from lafi.wire.caller import Caller

_LOOK_SECONDS = 1.0
_PREFIX = "lafi_"
_log = logging.getLogger(__name__)


class KeyFileError(ValueError):
    """The file is missing or is no file of keys; the text names it and what is wrong."""


class Key(Caller):
    """One entry. sha256: of the key, hexadecimal."""

    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]

    @property
    def caller(self) -> Caller:
        """The same without the hash."""
        return Caller(name=self.name, rights=self.rights, megapixel_steps=self.megapixel_steps)


class KeyFile(BaseModel):
    """What the file holds. Names and keys appear once."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    keys: tuple[Key, ...] = ()

    @model_validator(mode="after")
    def _each_once(self) -> KeyFile:
        names = [key.name for key in self.keys]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"these names appear twice: {', '.join(twice)}")
        if len({key.sha256 for key in self.keys}) < len(names):
            raise ValueError("a hash appears twice")
        return self


def new_key() -> str:
    """A key that nobody had before."""
    return _PREFIX + secrets.token_urlsafe(32)


def hash_of(key: str) -> str:
    """What the file holds of a key."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


def read_keys(path: Path) -> KeyFile:
    """The file's content. Raises KeyFileError, which quotes nothing of the file."""
    try:
        return KeyFile.model_validate_json(path.read_bytes())
    except OSError as error:
        raise KeyFileError(f"the file of keys {path} cannot be read: {error.strerror}") from None
    except ValidationError as error:
        lines = [
            f"{'.'.join(map(str, each['loc'])) or 'the file'}: {each['msg']}"
            for each in error.errors(include_input=False, include_url=False, include_context=False)
        ]
        raise KeyFileError(f"the file of keys {path} is not valid: {'; '.join(lines)}") from None


def write_keys(path: Path, keys: KeyFile) -> None:
    """Write the file whole or not at all, readable by its owner alone. Raises OSError."""
    text = keys.model_dump_json(indent=1, exclude_none=True) + "\n"
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


class KeyRing:
    """The keys of a file, read again when it changes. A broken file leaves the earlier keys."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        """Raises KeyFileError."""
        self._path = path
        self._clock = clock
        self._seen = signature(path)
        self._keys = _by_hash(read_keys(path))
        self._looked = clock()

    def find(self, key: str) -> Caller | None:
        """Who has this key; None for nobody. Costs one hash, and a look at the file a second."""
        now = self._clock()
        if now - self._looked >= _LOOK_SECONDS:
            self._looked = now
            self._look()
        return self._keys.get(hash_of(key))

    def _look(self) -> None:
        seen = signature(self._path)
        if seen == self._seen:
            return
        self._seen = seen
        try:
            self._keys = _by_hash(read_keys(self._path))
        except KeyFileError as error:
            _log.error("%s; the keys from before stay in force", error)
        else:
            _log.warning("the file of keys has changed and was read: %d keys", len(self._keys))


def _by_hash(file: KeyFile) -> dict[str, Caller]:
    return {key.sha256: key.caller for key in file.keys}
