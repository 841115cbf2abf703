"""The CPU image's own steps, in a fresh Debian: from nothing to a drawn panel.

No container engine is needed: debootstrap makes the root, chroot stands for the container.
"""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NEEDED = ("debootstrap", "chroot", "mount")
PACKAGES = "python3,python3-venv,libpython3.11,ca-certificates"
MIRROR = os.environ.get("DEBIAN_MIRROR", "http://deb.debian.org/debian")
SOURCES = (
    *("pyproject.toml", "constraints.txt", "README.md", "LICENSE"),
    *("lafi", "kernels", "export", "client", "story", "model_repository", "tiny_model"),
    "server_config/image",
)


PATH = "/srv/lafi/venv/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PIP_OPTIONS = ("cert", "index-url", "extra-index-url", "find-links", "trusted-host")


def missing() -> str:
    if os.geteuid() != 0:
        return "chroot needs root"
    tools = [tool for tool in NEEDED if shutil.which(tool) is None]
    return f"not installed: {', '.join(tools)}" if tools else ""


def inside(root: Path, *command: str, timeout: float = 1200, **environment: str) -> str:
    """What the command says; it runs with the image's environment and nothing else."""
    done = subprocess.run(
        ["chroot", str(root), *command],
        capture_output=True,
        text=True,
        timeout=timeout,
        env={"PATH": PATH, **environment},
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout


def pip_settings() -> dict[str, str]:
    """Where pip of this machine finds packages, as environment variables."""
    listed = [sys.executable, "-m", "pip", "config", "list"]
    said = subprocess.run(listed, check=True, capture_output=True, text=True).stdout
    found = {}
    for line in said.splitlines():
        name, _, value = line.partition("=")
        option = name.rpartition(".")[2]
        if option in PIP_OPTIONS:
            found["PIP_" + option.upper().replace("-", "_")] = value.strip("'\"")
    return found


def local_places(settings: Mapping[str, str]) -> list[Path]:
    """Files and folders of this machine that pip's settings name."""
    words = [word.removeprefix("file://") for value in settings.values() for word in value.split()]
    named = {Path(word) for word in words if word.startswith("/")}
    # An index's pages point to files beside its folder.
    places = {path.parent if path.name == "simple" else path for path in named}
    return sorted(path for path in places if path.exists())


@pytest.fixture
def debian(tmp_path: Path) -> Iterator[Path]:
    """A root of Debian 12 with what the base image has, /proc and /dev, and our sources."""
    if reason := missing():
        pytest.skip(f"the image's steps were not tried: {reason}")
    root = tmp_path / "root"
    command = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm"]
    subprocess.run([*command, str(root), MIRROR], check=True, capture_output=True, timeout=600)
    for name in SOURCES:
        source, target = ROOT / name, root / "srv/source" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, target)
    shutil.copy("/etc/resolv.conf", root / "etc/resolv.conf")
    mounted = []

    def mount(place: str, *how: str) -> None:
        (root / place).mkdir(parents=True, exist_ok=True)
        subprocess.run(["mount", *how, str(root / place)], check=True)
        mounted.append(root / place)

    mount("proc", "-t", "proc", "proc")
    mount("dev/shm", "-t", "tmpfs", "tmpfs")
    for path in local_places(pip_settings()):
        if path.is_dir():
            mount(str(path).lstrip("/"), "--bind", "-o", "ro", str(path))
        else:
            (root / str(path).lstrip("/")).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, root / str(path).lstrip("/"))
    try:
        yield root
    finally:
        for place in reversed(mounted):
            subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_steps_of_the_image_lead_to_a_drawn_panel(debian: Path) -> None:
    steps = ["bash", "/srv/source/server_config/image/install_cpu.sh"]
    inside(debian, *steps, "build", "/srv/source", "/srv/lafi", timeout=2400, **pip_settings())
    inside(debian, *steps, "finish", "/srv/source", "/srv/lafi")
    shutil.rmtree(debian / "srv/source")
    user = ("setpriv", "--reuid=10001", "--regid=10001", "--clear-groups")
    engines = ["python", "-m", "lafi_export.node_engines", "/srv/lafi/bundled"]
    places = ["--engines=/var/lib/lafi/engines", "--serve=/var/lib/lafi/state/repository"]
    said = inside(debian, *user, *engines, *places, HOME="/tmp", HF_HUB_OFFLINE="1")
    assert "engines are built" in said
    command = [*user, "lafi", "serve", "/var/lib/lafi/state/repository", "--threads", "1"]
    server = subprocess.Popen(
        ["chroot", str(debian), *command],
        env={"PATH": PATH, "HOME": "/tmp"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        until = time.monotonic() + 300
        assert server.stdout is not None
        while not re.search(r"lafi draw", line := server.stdout.readline()):
            assert line, "the server ended"
            assert time.monotonic() < until
        drawn = inside(debian, *user, "python", "/srv/lafi/draw_twice.py", "127.0.0.1:8001")
        assert "round 2: 2 panels, 2 found" in drawn
    finally:
        server.terminate()
        # What it says while it ends is read, too: a full pipe would hold it.
        server.communicate(timeout=60)
