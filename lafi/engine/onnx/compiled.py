"""Keeps what OpenVINO has compiled, so that the next start need not compile it again.

Compiling the bundled denoiser took 6.5 seconds of CPU time, loading it compiled 1.3. A network
gives the same bits either way. Knows OpenVINO and a folder, nothing of models.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

KEPT_BYTES: Final = 2 * 2**30
"""Of the networks used last, together; the journal lies on the same disk."""
SPARED: Final = 4
"""Nothing is kept where the disk has less room than this many times its size."""
_SUFFIX: Final = ".openvino"
_PARTIAL: Final = ".partial"
_PARTIAL_SECONDS: Final = 3600.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CompiledNetwork:
    """One network in a folder of such.

    folder: written to by us alone, for what comes from it is run. It is made when needed.
    content: SHA-256 of the graph's file and of its weights, as checked by the caller, and the
        changes that are made of it.
    """

    folder: Path
    content: tuple[str, ...]

    def load(
        self, core: Any, settings: Mapping[str, Any], compile_network: Callable[[], Any]
    ) -> Any:
        """An `openvino.CompiledModel` on the CPU with these settings.

        What was kept is used for the same content, settings, version of OpenVINO and kind of CPU,
        if it is what was written; else `compile_network` is called, and its result kept.
        """
        path = self.folder / self._name(core, settings)
        kept = _read(path) if _is_ours(self.folder) else None
        if kept is not None:
            try:
                return core.import_model(kept, "CPU", dict(settings))
            except RuntimeError as error:
                _log.warning("%s: compiled anew, since it cannot be loaded: %s", path, error)
        compiled = compile_network()
        self._keep(path, compiled)
        return compiled

    def _name(self, core: Any, settings: Mapping[str, Any]) -> str:
        machine = [
            core.get_versions("CPU")["CPU"].build_number,
            core.get_property("CPU", "FULL_DEVICE_NAME"),
            sorted(core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")),
        ]
        facts = json.dumps([self.content, sorted(settings.items()), machine])
        return f"{hashlib.sha256(facts.encode()).hexdigest()}{_SUFFIX}"

    def _keep(self, path: Path, compiled: Any) -> None:
        """Whatever goes wrong costs time at the next start, and nothing else."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not _is_ours(self.folder):
                raise OSError(errno.EPERM, "others may write to its folder")
            with compiled.export_model().getbuffer() as made:
                if shutil.disk_usage(self.folder).free < SPARED * len(made):
                    raise OSError(errno.ENOSPC, "the disk is nearly full")
                _write(path, made)
            _make_room(self.folder)
        except (OSError, RuntimeError) as error:
            _log.warning("%s: what was compiled is not kept: %s", path, error)


def compiled_folder(state: Path) -> Path:
    """Of a served repository. state: its folder that models may write to."""
    return state / "compiled"


def _read(path: Path) -> bytes | None:
    """What was written there; None if there is nothing, or anything else."""
    try:
        with path.open("rb") as file:
            digest = file.read(hashlib.sha256().digest_size)
            compiled = file.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        _log.warning("%s: compiled anew, since it cannot be read: %s", path, error)
        return None
    if hashlib.sha256(compiled).digest() != digest:
        _log.warning("%s: compiled anew, since it is not what was written", path)
        return None
    with suppress(OSError):  # a folder that can only be read
        os.utime(path)
    return compiled


def _is_ours(folder: Path) -> bool:
    """Whether nobody else may write to it: what it holds is run."""
    try:
        facts = folder.stat()
    except FileNotFoundError:
        return False
    return facts.st_uid == os.getuid() and not facts.st_mode & 0o022


def _write(path: Path, compiled: memoryview) -> None:
    """Whole or not at all: another process may read it."""
    descriptor, partial = tempfile.mkstemp(suffix=_PARTIAL, dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(hashlib.sha256(compiled).digest())
            file.write(compiled)
        Path(partial).replace(path)
    except BaseException:
        Path(partial).unlink(missing_ok=True)
        raise


def _make_room(folder: Path) -> None:
    """Drops what was not used for longest until the rest is small enough.

    And what a writer that was killed has left; others may be writing right now.
    """
    for path in folder.glob(f"*{_PARTIAL}"):
        with suppress(FileNotFoundError):
            if path.stat().st_mtime < time.time() - _PARTIAL_SECONDS:
                path.unlink()
    files = []
    for path in folder.glob(f"*{_SUFFIX}"):
        with suppress(FileNotFoundError):  # another server has removed it
            facts = path.stat()
            files.append((facts.st_mtime, facts.st_size, path))
    whole = 0
    for _, size, path in sorted(files, reverse=True):
        whole += size
        if whole > KEPT_BYTES:
            path.unlink(missing_ok=True)
