"""The CPU image's own steps, in a fresh Debian: from nothing to a drawn panel.

No container engine is needed: debootstrap makes the root, chroot stands for the container.
"""

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
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
        env={"PATH": "/srv/lafi/venv/bin:/usr/sbin:/usr/bin:/sbin:/bin", **environment},
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout


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
    for kind, place in (("proc", "proc"), ("tmpfs", "dev/shm")):
        (root / place).mkdir(parents=True, exist_ok=True)
        subprocess.run(["mount", "-t", kind, kind, str(root / place)], check=True)
        mounted.append(root / place)
    try:
        yield root
    finally:
        for place in reversed(mounted):
            subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_steps_of_the_image_lead_to_a_drawn_panel(debian: Path) -> None:
    pip = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    # The index of this machine, and the authorities that vouch for it.
    for name in ("/etc/pip.conf", pip.get("PIP_CERT", "")):
        if name and Path(name).is_file():
            target = debian / name.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(name, target)
    steps = ["bash", "/srv/source/server_config/image/install_cpu.sh"]
    inside(debian, *steps, "build", "/srv/source", "/srv/lafi", timeout=2400, **pip)
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
        env={"PATH": "/srv/lafi/venv/bin:/usr/bin:/bin", "HOME": "/tmp"},
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
        server.wait(60)
