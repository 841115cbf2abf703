"""How an export ends when somebody ends it: as after an error, with nothing left behind.

Knows signals and folders, not what is exported.
"""

import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

_ENDING: Final = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)
)
"""By default these end a process at once."""


@contextmanager
def ended_like_an_error() -> Iterator[None]:
    """SIGTERM and SIGHUP raise SystemExit inside, so that folders are removed as after an error.

    What is ignored stays so: `nohup lafi export` outlives its terminal.
    """

    def end(number: int, frame: object) -> None:
        raise SystemExit(128 + number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heeded = [number for number in _ENDING if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, end) for number in heeded}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Signals that end a process wait until the block is left, for what must not be done by half.

    In another thread than the main one there is nothing to wait for: signals never arrive there.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    arrived: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _: arrived.append(number))
        for number in (signal.SIGINT, *_ENDING)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if arrived:
            signal.raise_signal(arrived[0])


def put_in_place(new: Path, target: Path, aside: Path) -> None:
    """The folder `new` becomes `target`; what that was becomes `aside`. After an error it is whole.

    All three are on one disk.
    """
    with uninterrupted():
        if target.exists():
            target.rename(aside)
        try:
            new.rename(target)
        except BaseException:
            if aside.exists():
                aside.rename(target)
            raise


def put_all_in_place(moves: Sequence[tuple[Path, Path, Path]]) -> None:
    """`put_in_place` of several (new, target, aside); after an error every target is what it was.

    The three of each are on one disk.
    """
    with uninterrupted(), ExitStack() as undo:
        for new, target, aside in moves:
            put_in_place(new, target, aside)
            undo.callback(_put_back, new, target, aside)
        undo.pop_all()


def _put_back(new: Path, target: Path, aside: Path) -> None:
    target.rename(new)
    if aside.exists():
        aside.rename(target)


@contextmanager
def made_folder(folder: Path) -> Iterator[None]:
    """The folder and those above it; after an error those that were made and are empty go again."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        with uninterrupted(), suppress(OSError):
            for each in missing:
                each.rmdir()
        raise
