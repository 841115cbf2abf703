"""Full and read-only disks, damaged files, and two servers on one store."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Container, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

from benchmarks.faults import served as serving
from benchmarks.faults.attempt import Attempt, Bench, rng_of
from benchmarks.faults.drawing import Drawn, board, client_of, draw, drawing
from benchmarks.faults.served import Served
from lafi.board.storyboard import Storyboard

PANELS = 8
CODE = (".py", ".pyc")
"""Nothing checks the hash of code: who can change it need not break it."""


def on_a_disk_of(size: str, folder: Path) -> list[str]:
    """The beginning of a command that sees a disk of this size at `folder`."""
    made = folder.resolve()
    made.mkdir(parents=True, exist_ok=True)
    script = 'mount -t tmpfs -o "size=$1" tmpfs "$2" && shift 2 && exec "$@"'
    alone = ["unshare", "--user", "--map-root-user", "--mount"]
    return [*alone, "sh", "-c", script, "sh", size, str(made)]


class FullDisk:
    """The store and the journal are on a disk that fills up while panels are drawn."""

    name = "disk full"
    demand = "clear error, no partial file, resumes"
    full, short = 10, 1
    size = "256k"

    def attempts(self, bench: Bench, numbers: Sequence[int]) -> Iterator[Attempt]:
        """Each try fills a new disk; then the disk is emptied and the panels are drawn."""
        for number in numbers:
            folder = bench.folder("full")
            disk = folder / "disk"
            options = ("--store", str(disk / "store"))
            before = on_a_disk_of(self.size, disk)
            with bench.serve(*options, before=before) as served:
                seen = Path(f"/proc/{served.process.pid}/root{disk.resolve()}")
                filled = 0
                said = ""
                while not said and filled < 200:
                    with client_of(served.url, retries=0) as client:
                        wanted = board(8 * 10**6 + 1000 * number + filled, PANELS, 1)
                        said = draw(client, wanted).wrong()
                    filled += 1
                wrong = [] if said else ["the disk was never full"]
                if "store" not in said and "journal" not in said and "space" not in said:
                    wrong.append(f"an error that does not say it: {said}")
                wrong += [f"partial file {path}" for path in seen.rglob("*.partial*")]
                wrong += served.harm_since(0)
                for panel in (seen / "store").rglob("*"):
                    if panel.is_file() and panel.suffix not in (".sqlite", ".json"):
                        panel.unlink()
                with client_of(served.url) as client:
                    wrong.append(draw(client, wanted).wrong())
                yield Attempt("; ".join(filter(None, wrong)), {"storyboards": filled})


class Damage:
    """A flip, a cut or an end in one file of a store, between two lives of a server."""

    name = "damage"
    demand = "flips and truncations in every kind of file: refused or redrawn, never other pixels"
    full, short = 200, 3
    at_once = 20

    def attempts(self, bench: Bench, numbers: Sequence[int]) -> Iterator[Attempt]:
        """A server draws; then each life finds some files of a copy of its store damaged."""
        folder = bench.folder("damage")
        store, wanted = folder / "store", board(9 * 10**6, PANELS, 1)
        with bench.serve("--store", str(store)) as served, client_of(served.url) as client:
            good = draw(client, wanted)
        for start in range(0, len(numbers), self.at_once):
            chosen = numbers[start : start + self.at_once]
            hurt = folder / "hurt"
            shutil.rmtree(hurt, ignore_errors=True)
            shutil.copytree(store, hurt)
            said = [_hurt(hurt, self.name, number) for number in chosen]
            with ExitStack() as stack:
                try:
                    served = stack.enter_context(bench.serve("--store", str(hurt)))
                except RuntimeError as error:
                    named = any(Path(name).name in str(error) for name in said)
                    wrong = "" if named else f"it did not start and names no file: {error}"
                else:
                    client = stack.enter_context(client_of(served.url))
                    again = draw(client, wanted)
                    other = [n for n, digest in good.panels.items() if again.panels[n] != digest]
                    wrong = again.wrong() or (f"other pixels in {other}" if other else "")
            for name in said:
                yield Attempt(wrong and f"{name}: {wrong}")


class DamagedRepository:
    """A flip, a cut or an end in one file of the repository that is served, code excepted."""

    name = "damage of the repository"
    demand = "weights, graphs, tokenizers, facts, configs, journal: named, or the same pixels"
    full, short = 60, 2

    def attempts(self, bench: Bench, numbers: Sequence[int]) -> Iterator[Attempt]:
        """Each life finds one file of a copy damaged; before, a server has drawn from it."""
        folder, wanted = bench.folder("repository"), board(12 * 10**6, PANELS, 1)
        whole, hurt = folder / "whole", folder / "hurt"
        shutil.copytree(bench.repository, whole, ignore=shutil.ignore_patterns("state"))
        with _life(whole, folder) as served, client_of(served.url) as client:
            good = draw(client, wanted)
        shutil.rmtree(whole / "state" / "panels")
        for number in numbers:
            shutil.rmtree(hurt, ignore_errors=True)
            shutil.copytree(whole, hurt)
            name = _hurt(hurt, self.name, number, but=CODE)
            yield Attempt(self._one(hurt, folder, name, wanted, good))

    def _one(self, hurt: Path, folder: Path, name: str, wanted: Storyboard, good: Drawn) -> str:
        try:
            with _life(hurt, folder) as served, client_of(served.url, retries=0) as client:
                again = draw(client, wanted)
        except RuntimeError as error:
            return (
                ""
                if _is_named(name, str(error))
                else f"{name}: it did not start and names no file: {error}"
            )
        if again.wrong() and Path(name).name in again.error:
            return ""
        other = [n for n, digest in good.panels.items() if again.panels.get(n) != digest]
        wrong = again.wrong() or (f"other pixels in {other}" if other else "")
        return wrong and f"{name}: {wrong}"


class TwoServers:
    """Both draw the same storyboard for one store, and one of them dies."""

    name = "two servers"
    demand = "one store: no announced panel lost or drawn twice when a server dies"
    full, short = 20, 1

    def attempts(self, bench: Bench, numbers: Sequence[int]) -> Iterator[Attempt]:
        """The one that dies is started again for the next try."""
        folder = bench.folder("two")
        options = ("--store", str(folder / "store"))
        stays = serving.start(bench.repository, folder / "a", options)
        dies = serving.start(bench.repository, folder / "b", options)
        try:
            for number in numbers:
                rng = rng_of(self.name, number)
                wanted = board(10**7 + number, PANELS, 20)
                with drawing(stays.url, wanted) as first, client_of(dies.url, retries=0) as other:
                    second = Drawn(PANELS)
                    panels = other.draw(wanted)
                    for _ in range(rng.randint(1, 4)):
                        panel = next(panels)
                        second.take(panel.panel, panel.png, kept=panel.kept)
                    dies.process.kill()
                    dies.process.communicate()
                serving.seconds_until(lambda: not dies.left(), 20)  # noqa: B023
                differing = [n for n, png in second.panels.items() if first.panels.get(n) != png]
                with client_of(stays.url) as client:
                    again = draw(client, wanted)
                wrong = [first.wrong(), again.wrong()]
                if differing:
                    wrong.append(f"announced by one, drawn again by the other: {differing}")
                if again.kept != {*range(PANELS)}:
                    wrong.append("not all panels were kept")
                dies = serving.start(bench.repository, folder / "b", options)
                yield Attempt("; ".join(filter(None, wrong)))
        finally:
            serving.end(stays)
            serving.end(dies)


def _life(repository: Path, folder: Path) -> AbstractContextManager[Served]:
    """A server of this repository, which keeps its panels beside its journal."""
    return serving.serve(repository, Path(tempfile.mkdtemp(dir=folder)))


def _is_named(name: str, said: str) -> bool:
    """By itself; a config, which Triton Server reads, also by the model that it is of."""
    path = Path(name)
    return path.name in said or (path.name == "config.pbtxt" and f"'{path.parent.name}'" in said)


def _hurt(folder: Path, name: str, number: int, but: Container[str] = ()) -> str:
    """Damage one file, chosen by the number; its path. but: suffixes of files that stay whole."""
    rng = rng_of(name, number)
    files = sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and path.stat().st_size and path.suffix not in but
    )
    path = files[rng.randrange(len(files))]
    data = bytearray(path.read_bytes())
    kind = rng.randrange(3)
    if kind == 0:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    elif kind == 1:
        del data[rng.randrange(len(data)) :]
    else:
        data.extend(rng.randbytes(rng.randint(1, 100)))
    path.write_bytes(data)
    return str(path.relative_to(folder))
