"""Engines for the machine that this runs on, in a folder that several pods may share.

    python -m lafi_export.node_engines CHECKPOINT --engines DIR --serve REPO [-- EXPORT OPTIONS]
    python -m lafi_export.node_engines --repository EXPORTED --serve REPO --run -- lafi serve REPO

A key of everything that decides what an engine is names the folder of each export, so nothing is
built twice and nothing is used where it does not fit: GPU, compute capability, TensorRT version,
hashes of the weights and of every file that an option names, version of this package, format of
the repository, options. The served repository is put together in a folder of the pod's own, since
the server keeps its state beside the models.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lafi.engine.cuda.machine import GpuMissing, gpu_machine
from lafi.model.artifacts import file_sha256
from lafi.model.engine_metadata import GpuMachine
from lafi.model.info import REPOSITORY_FORMAT, ModelInfoError, check_format
from lafi_export.recogniser_files import find_recogniser

TARGETS: Final = ("cpu", "tensorrt")
"""What is built on the node. Plans of TensorRT-RTX need no node: they come with `--repository`."""
_PACKAGES: Final = ("lafi", "onnxruntime", "openvino")
_TELL_SECONDS: Final = 30.0
_LOOK_SECONDS: Final = 1.0

Export = Callable[[Path], int]
"""Writes a repository to a folder that is not there yet; its exit code."""


@dataclass(frozen=True, slots=True)
class EngineKey:
    """What decides whether an export may be used here.

    machine: None for the CPU. checkpoint: hash of all its files. options: of `lafi export`.
    versions: of what builds and runs it. files: hashes of what is read besides the checkpoint.
    """

    machine: GpuMachine | None
    checkpoint: str
    options: tuple[str, ...]
    versions: tuple[str, ...]
    files: tuple[str, ...] = ()

    @property
    def folder(self) -> str:
        """A name that a person can read, and a hash of everything."""
        machine = self.machine
        named = ("cpu",) if machine is None else (machine.gpu, machine.capability, machine.tensorrt)
        told = json.dumps([named, self.checkpoint, self.options, self.versions, self.files])
        whole = hashlib.sha256(told.encode()).hexdigest()
        readable = "-".join(re.sub(r"[^A-Za-z0-9.]+", "_", part) for part in named)
        return f"{readable}-{self.checkpoint[:12]}-{whole[:12]}"


def checkpoint_sha256(checkpoint: Path) -> str:
    """Over the names and bytes of all files of a checkpoint, or of one file. Raises OSError."""
    if checkpoint.is_file():
        return file_sha256(checkpoint)
    files = sorted(file for file in checkpoint.rglob("*") if file.is_file())
    if not files:
        raise OSError(f"CHECKPOINT: got {checkpoint}, which has no files")
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.relative_to(checkpoint).as_posix()}\0{file_sha256(file)}".encode())
    return digest.hexdigest()


def key_here(checkpoint: Path, target: str, options: Sequence[str]) -> EngineKey:
    """The key of this machine. Raises GpuMissing and OSError."""
    machine = gpu_machine() if target == "tensorrt" else None
    versions = (
        *(f"{name} {_version(name)}" for name in _PACKAGES),
        f"format {REPOSITORY_FORMAT}",
    )
    files = tuple(checkpoint_sha256(file) for file in files_read(checkpoint, options))
    return EngineKey(machine, checkpoint_sha256(checkpoint), tuple(options), versions, files)


def files_read(checkpoint: Path, options: Sequence[str]) -> list[Path]:
    """What `lafi export` reads besides the checkpoint: files and folders, in the options' order.

    An option's value is a place, or holds some: `NAME=PLACE`, `PLACE,PLACE`, `PLACE:STRENGTH`.
    The recogniser beside the checkpoint is taken without being named.
    """
    found: dict[Path, None] = {}
    for option in options:
        for part in (option, *re.split("[=,]", option)):
            pieces = part.split(":")
            places = (":".join(pieces[:count]) for count in range(1, len(pieces) + 1))
            found |= {Path(place): None for place in places if _has_files(place)}
    if (beside := find_recogniser(checkpoint, None)) is not None:
        found[beside] = None
    return list(found)


def _has_files(text: str) -> bool:
    """Whether this is a file, or a folder that holds one; False for what cannot be a path."""
    try:
        place = Path(text)
        return bool(text) and (place.is_file() or any(file.is_file() for file in place.rglob("*")))
    except (OSError, ValueError):
        return False


def built(key: EngineKey, engines: Path, export: Export, say: Callable[[str], None]) -> Path:
    """The folder of the export with this key, which is made if it is not there.

    Whoever comes while another pod builds it waits and says so. A build that was killed leaves
    nothing that is taken for whole. Raises RuntimeError if the export fails.
    """
    whole = engines / key.folder
    with _alone(engines / f"{key.folder}.lock", f"another pod builds {key.folder}", say):
        if whole.is_dir():
            say(f"engines are there: {key.folder}")
            return whole
        begun = whole.with_name(f"{key.folder}.part")
        shutil.rmtree(begun, ignore_errors=True)
        say(f"building engines: {key.folder}")
        code = export(begun)
        if code:
            shutil.rmtree(begun, ignore_errors=True)
            raise RuntimeError(f"the export ended with exit code {code}")
        begun.rename(whole)
    say(f"engines are built: {key.folder}")
    return whole


def put_together(exported: Path, repository: Path) -> None:
    """A repository with a state of its own: models copied, since they are small, artifacts linked.

    What lay in `repository/state` stays. Raises OSError, and ModelInfoError for an export of
    another format number, before anything is changed.
    """
    check_format(exported / "artifacts")
    repository.mkdir(parents=True, exist_ok=True)
    new = repository / "models.new"
    shutil.rmtree(new, ignore_errors=True)
    shutil.copytree(exported / "models", new)
    shutil.rmtree(repository / "models", ignore_errors=True)
    new.rename(repository / "models")
    link = repository / "artifacts.new"
    link.unlink(missing_ok=True)
    link.symlink_to((exported / "artifacts").resolve(), target_is_directory=True)
    link.replace(repository / "artifacts")


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 0, or 1 with the reason on stderr."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    place = given.index("--") if "--" in given else len(given)
    rest = given[place + 1 :]
    asked = _asked(given[:place], rest)
    try:
        exported = asked.repository or _built_here(asked, rest)
        put_together(exported, asked.serve)
    except (GpuMissing, ModelInfoError, OSError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return 1
    if asked.run:
        os.execvp(rest[0], rest)
    return 0


def _built_here(asked: argparse.Namespace, options: list[str]) -> Path:
    if asked.target == "tensorrt":
        options = [*options, "--target", "tensorrt", "--sides", *asked.sides.split(",")]
    key = key_here(asked.checkpoint, asked.target, options)

    def export(out: Path) -> int:
        command = [sys.executable, "-m", "lafi.app.cli", "export", str(asked.checkpoint)]
        return subprocess.run([*command, "--out", str(out), *options]).returncode

    return built(key, asked.engines, export, _say)


def _asked(arguments: list[str], rest: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m lafi_export.node_engines")
    parser.add_argument("checkpoint", nargs="?", type=Path, help="what `lafi export` takes")
    parser.add_argument("--engines", type=Path, help="the folder of all exports")
    parser.add_argument("--repository", type=Path, help="in their place: one that is exported")
    parser.add_argument("--serve", type=Path, required=True, help="what `lafi serve` is to get")
    parser.add_argument("--target", choices=TARGETS, default="cpu")
    parser.add_argument("--sides", default="256,512,1024", help="for tensorrt alone")
    parser.add_argument("--run", action="store_true", help="then become the command after --")
    asked = parser.parse_args(arguments)
    if (asked.repository is None) == (asked.checkpoint is None or asked.engines is None):
        parser.error("allowed: CHECKPOINT with --engines, or --repository")
    if asked.run and not rest:
        parser.error("--run: got no command, allowed: one after --")
    return asked


@contextmanager
def _alone(lock: Path, waiting: str, say: Callable[[str], None]) -> Iterator[None]:
    lock.parent.mkdir(parents=True, exist_ok=True)
    told = 0.0
    with lock.open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() - told >= _TELL_SECONDS:
                    say(waiting)
                    told = time.monotonic()
                time.sleep(_LOOK_SECONDS)
        yield


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "none"


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
