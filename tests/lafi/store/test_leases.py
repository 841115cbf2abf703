"""One server at a time draws a storyboard; a lease ends when its holder does."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lafi.store.leases import Leases, is_dead, own_name
from lafi.store.panels import open_store
from lafi.store.place import LEASES, Folder


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def leases(folder: Path, clock: Clock, owner: str = "", seconds: float = 60.0) -> Leases:
    return Leases(Folder(folder), owner=owner, seconds=seconds, clock=clock)


def test_one_of_two_servers_has_it_until_it_is_given_back(tmp_path: Path, clock: Clock) -> None:
    one, other = leases(tmp_path, clock, "one"), leases(tmp_path, clock, "other")
    assert one.take("a", "id")
    assert one.take("a"), "for another drawing of the same"
    assert not other.take("a")
    assert other.take("b")
    one.release("a")
    assert not other.take("a")
    one.release("a")
    assert other.take("a")
    assert not one.take("a")
    for each in (one, other):
        each.close()


def test_one_that_is_not_renewed_ends_by_itself(tmp_path: Path, clock: Clock) -> None:
    one, other = leases(tmp_path, clock, "elsewhere:1:2"), leases(tmp_path, clock, "other")
    assert one.take("a")
    one.close()
    clock.now += 59
    assert not other.take("a")
    clock.now += 2
    assert other.take("a")
    one.release("a")
    assert not leases(tmp_path, clock, "third").take("a"), "the other's lease was left alone"
    other.close()


def test_one_that_is_held_is_renewed(tmp_path: Path) -> None:
    one = Leases(Folder(tmp_path), owner="one", seconds=0.3)
    other = Leases(Folder(tmp_path), owner="other", seconds=0.3)
    assert one.take("a")
    for _ in range(10):
        time.sleep(0.1)
        assert not other.take("a")
    for each in (one, other):
        each.close()


def test_that_of_a_process_that_died_on_this_machine_is_free_at_once(
    tmp_path: Path, clock: Clock
) -> None:
    script = "from lafi.store.leases import own_name; print(own_name())"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    dead = done.stdout.strip()
    assert is_dead(dead)
    assert not is_dead(own_name())
    assert not is_dead(f"another machine:{os.getpid()}:1")
    assert leases(tmp_path, clock, dead).take("a")
    assert leases(tmp_path, clock).take("a")


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b'{"owner": "x", "until": "soon"}'])
def test_a_damaged_one_keeps_nobody_from_drawing(
    tmp_path: Path, clock: Clock, damage: bytes
) -> None:
    Folder(tmp_path).write(f"{LEASES}a", damage)
    assert leases(tmp_path, clock).take("a")


def test_it_is_no_panel(tmp_path: Path, clock: Clock) -> None:
    store = open_store(str(tmp_path / "place"), tmp_path)
    assert Leases(store.place, clock=clock).take("a" * 64)
    assert [*store.check()] == []
    assert store.stats().panels == 0
    store.close()
