"""Two real servers with a journal each behind a real Envoy: every command finds its storyboard."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from benchmarks.faults.balancers import Envoy
from benchmarks.faults.cluster import ORDINALS, Cluster
from benchmarks.faults.served import soon
from lafi.board.stages import Sampling, SamplingStage
from lafi.board.storyboard import Panel, Storyboard
from lafi.wire.events import Accepted, Finished
from lafi_client import StoryboardClient
from lafi_client.retry import RetryPolicy

pytestmark = pytest.mark.slow
pytest.importorskip("envoy")

PATIENT = RetryPolicy(retries=200, first_delay=0.1, max_delay=0.5)


def board(seed: int, *, steps: int = 2, panels: int = 2) -> Storyboard:
    return Storyboard(
        width=64,
        height=64,
        sampling=Sampling(stages=(SamplingStage(steps=steps),)),
        panels=tuple(Panel(prompt="a child", seed=seed + n) for n in range(panels)),
    )


def drawn(cluster: Cluster, ordinal: int) -> float:
    """Panels that this server drew."""
    return cluster.running[ordinal].metric("lafi_panels_total")


@pytest.fixture(scope="module")
def cluster(
    served_repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Cluster, str]]:
    made = Cluster(served_repository, tmp_path_factory.mktemp("pods"))
    with ExitStack() as ending:
        ending.callback(made.stop)
        for ordinal in ORDINALS:
            made.start(ordinal)
        pods = [*made.pods.values()]
        yield made, ending.enter_context(Envoy().run(pods, made.folder / "envoy"))


def test_what_is_drawn_behind_envoy_is_let_go_by_its_server(cluster: tuple[Cluster, str]) -> None:
    pods, url = cluster
    with (
        StoryboardClient(url, retries=PATIENT) as client,
        ThreadPoolExecutor(4) as pool,
    ):
        boards = [board(100 * number) for number in range(10)]
        assert [len(panels) for panels in pool.map(client.draw_all, boards)] == [2] * 10
        assert all(drawn(pods, ordinal) > 0 for ordinal in ORDINALS), "both drew"
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
