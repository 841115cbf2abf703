"""Cores by affinity and quota, on trees made up here."""

from pathlib import Path

import pytest

from lafi.server.cores import usable_cores


def write(root: Path, path: str, text: str) -> None:
    file = root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def test_a_quota_limits_the_cores(tmp_path: Path) -> None:
    write(tmp_path, "sys/fs/cgroup/cpu.max", "50000 100000\n")
    assert usable_cores(tmp_path) == 0.5


@pytest.mark.parametrize("text", ["max 100000", "", "50000 0"])
def test_without_a_quota_the_affinity_counts(tmp_path: Path, text: str) -> None:
    write(tmp_path, "sys/fs/cgroup/cpu.max", text)
    assert usable_cores(tmp_path) >= 1


@pytest.mark.parametrize(
    ("limited", "cgroup", "cores"),
    [
        ("kubepods/pod1/main", "0::/kubepods/pod1/main", 0.25),
        ("kubepods/pod1", "0::/kubepods/pod1/main", 0.25),
        ("kubepods/pod2", "0::/kubepods/pod1/main", None),
        ("kubepods", "0::/../kubepods", None),
        ("kubepods", "1:cpu:/kubepods", None),
    ],
)
def test_the_cgroup_and_those_that_hold_it_count(
    limited: str, cgroup: str, cores: float | None, tmp_path: Path
) -> None:
    write(tmp_path, f"sys/fs/cgroup/{limited}/cpu.max", "25000 100000\n")
    write(tmp_path, "proc/self/cgroup", f"{cgroup}\n")
    assert usable_cores(tmp_path) == (cores or usable_cores(tmp_path / "nothing here"))
