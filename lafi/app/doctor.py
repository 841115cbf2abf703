"""`lafi doctor`: reports what this machine can do, what is missing, and how to get it.

It imports no heavy package, starts no server and changes nothing.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from lafi.app import machine, requirements
from lafi.app.gpu_runtimes import GpuRuntime, gpu_runtimes
from lafi.server.cores import usable_cores

if TYPE_CHECKING:
    from lafi.server.triton_install import TritonInstall

MIB = 2**20
GIB = 2**30
DEFAULT_PORTS = {"grpc": 8001, "health": 8002}
_PURPOSE = {
    requirements.CLIENT: "ask a server to draw",
    "serve": "draw, and run Triton Server",
    "export": "turn a checkpoint into engines",
    "gpu": "the Triton-lang kernel on a GPU",
    "rtx": "build engines for GPUs elsewhere",
    "train": "train the bundled model",
    "dev": "check and test this project",
}


class State(Enum):
    """The state of a finding; its value is (mark, style)."""

    OK = ("ok", "green")
    NOTE = ("note", "yellow")
    MISSING = ("missing", "bold red")


@dataclass(frozen=True, slots=True)
class Finding:
    """One row of the table. MISSING: this machine cannot draw until `advice` is followed."""

    group: str
    subject: str
    state: State
    detail: str
    advice: str = ""


def doctor_command(
    repository: Path | None = None,
    ports: Mapping[str, int] = DEFAULT_PORTS,
    console: Console | None = None,
) -> int:
    """Prints all findings as a table. Returns 0, or 1 if this machine cannot draw."""
    console = console or Console(highlight=False)
    findings = examine(repository, ports)
    console.print(_table(findings))
    missing = [finding for finding in findings if finding.state is State.MISSING]
    if not missing:
        console.print("This machine can draw on its CPU.", style="green")
        return 0
    subjects = ", ".join(finding.subject for finding in missing)
    console.print(Text(f"This machine cannot draw yet; missing: {subjects}.", style="red"))
    console.print("A server elsewhere can draw for it: lafi draw STORY.yaml --url HOST:PORT")
    return 1


def examine(
    repository: Path | None = None, ports: Mapping[str, int] = DEFAULT_PORTS
) -> tuple[Finding, ...]:
    """All findings about this machine, in the order of the table."""
    return (
        check_platform(platform.system(), platform.machine()),
        check_python(sys.version_info[:2]),
        check_cores(usable_cores()),
        check_memory(machine.available_memory()),
        check_shared_memory(machine.shared_memory()),
        check_instructions(*machine.cpu_name_and_flags()),
        check_gpus(gpus := machine.gpus()),
        *check_gpu_runtimes(gpu_runtimes(gpus, requirements.installed_version)),
        *check_packages(*_our_requirements()),
        *check_servers(),
        check_bundled_model(bundled_model()),
        check_repository(repository),
        *(check_port(name, port) for name, port in ports.items() if port),
    )


def _our_requirements() -> tuple[Sequence[str], Sequence[str]]:
    """The requirement lines and extras of this distribution; none if it is not installed."""
    try:
        metadata = importlib.metadata.metadata("lafi")
    except importlib.metadata.PackageNotFoundError:
        return (), ()
    return metadata.get_all("Requires-Dist") or (), metadata.get_all("Provides-Extra") or ()


def check_platform(system: str, architecture: str) -> Finding:
    """The operating system; the embedded server exists only for Linux x86_64."""
    detail = f"{system} {architecture}"
    if (system, architecture) == ("Linux", "x86_64"):
        return Finding("machine", "platform", State.OK, detail)
    advice = "the server needs Linux x86_64: use such a machine or a container"
    return Finding("machine", "platform", State.MISSING, detail, advice)


def check_python(version: tuple[int, int]) -> Finding:
    """The Python version; 3.11 and 3.12 have every package that drawing needs."""
    detail = ".".join(map(str, version))
    if (3, 11) <= version <= (3, 12):
        return Finding("machine", "Python", State.OK, detail)
    advice = "make the environment with Python 3.11 or 3.12"
    return Finding("machine", "Python", State.MISSING, detail, advice)


def check_cores(cores: float) -> Finding:
    """The CPU cores; one is enough, but slow."""
    state = State.OK if cores >= 2 else State.NOTE
    advice = "" if cores >= 2 else "give it two cores or more; with fewer, expect to wait"
    return Finding("machine", "cores", state, f"{cores:g}", advice)


def check_memory(available: int | None) -> Finding:
    """The memory; two GiB are enough for the server with the bundled model."""
    if available is None:
        return Finding("machine", "memory", State.NOTE, "unknown", "have 2 GiB free")
    state = State.OK if available >= 2 * GIB else State.NOTE
    advice = "" if state is State.OK else "free some: the server with the bundled model takes 2 GiB"
    return Finding("machine", "memory", state, f"{available / GIB:.1f} GiB available", advice)


def check_shared_memory(usage: tuple[int, int] | None) -> Finding:
    """(total, free) bytes of /dev/shm, through which the server and its models exchange tensors."""
    if usage is None:
        advice = "mount a tmpfs there: the server's models exchange tensors through it"
        return Finding("machine", "/dev/shm", State.MISSING, "not there", advice)
    total, free = usage
    detail = f"{free // MIB} of {total // MIB} MiB free"
    if free < 16 * MIB:
        advice = "stop what fills it, or enlarge it (docker run --shm-size 1g)"
        return Finding("machine", "/dev/shm", State.MISSING, detail, advice)
    if free < 256 * MIB:
        advice = "enough for small pictures; enlarge it (docker run --shm-size 1g)"
        return Finding("machine", "/dev/shm", State.NOTE, detail, advice)
    return Finding("machine", "/dev/shm", State.OK, detail)


def check_instructions(name: str, flags: frozenset[str]) -> Finding:
    """Whether the CPU has bf16, which makes drawing about twice as fast."""
    fast = [flag for flag in ("amx_bf16", "avx512_bf16", "avx512f", "avx2") if flag in flags]
    detail = f"{name or 'unknown CPU'}: {', '.join(fast) or 'none of AVX2, AVX-512, AMX'}"
    if {"amx_bf16", "avx512_bf16"} & flags:
        return Finding("machine", "CPU", State.OK, f"{detail}; bf16 engines are fast here")
    return Finding("machine", "CPU", State.NOTE, detail, "no bf16 in this CPU: use f32 engines")


def check_gpus(gpus: Sequence[machine.Gpu]) -> Finding:
    """The GPUs; none is needed."""
    if not gpus:
        return Finding("machine", "GPU", State.NOTE, "none", "not needed; drawing uses the CPU")
    detail = "; ".join(f"{g.name}, {g.memory_mib} MiB, driver {g.driver}" for g in gpus)
    return Finding("machine", "GPU", State.OK, detail)


def check_gpu_runtimes(found: Sequence[GpuRuntime]) -> tuple[Finding, ...]:
    """What can use a GPU, and why not; none is needed."""
    return tuple(
        Finding(
            "GPU runtimes",
            runtime.name,
            State.OK if runtime.usable or runtime.builds else State.NOTE,
            runtime.detail,
            runtime.advice,
        )
        for runtime in found
    )


def check_packages(lines: Sequence[str], extras: Sequence[str]) -> tuple[Finding, ...]:
    """One finding per extra; only `client` and `serve` are needed to draw."""
    if not lines:
        advice = "install it: pip install -e '.[serve]' in its source, or make setup"
        return (Finding("packages", "lafi", State.MISSING, "not installed", advice),)
    found = []
    for extra, needed in requirements.by_extra(lines, extras).items():
        wrong = requirements.problems(needed)
        purpose = _PURPOSE.get(extra, "")
        if not wrong:
            detail = f"{purpose}: all {len(needed)} installed"
            found.append(Finding("packages", extra, State.OK, detail))
            continue
        state = State.MISSING if extra in (requirements.CLIENT, "serve") else State.NOTE
        target = "lafi" if extra == requirements.CLIENT else f"lafi[{extra}]"
        detail = f"{purpose}: {'; '.join(wrong)}"
        found.append(Finding("packages", extra, state, detail, f"pip install '{target}'"))
    return tuple(found)


def check_servers(asked: str | None = None) -> tuple[Finding, ...]:
    """The Triton Server that would be run, with its backends, then others that are there.

    asked: as `lafi serve --triton-server`.
    """
    from lafi.server.find_server import find_server, places
    from lafi.server.triton_install import ServerUnavailableError

    wrong = (ServerUnavailableError, importlib.metadata.PackageNotFoundError)
    subject = "Triton Server"
    try:
        chosen = find_server(asked)
    except wrong as error:
        return (Finding("server", subject, State.MISSING, "not usable", str(error)),)
    found = [_of_server(chosen)]
    for place in places(asked):
        with suppress(*wrong):
            if place.there and (other := place.find()) != chosen:
                advice = "not run; lafi serve --triton-server wheel would"
                found.append(Finding("server", subject, State.NOTE, _told(other), advice))
    return tuple(found)


def _of_server(server: TritonInstall) -> Finding:
    for program in (server.binary, server.stub):
        problem = _starting_problem(program, server.libraries)
        if problem:
            advice = "install the system library that it names, or use Debian 12 or Ubuntu 22.04"
            return Finding("server", "Triton Server", State.MISSING, problem, advice)
    return Finding("server", "Triton Server", State.OK, _told(server))


def _told(server: TritonInstall) -> str:
    """Version, origin, and the backends that decide what it can serve."""
    known = {"tensorrt": "TensorRT", "onnxruntime": "ONNX Runtime"}
    has = [label for name, label in known.items() if name in server.backends]
    lacks = [label for name, label in known.items() if name not in server.backends]
    text = f"{server}; backends: {', '.join(['Python', *has])}"
    return f"{text}; none for {' and '.join(lacks)}" if lacks else text


def bundled_model() -> Path | None:
    """The folder of the bundled model; None if only the package is installed."""
    spec = importlib.util.find_spec("lafi_tiny")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent.parent / "weights"
    return folder if folder.is_dir() else None


def check_bundled_model(folder: Path | None) -> Finding:
    """The bundled model; not needed to draw with another checkpoint."""
    if folder is None:
        advice = "it comes with the source: tiny_model/weights; or export a checkpoint of yours"
        return Finding("model", "bundled model", State.NOTE, "not there", advice)
    weights = list(folder.glob("*/*.safetensors"))
    if not (folder / "model_index.json").is_file() or len(weights) < 3:
        detail = f"{folder} is incomplete: {len(weights)} of 3 weight files"
        advice = "restore it: git checkout tiny_model/weights"
        return Finding("model", "bundled model", State.NOTE, detail, advice)
    size = sum(path.stat().st_size for path in weights) / MIB
    return Finding("model", "bundled model", State.OK, f"{folder} ({size:.0f} MiB)")


def check_repository(repository: Path | None) -> Finding:
    """The model repository for `lafi serve`, and the variants that storyboards may choose there."""
    from lafi.model.info import ModelInfoError, load_variant_infos
    from lafi.server.triton_server import RepositoryError, find_models

    if repository is None:
        detail, advice = "none given", "look at one with: lafi doctor --repository DIR"
        return Finding("model", "repository", State.NOTE, detail, advice)
    try:
        models = find_models(repository)
        variants = load_variant_infos(repository / "artifacts")
    except (RepositoryError, ModelInfoError) as error:
        return Finding("model", "repository", State.NOTE, "not usable", str(error))
    names = ", ".join(info.variant for info in variants) or "none"
    detail = f"{repository}: {', '.join(models)}; variants: {names}"
    return Finding("model", "repository", State.OK, detail)


def check_port(name: str, port: int) -> Finding:
    """Whether 127.0.0.1:`port` is free or used by a server of ours."""
    subject = f"{name} port {port}"
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            pass
    except OSError:
        return Finding("ports", subject, State.OK, "free")
    if name == "health" and _is_ready(port):
        return Finding("ports", subject, State.OK, "a server is ready here")
    advice = f"stop what listens there, or choose another: lafi serve --{name}-port 0"
    return Finding("ports", subject, State.NOTE, "taken", advice)


def _is_ready(port: int) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://127.0.0.1:{port}/readyz", timeout=2) as answer:
            return bool(answer.status == 200)
    except (OSError, ValueError, urllib.error.URLError):
        return False


def _starting_problem(program: Path, libraries: Sequence[Path]) -> str:
    """ "" if `program` starts, else its error. Without arguments it prints its usage and ends."""
    folders = [*map(str, libraries), os.environ.get("LD_LIBRARY_PATH", "")]
    environment = {**os.environ, "LD_LIBRARY_PATH": os.pathsep.join(filter(None, folders))}
    command = [str(program), "--help"]
    try:
        ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{program.name} does not start: {error}"
    # The usage text ends with code 0 or 1; 127 comes from the dynamic loader, < 0 from a signal.
    if ended.returncode in (0, 1):
        return ""
    last = (ended.stderr.strip() or ended.stdout.strip()).splitlines()[-1:]
    return f"{program.name} ends with code {ended.returncode}: {' '.join(last) or 'no output'}"


def _table(findings: Sequence[Finding]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=True, header_style="dim")
    for title in ("", "", "found", "what to do"):
        table.add_column(title, overflow="fold")
    for before, finding in zip((None, *findings), findings, strict=False):
        if before is not None and before.group != finding.group:
            table.add_row()
        mark, style = finding.state.value
        texts = (finding.subject, finding.detail, finding.advice)
        table.add_row(Text(mark, style=style), *map(Text, texts))
    return table
