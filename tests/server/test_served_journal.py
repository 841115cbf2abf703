"""The whole real server is killed while it draws a detached storyboard, and nothing is lost."""

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as grpcclient
from PIL import Image

import lafi_client.client
from benchmarks.faults.served import Served, end, soon, start
from lafi.board.stages import Sampling, SamplingStage
from lafi.board.storyboard import Character, Panel, Storyboard
from lafi.store.settings import STORE, journal_of
from lafi.wire.events import Event, PanelImage
from lafi_client import StoryboardClient, StoryboardUnknown
from lafi_client.wire import pursued_request

LONG = Storyboard(
    width=64,
    height=64,
    sampling=Sampling(stages=(SamplingStage(steps=40),)),
    panels=tuple(Panel(prompt="a child", seed=5000 + n) for n in range(12)),
)


@pytest.fixture
def serve(served_repository: Path, tmp_path: Path) -> Iterator[Callable[[], Served]]:
    started: list[Served] = []

    def start_one() -> Served:
        options = ("--store", str(tmp_path / "store"), "--grace", "25")
        started.append(start(served_repository, tmp_path / f"run{len(started)}", options))
        return started[-1]

    yield start_one
    for served in started:
        served.process.kill()
        served.process.communicate()


def panels(events: Any) -> Iterator[PanelImage]:
    return (event for event in events if isinstance(event, PanelImage))


def control(url: str, action: str, identifier: str, numbers: list[int]) -> bytes:
    """A plain call with nothing of ours in it."""
    with grpcclient.InferenceServerClient(url) as client:
        inputs = []
        for name, value in (("ACTION", action), ("ID", identifier)):
            inputs.append(grpcclient.InferInput(name, [1], "BYTES"))
            inputs[-1].set_data_from_numpy(np.array([value.encode()], dtype=object))
        if not numbers:
            return bytes(client.infer("storyboard_control", inputs).as_numpy("ANSWER")[0])
        inputs.append(grpcclient.InferInput("PANELS", [len(numbers)], "INT64"))
        inputs[-1].set_data_from_numpy(np.array(numbers, dtype=np.int64))
        answer = client.infer("storyboard_control", inputs).as_numpy("ANSWER")
        assert client.is_model_ready("storyboard_control")
    return bytes(answer[0])


def check_plain_calls(client: StoryboardClient, url: str) -> None:
    """Commands reach the server without a stream, too."""
    identifier = client.submit(LONG.model_copy(update={"negative_prompt": "a dog"}))
    assert b'"left":12' in control(url, "acknowledge", identifier, [])
    client.cancel(identifier)
    assert soon(lambda: identifier[:8] not in {entry.id for entry in client.queue()}, 10)
    with pytest.raises(StoryboardUnknown, match="no storyboard has"):
        client.cancel(identifier)


def check_named_pictures(
    client: StoryboardClient, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A large reference is sent, named, and sent again once the server has let it go."""
    pixels = np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    mia = Character(name="mia", prompt="a child", reference=stream.getvalue())
    sizes = []

    def noted(asked: Any, name: Any) -> Any:
        sizes.append(request := pursued_request(asked, name))
        return request

    monkeypatch.setattr(lafi_client.client, "pursued_request", noted)
    drawn = set()
    for skip in range(3):
        board = Storyboard(
            width=64,
            height=64,
            clip_skip=skip % 2,
            sampling={"steps": 2},
            characters=(mia,),
            panels=(Panel(prompt="{mia} runs", seed=7 + skip // 2),),
        )
        (panel,) = client.draw(board)
        drawn.add(panel.png)
        (file,) = kept.iterdir()
        if skip == 1:
            file.unlink()
    assert len(drawn) == 3
    large = [request.ByteSize() > len(stream.getvalue()) for request in sizes]
    assert large == [True, False, False, True]


@pytest.mark.timeout(900)  # two starts of a server
def test_a_detached_storyboard_survives_the_death_of_everything(
    serve: Callable[[], Served],
    served_repository: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    served = serve()
    with StoryboardClient(served.url, retries=0) as client:
        identifier = client.submit(LONG)
        told = {entry.id: entry for entry in client.queue()}  # the canary may be there too
        assert told[identifier[:8]].panels == 12
        assert told[identifier[:8]].detach
        watched = panels(client.attach(identifier))
        announced = {next(watched).panel for _ in range(2)}
        assert len(served.parts()) >= 3
        served.kill()
    again = serve()
    journal = journal_of({STORE: str(tmp_path / "store")}, served_repository / "state")
    assert journal is not None
    assert soon(lambda: not journal.unfinished()), "it goes on without its client"
    events: list[Event] = []
    with StoryboardClient(again.url) as client:
        events += client.attach(identifier)
        arrived = [event.panel for event in panels(events)]
        assert sorted(arrived) == list(range(12)), "every panel once"
        assert announced <= {event.panel for event in panels(events) if event.kept}
        assert soon(lambda: not journal.has(identifier), 5), "all was acknowledged"
        with pytest.raises(StoryboardUnknown):
            list(client.attach(identifier))
        check_plain_calls(client, again.url)
        check_named_pictures(client, served_repository / "state" / "pictures", monkeypatch)
    journal.close()
    assert end(again, 60) == 0
