"""Files of servers that are gone are removed, and nobody else's."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lafi.server.leftovers import SignOfLife, remove_leftovers

DEAD, ALIVE = "lafi-1-0123abcd", "lafi-1-0123abce"
KILLED = """
import os, signal, sys
from pathlib import Path
from lafi.server.leftovers import SignOfLife
life = SignOfLife(sys.argv[1], Path(sys.argv[2]))
os.kill(os.getpid(), signal.SIGKILL)
"""


def leave(name: str, memory: Path, temporary: Path) -> None:
    (memory / f"{name}-region").write_bytes(b"1")
    (temporary / f"{name}-x1").mkdir(parents=True)
    (temporary / f"{name}-x1" / "server.log").write_text("said")


@pytest.fixture
def memory(tmp_path: Path) -> Path:
    (tmp_path / "shm").mkdir()
    return tmp_path / "shm"


def test_what_a_killed_server_left_is_removed_and_what_lives_stays(
    memory: Path, tmp_path: Path
) -> None:
    temporary = tmp_path / "tmp"
    for name in (DEAD, ALIVE):
        leave(name, memory, temporary)
    command = [sys.executable, "-c", KILLED, DEAD, str(memory)]
    assert subprocess.run(command, check=False).returncode == -9
    life = SignOfLife(ALIVE, memory)
    assert remove_leftovers(memory, [temporary]) == (DEAD,)
    assert remove_leftovers(memory, [temporary]) == ()
    left = sorted(path.name for folder in (memory, temporary) for path in folder.iterdir())
    assert left == sorted([f"{ALIVE}.lives", f"{ALIVE}-region", f"{ALIVE}-x1"])
    life.release()
    assert not (memory / f"{ALIVE}.lives").exists()


@pytest.mark.parametrize(
    "name", ["lafi-", "lafi-1", "lafi-1-0123abc", "lafi-1-0123abcde", "lafi-*"]
)
def test_a_file_with_another_name_says_nothing(name: str, memory: Path) -> None:
    """Anybody may write to shared memory; such a name would stand for every server's files."""
    leave(ALIVE, memory, memory)
    (memory / f"{name}.lives").write_bytes(b"")
    before = sorted(memory.iterdir())
    assert remove_leftovers(memory, []) == ()
    assert sorted(memory.iterdir()) == before


def test_a_link_and_a_file_without_a_sign_say_nothing(memory: Path, tmp_path: Path) -> None:
    leave(DEAD, memory, memory)
    (tmp_path / "elsewhere").write_bytes(b"")
    (memory / f"{ALIVE}.lives").symlink_to(tmp_path / "elsewhere")
    before = sorted(memory.iterdir())
    assert remove_leftovers(memory, []) == ()
    assert sorted(memory.iterdir()) == before


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make another user's file")
def test_another_users_file_says_nothing(memory: Path) -> None:
    leave(DEAD, memory, memory)
    sign = memory / f"{DEAD}.lives"
    sign.write_bytes(b"")
    os.chown(sign, 12345, 12345)
    assert remove_leftovers(memory, []) == ()
    assert (memory / f"{DEAD}-region").exists()
