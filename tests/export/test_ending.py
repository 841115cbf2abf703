"""An export that is ended leaves nothing behind, and an earlier export stays whole."""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from lafi_export.ending import (
    ended_like_an_error,
    made_folder,
    put_all_in_place,
    put_in_place,
    uninterrupted,
)

QUICK = """
import shutil, sys
from pathlib import Path
import lafi_export.artifacts
from lafi.model.info import load_model_info

exported = Path(sys.argv.pop(1))

def copy(graph, path, weights):
    shutil.copy(exported / graph.file, path)
    return load_model_info(exported).onnx_weights[graph.file]

lafi_export.artifacts.export_graph = copy
from lafi.app.cli import main
main()
"""
"""`lafi` whose tracing of each graph takes no time: an earlier export has them."""
ALL = "exporting text_encoder.onnx", "exporting denoiser.onnx", "comparing with torch"
CASES = [
    (signal.SIGTERM, ALL[0], False),
    (signal.SIGINT, ALL[1], True),
    (signal.SIGTERM, ALL[2], True),
    (signal.SIGINT, ALL[2], False),
    (signal.SIGHUP, "writing the model repository", True),
]
QUICK_CASES = [
    case if case in (CASES[0], CASES[2]) else pytest.param(case, marks=pytest.mark.slow)
    for case in CASES
]


def heed_all() -> None:
    """Started in the background, tests inherit ignored signals, and so would their children."""
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)


def content(folder: Path) -> dict[str, str]:
    """Every file and folder, with the SHA-256 of files."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        if path.is_file()
        else ""
        for path in folder.rglob("*")
    }


def end_at(command: list[str], step: str, number: int, temporary: Path) -> int:
    """Runs a command, sends the signal once it says the step, and gives its exit code."""
    temporary.mkdir()
    environment: Mapping[str, str] = {
        **os.environ,
        "PYTHONUNBUFFERED": "1",
        "COLUMNS": "200",
        "TMPDIR": str(temporary),
    }
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
        preexec_fn=heed_all,
    ) as process:
        assert process.stdout is not None
        said = ""
        while step not in said:
            line = process.stdout.readline()
            assert line, f"it ended early: {said}"
            said += line
        process.send_signal(number)
        said += process.communicate(timeout=120)[0]
    assert "Traceback" not in said, said
    return process.returncode


def check_ended(
    command: list[str], case: tuple[int, str, bool], repository: Path, tmp_path: Path
) -> None:
    number, step, existing = case
    place = tmp_path / "place"
    out = place / "deep" / "out"
    place.mkdir()
    if existing:
        shutil.copytree(repository, out)
    before = content(place)
    code = end_at([*command, "--out", str(out)], step, number, tmp_path / "temporary")
    assert code not in (0, None)
    assert content(place) == before, f"exit status {code}"
    assert not content(tmp_path / "temporary")


@pytest.mark.parametrize("case", QUICK_CASES, ids=lambda case: f"{case[0].name}, {case[1]}")
def test_nothing_is_left_and_what_was_there_is_whole(
    case: tuple[int, str, bool], checkpoint: Path, repository: Path, tmp_path: Path
) -> None:
    child = [sys.executable, "-W", "ignore", "-c", QUICK, str(repository / "artifacts")]
    options = ["--runtime", "onnxruntime", "--denoiser"]
    check_ended([*child, "export", str(checkpoint), *options], case, repository, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0].name}, {case[1]}")
def test_a_real_export_leaves_nothing(
    case: tuple[int, str, bool], checkpoint: Path, repository: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "lafi.app.cli", "export", str(checkpoint)]
    check_ended([*command, "--runtime", "onnxruntime"], case, repository, tmp_path)


def test_a_folder_is_replaced_or_stays(tmp_path: Path) -> None:
    new, target, aside = (tmp_path / name for name in ("new", "target", "aside"))
    for folder in (new, target):
        folder.mkdir()
        (folder / folder.name).touch()
    put_in_place(new, target, aside)
    assert {*content(tmp_path)} == {"target", "target/new", "aside", "aside/target"}
    with pytest.raises(FileNotFoundError):
        put_in_place(new, target, tmp_path / "second")
    assert {*content(tmp_path)} == {"target", "target/new", "aside", "aside/target"}


def test_of_several_folders_all_or_none_are_put_in_place(tmp_path: Path) -> None:
    for name in ("a", "b", "old a"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    before = content(tmp_path)
    moves = [
        (tmp_path / "a", tmp_path / "old a", tmp_path / "aside a"),
        (tmp_path / "b", tmp_path / "new b", tmp_path / "aside b"),
    ]
    missing = (tmp_path / "c", tmp_path / "b", tmp_path / "aside c")
    for wrong in ([*moves, missing], [*moves[:1], missing]):
        with pytest.raises(FileNotFoundError):
            put_all_in_place(wrong)
        assert content(tmp_path) == before
    put_all_in_place(moves)
    assert {*content(tmp_path)} == {
        *("old a", "old a/a", "aside a", "aside a/old a"),
        *("new b", "new b/b"),
    }


def exit_status(code: str, *arguments: str) -> int:
    """Of a process of its own with this code: signals are a matter of the whole process."""
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, timeout=120, preexec_fn=heed_all).returncode


RENAMES = """
import signal, sys
from pathlib import Path
from lafi_export.ending import ended_like_an_error, put_in_place

folder, number = Path(sys.argv[1]), int(sys.argv[2])
new, target, aside = (folder / name for name in ("new", "target", "aside"))
rename = Path.rename

def signalled(path, other):
    moved = rename(path, other)
    signal.raise_signal(number)
    return moved

Path.rename = signalled
try:
    with ended_like_an_error():
        put_in_place(new, target, aside)
except (SystemExit, KeyboardInterrupt):
    sys.exit(0)
sys.exit("nothing was raised")
"""
IGNORED = """
import signal
from lafi_export.ending import ended_like_an_error, uninterrupted

signal.signal(signal.SIGHUP, signal.SIG_IGN)
with ended_like_an_error(), uninterrupted():
    signal.raise_signal(signal.SIGHUP)
assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_between_two_renames_waits(number: int, tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "target").mkdir()
    assert exit_status(RENAMES, str(tmp_path), str(int(number))) == 0
    assert {*content(tmp_path)} == {"target", "aside"}


@pytest.mark.parametrize("block", [ended_like_an_error, uninterrupted])
def test_handlers_are_as_before(block: Callable[[], object]) -> None:
    numbers = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
    before = [signal.getsignal(number) for number in numbers]
    with block():  # type: ignore[attr-defined]
        assert [signal.getsignal(number) for number in numbers] != before
    assert [signal.getsignal(number) for number in numbers] == before


def test_an_ignored_signal_stays_ignored() -> None:
    assert exit_status(IGNORED) == 0


def test_folders_above_that_were_made_go_again_if_they_are_empty(tmp_path: Path) -> None:
    with pytest.raises(KeyError), made_folder(tmp_path / "a" / "b"):
        raise KeyError
    assert not content(tmp_path)
    (tmp_path / "a").mkdir()
    with pytest.raises(KeyError), made_folder(tmp_path / "a" / "b"):
        raise KeyError
    assert {*content(tmp_path)} == {"a"}
    with made_folder(tmp_path / "c"):
        pass
    assert (tmp_path / "c").is_dir()
