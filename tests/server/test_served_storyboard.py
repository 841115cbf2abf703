import io
import itertools
import json
import time
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lafi.board.reference_image import ReferenceImage
from lafi.board.stages import Sampling, SamplingStage
from lafi.board.storyboard import Character, Panel, Storyboard
from lafi.drawing.pipeline import draw
from lafi.engine.onnx.engines import load_onnx_engines
from lafi.server.supervisor import Supervisor
from lafi.wire.contract import storyboard_to_tensors
from lafi.wire.events import Accepted, Finished, PanelImage, Portrait, Progress
from lafi.wire.model_spec import bytes_tensor


def png(width: int = 24, height: int = 32) -> bytes:
    file = io.BytesIO()
    pixels = np.arange(width * height * 4, dtype=np.uint8).reshape(height, width, 4)
    Image.fromarray(pixels, "RGBA").save(file, "PNG")
    return file.getvalue()


def sampling(steps: int) -> Sampling:
    return Sampling(stages=(SamplingStage(steps=steps),))


MIA = Character(name="mia", prompt="a child with red hair")
TOM = Character(name="tom", prompt="a child", reference=ReferenceImage(data=png()))
STORYBOARD = Storyboard(
    width=32,
    height=32,
    sampling=sampling(4),
    characters=(MIA, TOM),
    panels=(
        Panel(prompt="{mia} is running"),
        Panel(prompt="{tom} and {mia} on the beach", seed=7),
        Panel(prompt="the beach at night"),
    ),
)
SMALL = Storyboard(width=32, height=32, sampling=sampling(2), panels=(Panel(prompt="a beach"),))
LONG = Storyboard(
    width=64, height=64, sampling=sampling(100), panels=tuple(Panel(prompt="a") for _ in range(32))
)


def pixels(png: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(png)) as image:
        return np.asarray(image, dtype=np.int16)


def metrics(server: Supervisor) -> dict[str, float]:
    """LAFI's numbers at the server's /metrics."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(server.metrics_url, timeout=10) as response:
        lines = response.read().decode().splitlines()
    found = (line.rpartition(" ") for line in lines if line.startswith("lafi_"))
    return {name: float(value) for name, _, value in found}


def settled_metrics(server: Supervisor) -> dict[str, float]:
    """The numbers once nothing is drawn any more and the server has had time to show them."""
    deadline = time.monotonic() + 20
    before: dict[str, float] = {}
    while before.get("lafi_storyboards_in_flight") != 0 or before != metrics(server):
        assert time.monotonic() < deadline
        before = metrics(server)
        time.sleep(1.2)
    return before


def still_draws(caller: Any) -> bool:
    """True if the server draws, once the places of cancelled storyboards are free again."""
    deadline = time.monotonic() + 20
    while True:
        answers = caller.draw(SMALL)
        busy = isinstance(answers[0], str) and answers[0].startswith("UNAVAILABLE")
        if not busy or time.monotonic() > deadline:
            return [answer.kind for answer in answers] == [
                "accepted",
                "progress",
                "progress",
                "panel",
                "finished",
            ]
        time.sleep(0.05)


def test_pictures_are_byte_for_byte_those_of_the_pipeline(
    caller: Any, served_repository: Path
) -> None:
    engines = load_onnx_engines(served_repository / "artifacts", "onnxruntime", "f32", 1)
    expected = list(draw(STORYBOARD, engines))
    answers = caller.draw(STORYBOARD)
    assert [answer.kind for answer in answers] == [event.kind for event in expected]
    pictures = [
        (answer, event)
        for answer, event in zip(answers, expected, strict=True)
        if isinstance(event, PanelImage | Portrait)
    ]
    assert len(pictures) == 5
    for answer, event in pictures:
        assert answer.png == event.png


def test_events_come_in_the_order_of_the_contract(caller: Any) -> None:
    answers = caller.draw(STORYBOARD)
    assert answers[0] == Accepted(panels=3, portraits=1, id=answers[0].id, tokens=answers[0].tokens)
    assert len(answers[0].tokens) >= 3
    assert isinstance(answers[-1], Finished)
    assert answers[-1].panels == 3
    portraits = [a.character for a in answers if isinstance(a, Portrait)]
    assert sorted(portraits) == ["mia", "tom"]
    panels = [a for a in answers if isinstance(a, PanelImage)]
    assert sorted(panel.panel for panel in panels) == [0, 1, 2]
    assert {panel.panel: panel.seed for panel in panels} == {0: 0, 1: 7, 2: 2}
    for index in range(3):
        own = [a for a in answers if getattr(a, "panel", None) == index]
        assert [a.step for a in own if isinstance(a, Progress)] == [1, 2, 3, 4]
        assert isinstance(own[-1], PanelImage)


def test_two_storyboards_at_once_are_both_drawn(caller: Any) -> None:
    streams = [caller.stream(), caller.stream()]
    for stream in streams:
        stream.send(storyboard_to_tensors(SMALL))
    first, second = (list(stream.answers()) for stream in streams)
    for stream in streams:
        stream.close()
    assert isinstance(first[-1], Finished)
    assert isinstance(second[-1], Finished)
    pictures = [pixels(a.png) for a in first + second if isinstance(a, PanelImage)]
    assert len(pictures) == 2
    assert np.abs(pictures[0] - pictures[1]).max() <= 2


def test_a_short_storyboard_does_not_wait_for_a_long_one_to_end(caller: Any) -> None:
    stream = caller.stream()
    stream.send(storyboard_to_tensors(LONG))
    answers = stream.answers()
    drawn_before = next(answer for answer in answers if isinstance(answer, Progress))
    assert isinstance(caller.draw(SMALL)[-1], Finished)
    after = list(itertools.islice(answers, 3))
    stream.cancel()
    assert drawn_before.step == 1
    assert all(isinstance(answer, Progress) for answer in after)
    assert still_draws(caller)


def test_what_the_server_counts_is_shown_with_its_own_metrics(
    caller: Any, server: Supervisor
) -> None:
    before = settled_metrics(server)
    assert isinstance(caller.draw(STORYBOARD)[-1], Finished)
    after = settled_metrics(server)
    assert after["lafi_panel_steps_total"] - before["lafi_panel_steps_total"] == 4 * 4
    rows = 'lafi_denoiser_rows_total{kind="panel"}'
    assert after[rows] - before[rows] == 4 * 4 * 2
    assert after["lafi_step_seconds_total"] >= after["lafi_denoiser_seconds_total"] > 0


def test_a_cancelled_storyboard_frees_the_worker(caller: Any) -> None:
    stream = caller.stream()
    stream.send(storyboard_to_tensors(LONG))
    for _ in itertools.islice(stream.answers(), 3):
        pass
    stream.cancel()
    began = time.monotonic()
    assert still_draws(caller)
    assert time.monotonic() - began < 20


def test_beyond_the_limit_a_storyboard_is_refused_and_says_so(caller: Any) -> None:
    streams = [caller.stream(), caller.stream()]
    for stream in streams:
        stream.send(storyboard_to_tensors(LONG))
        accepted = next(stream.answers())
        assert accepted == Accepted(panels=32, portraits=0, id=accepted.id, tokens=accepted.tokens)
    assert caller.draw(SMALL) == [
        "UNAVAILABLE: this server draws at most 2 storyboards at a time and 2 are in flight; "
        "try again later"
    ]
    for stream in streams:
        stream.cancel()
    assert still_draws(caller)


GOOD = storyboard_to_tensors(STORYBOARD)
DOCUMENT = json.loads(GOOD["STORYBOARD"][0])


def changed(**fields: object) -> dict[str, np.ndarray]:
    """The good request with other fields in its document."""
    return GOOD | {"STORYBOARD": bytes_tensor(json.dumps(DOCUMENT | fields).encode())}


BAD = {
    "missing tensor": (
        {"STORYBOARD": GOOD["STORYBOARD"]},
        "INVALID_ARGUMENT: inputs: REFERENCES missing",
    ),
    "unknown tensor": (
        GOOD | {"EXTRA": bytes_tensor(b"")},
        "INVALID_ARGUMENT: inputs: got 'EXTRA', allowed: STORYBOARD, REFERENCES",
    ),
    "wrong dtype": (
        GOOD | {"STORYBOARD": np.zeros(1, np.float32)},
        "INVALID_ARGUMENT: STORYBOARD: got datatype 'FP32', allowed: BYTES",
    ),
    "wrong shape": (
        GOOD | {"STORYBOARD": bytes_tensor(b"{}", b"{}")},
        "INVALID_ARGUMENT: STORYBOARD: got shape [2], allowed: [1]",
    ),
    "two dimensions": (
        GOOD | {"REFERENCES": bytes_tensor(b"").reshape(1, 1)},
        "INVALID_ARGUMENT: REFERENCES: got shape [1, 1], allowed: [-1]",
    ),
    "empty": (GOOD | {"STORYBOARD": bytes_tensor(b"")}, "INVALID_ARGUMENT: STORYBOARD: "),
    "invalid UTF-8": (
        GOOD | {"STORYBOARD": bytes_tensor(b'{"title": "\xff"}')},
        "INVALID_ARGUMENT: STORYBOARD: got byte 0xff at offset 11, allowed: valid UTF-8",
    ),
    "broken JSON": (GOOD | {"STORYBOARD": bytes_tensor(b'{"a": ')}, "INVALID_ARGUMENT: STORYBOARD"),
    "not a mapping": (GOOD | {"STORYBOARD": bytes_tensor(b"[1]")}, "INVALID_ARGUMENT: "),
    "unknown field": (changed(colour="red"), "INVALID_ARGUMENT: colour: unknown field, allowed:"),
    "NaN": (
        changed(sampling={"guidance": float("nan")}),
        "INVALID_ARGUMENT: sampling.guidance: got nan, allowed: 0 to 30",
    ),
    "huge": (changed(width=10**6), "INVALID_ARGUMENT: width: got 1000000, allowed: 32 to 2048"),
    "no panels": (changed(panels=[]), "INVALID_ARGUMENT: panels: got 0 "),
    "unknown character": (
        changed(panels=[{"prompt": "{zoe} runs"}]),
        "INVALID_ARGUMENT: panels[0].",
    ),
    "not this model's size": (changed(width=40), "INVALID_ARGUMENT: width: got 40, allowed: "),
    "layer that is not there": (
        changed(injection={"layers": 900}),
        "INVALID_ARGUMENT: injection.layers: got 900, allowed: 0 to ",
    ),
    "text as reference": (
        GOOD | {"REFERENCES": bytes_tensor(b"this is no picture")},
        "INVALID_ARGUMENT: characters[1].reference",
    ),
    "reference cut off": (
        GOOD | {"REFERENCES": bytes_tensor(png()[:60])},
        "INVALID_ARGUMENT: characters[1].reference",
    ),
    "reference that nobody has": (
        GOOD | {"REFERENCES": bytes_tensor(png(), png())},
        "INVALID_ARGUMENT: REFERENCES: got 2 images, allowed: 1",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_request_gets_a_clear_error(caller: Any, name: str) -> None:
    tensors, text = BAD[name]
    answers = caller.raw(tensors)
    assert len(answers) == 1
    assert isinstance(answers[0], str)
    assert text in answers[0]


def test_after_all_bad_requests_on_one_stream_the_server_draws(caller: Any) -> None:
    stream = caller.stream()
    for tensors, text in BAD.values():
        stream.send(tensors)
        (answer,) = stream.answers()
        assert text in answer
    stream.close()
    assert still_draws(caller)
