"""Two real servers with a journal each behind a real Envoy: every command finds its storyboard."""

import shutil
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from pods import free_port

from benchmarks.faults.balancers import Envoy, Pod
from benchmarks.faults.served import Served, end, soon, start
from lafi.board.stages import Sampling, SamplingStage
from lafi.board.storyboard import Panel, Storyboard
from lafi.store.journal import JOURNAL_FILE
from lafi.wire.events import Accepted, Finished
from lafi_client import StoryboardClient
from lafi_client.retry import RetryPolicy

pytestmark = pytest.mark.slow
pytest.importorskip("envoy")

PATIENT = RetryPolicy(retries=200, first_delay=0.1, max_delay=0.5)
ORDINALS = (2, 3)


def board(seed: int, *, steps: int = 2, panels: int = 2) -> Storyboard:
    return Storyboard(
        width=64,
        height=64,
        sampling=Sampling(stages=(SamplingStage(steps=steps),)),
        panels=tuple(Panel(prompt="a child", seed=seed + n) for n in range(panels)),
    )


class Cluster:
    """The servers, which share a store alone; the last number of an address is the pod's."""

    def __init__(self, repository: Path, folder: Path) -> None:
        self.folder, self._grpc, self._health = folder, free_port(), free_port()
        self.repositories = {n: folder / f"repository{n}" for n in ORDINALS}
        for copy in self.repositories.values():
            shutil.copytree(repository, copy, ignore=shutil.ignore_patterns("state"))
        self.pods = [Pod(self._grpc, self._health, f"127.0.0.{n}") for n in ORDINALS]
        self.running: dict[int, Served] = {}

    def start(self, ordinal: int) -> None:
        options = (
            *("--host", f"127.0.0.{ordinal}", "--pod", f"lafi-main-{ordinal}"),
            *("--grpc-port", str(self._grpc), "--health-port", str(self._health)),
            *("--peers", f"127.0.0.{{ordinal}}:{self._grpc}", "--canary-seconds", "0"),
            *("--store", str(self.folder / "store")),
        )
        life = self.folder / f"life{ordinal}-{len(list(self.folder.iterdir()))}"
        self.running[ordinal] = start(self.repositories[ordinal], life, options)

    def journalled(self, ordinal: int) -> int:
        """Storyboards in its journal."""
        path = self.repositories[ordinal] / "state" / "journal" / JOURNAL_FILE
        with closing(sqlite3.connect(path)) as rows:
            return int(rows.execute("SELECT count(*) FROM storyboard").fetchone()[0])

    def drawn(self, ordinal: int) -> float:
        """Panels that it drew."""
        return self.running[ordinal].metric("lafi_panels_total")


@pytest.fixture(scope="module")
def cluster(
    served_repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Cluster, str]]:
    made = Cluster(served_repository, tmp_path_factory.mktemp("pods"))
    with ExitStack() as ending:
        for ordinal in ORDINALS:
            made.start(ordinal)
            ending.callback(lambda n=ordinal: end(made.running[n]))
        yield made, ending.enter_context(Envoy().run(made.pods, made.folder / "envoy"))


def test_what_is_drawn_behind_envoy_is_let_go_by_its_server(cluster: tuple[Cluster, str]) -> None:
    pods, url = cluster
    with (
        StoryboardClient(url, retries=PATIENT) as client,
        ThreadPoolExecutor(4) as pool,
    ):
        boards = [board(100 * number) for number in range(10)]
        assert [len(panels) for panels in pool.map(client.draw_all, boards)] == [2] * 10
        assert all(pods.drawn(ordinal) > 0 for ordinal in ORDINALS), "both drew"
    assert soon(lambda: [pods.journalled(ordinal) for ordinal in ORDINALS] == [0, 0], 10)


def test_attach_and_cancel_behind_envoy(cluster: tuple[Cluster, str]) -> None:
    pods, url = cluster
    for number in range(4):
        with StoryboardClient(url, retries=PATIENT) as client:
            identifier = client.submit(board(10_000 + 100 * number))
        with StoryboardClient(url, retries=PATIENT) as client:
            assert isinstance(list(client.attach(identifier))[-1], Finished)
        with StoryboardClient(url, retries=PATIENT) as client:
            identifier = client.submit(board(20_000 + 100 * number, steps=100, panels=8))
            client.cancel(identifier)
    assert soon(lambda: [pods.journalled(ordinal) for ordinal in ORDINALS] == [0, 0], 10)


def test_a_storyboard_goes_on_at_another_server_when_its_own_is_killed(
    cluster: tuple[Cluster, str],
) -> None:
    pods, url = cluster
    with StoryboardClient(url, retries=PATIENT) as client:
        wanted = board(30_000, steps=60, panels=4)
        with closing(client.events(wanted)) as events:
            first = next(events)
            assert isinstance(first, Accepted)
            owner = int(first.id[-3:], 16)
            assert owner in ORDINALS
            pods.running[owner].kill()
            pods.running[owner].process.communicate()
            last = [*events][-1]
        assert last == Finished(panels=4, seconds=last.seconds)
        pods.start(owner)
