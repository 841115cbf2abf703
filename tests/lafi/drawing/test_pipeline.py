"""A storyboard drawn in one process, on the tiny checkpoint."""

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from lafi.board.error import StoryboardError
from lafi.board.reference_image import ReferenceImage
from lafi.board.storyboard import Character, Panel, Storyboard
from lafi.drawing.content_address import content_address
from lafi.drawing.pipeline import draw
from lafi.engine.torch.engines import load_torch_engines
from lafi.model.checkpoint import CheckpointError, read_model_info
from lafi.ports.engines import DenoiserBatch, EncodedText, Engines
from lafi.wire.events import Accepted, Event, Failed, Finished, PanelImage, Portrait, Progress


@pytest.fixture(scope="module")
def engines(checkpoint: Path) -> Engines:
    return load_torch_engines(checkpoint)


def reference(colour: tuple[int, ...], size: tuple[int, int] = (24, 32)) -> ReferenceImage:
    buffer = io.BytesIO()
    Image.new("RGBA", size, colour).save(buffer, format="PNG")
    return ReferenceImage(data=buffer.getvalue())


MIA = Character(
    name="mia", prompt="a child", trigger="sks", reference=reference((200, 40, 30, 255))
)
BO = Character(name="bo", prompt="on the beach", reference=reference((0, 90, 200, 128)))
ANN = Character(name="ann", prompt="a child at night")
PANELS = (
    Panel(prompt="{mia} is running", seed=1),
    Panel(prompt="{mia} and {bo}", seed=2, regions={"mia": (0.0, 0.0, 0.5, 1.0)}),
    Panel(prompt="{ann} on the beach", seed=3, sampling={"steps": 2, "sampler": "EulerAncestral"}),
    Panel(prompt="the beach", seed=4, sampling={"guidance": 1.0}),
)


def board(panels: Sequence[Panel] = PANELS, **settings: Any) -> Storyboard:
    return Storyboard(
        width=32,
        height=48,
        sampling={"steps": 4, "guidance": 3.0},
        characters=(MIA, BO, ANN),
        panels=panels,
        **settings,
    )


def pixels(event: PanelImage | Portrait) -> np.ndarray:
    with Image.open(io.BytesIO(event.png)) as image:
        return np.asarray(image, dtype=np.int16)


def panels_of(events: Sequence[Event]) -> dict[int, PanelImage]:
    return {event.panel: event for event in events if isinstance(event, PanelImage)}


@pytest.fixture(scope="module")
def events(engines: Engines) -> list[Event]:
    return list(draw(board(), engines))


def test_events_come_in_the_order_of_the_wire(events: list[Event]) -> None:
    assert events[0] == Accepted(panels=4, portraits=1, tokens=events[0].tokens)
    assert isinstance(events[-1], Finished)
    assert events[-1].panels == 4
    assert [e.character for e in events if isinstance(e, Portrait)] == ["mia", "bo", "ann"]
    assert [e.panel for e in events if isinstance(e, PanelImage)] == [2, 0, 1, 3]


def test_every_step_of_every_picture_is_reported_once(events: list[Event]) -> None:
    steps = [(e.panel, e.character, e.step) for e in events if isinstance(e, Progress)]
    expected = {(None, "ann", i) for i in range(1, 5)} | {(2, None, i) for i in range(1, 3)}
    expected |= {(panel, None, i) for panel in (0, 1, 3) for i in range(1, 5)}
    assert len(steps) == len(expected)
    assert set(steps) == expected


def test_a_panel_says_what_drew_it(engines: Engines, events: list[Event]) -> None:
    storyboard = board()
    event = panels_of(events)[1]
    assert event.prompt == "sks a child and on the beach"
    assert event.seed == 2
    assert event.address == content_address(storyboard, storyboard.panels[1], {"": engines.info})
    with Image.open(io.BytesIO(event.png)) as image:
        assert image.size == (32, 48)
        settings = json.loads(image.text["lafi"])
    assert settings["address"] == event.address
    assert settings["regions"] == {"mia": [0.0, 0.0, 0.5, 1.0]}
    assert settings["sampling"]["stages"][0]["steps"] == 4


def test_the_same_storyboard_gives_the_same_bytes(engines: Engines, events: list[Event]) -> None:
    again = panels_of(list(draw(board(), engines)))
    assert {i: e.png for i, e in again.items()} == {i: e.png for i, e in panels_of(events).items()}


@pytest.mark.parametrize("layers", ["decoder", "all", "none"])
def test_a_storyboard_split_in_two_gives_the_same_pictures(engines: Engines, layers: str) -> None:
    injection = {"layers": layers}
    whole = panels_of(list(draw(board(injection=injection), engines, max_rows=6)))
    for part in ((0, 2), (1, 3)):
        half = board([PANELS[i] for i in part], injection=injection)
        for place, event in panels_of(list(draw(half, engines))).items():
            assert np.abs(pixels(event) - pixels(whole[part[place]])).max() <= 2


def test_reused_steps_are_reported_and_do_not_depend_on_company(engines: Engines) -> None:
    reusing = Panel(
        prompt="{mia} is running", seed=1, sampling={"steps": 12, "reuse_threshold": 1.0}
    )
    plain = Panel(prompt="the beach", seed=4, sampling={"steps": 12})
    rows: list[int] = []

    def denoiser(batch: DenoiserBatch) -> Tensor:
        rows.append(len(batch["latents"]))
        return engines.denoiser(batch)

    together = list(draw(board((reusing, plain)), replace(engines, denoiser=denoiser)))
    steps = [e.step for e in together if isinstance(e, Progress) and e.panel == 0]
    assert steps == list(range(1, 13))
    assert len(rows) == 12
    assert 2 in rows, "the step of the one that computes, with no row of the other's reference"
    alone = panels_of(list(draw(board((reusing,)), engines)))[0]
    assert np.abs(pixels(panels_of(together)[0]) - pixels(alone)).max() <= 2


def test_a_prop_is_read_where_the_figure_is_that_has_it(engines: Engines) -> None:
    half = (0.0, 0.0, 0.5, 1.0)

    def drawn(other: Character, **regions: tuple[float, float, float, float]) -> np.ndarray:
        panel = Panel(
            prompt="{mia} on the beach",
            characters=("mia", "bo"),
            seed=2,
            regions={"mia": half, **regions},
        )
        made = board().model_copy(update={"characters": (MIA, other), "panels": (panel,)})
        return pixels(panels_of([*draw(made, engines)])[0])

    prop = drawn(BO.model_copy(update={"kind": "prop"}))
    assert np.array_equal(prop, drawn(BO, bo=half))
    assert not np.array_equal(prop, drawn(BO))


def test_references_change_the_panels_that_read_them(engines: Engines, events: list[Event]) -> None:
    plain = panels_of(list(draw(board(injection={"layers": "none"}), engines)))
    changed = [
        not np.array_equal(pixels(e), pixels(plain[i])) for i, e in panels_of(events).items()
    ]
    assert dict(zip(panels_of(events), changed, strict=True)) == {
        0: True,
        1: True,
        2: True,
        3: False,
    }


@pytest.mark.parametrize("layers", ["none", "decoder"])
def test_words_act_in_their_region_also_where_nothing_is_read(
    engines: Engines, layers: str
) -> None:
    limited, everywhere = (
        panels_of(list(draw(board(injection={"layers": layers, "words": words}), engines)))
        for words in ("region", "everywhere")
    )
    moved = {i: np.abs(pixels(limited[i]) - pixels(everywhere[i])).max() for i in limited}
    assert moved[1] > 2
    assert max(moved[i] for i in (0, 2, 3)) <= 2
    assert [i for i in range(4) if limited[i].address != everywhere[i].address] == [1]


def test_an_object_is_drawn_as_a_character_of_these_words_whom_nobody_reads(
    engines: Engines,
) -> None:
    box, prompt = (0.0, 0.0, 0.5, 1.0), "a child at night, on the beach"
    placed = Panel(prompt=prompt, seed=5, objects=[{"words": "on the beach", "box": box}])
    plain = Panel(prompt=prompt, seed=5)
    named = Panel(prompt="a child at night, {bo}", seed=5, regions={"bo": box})
    beside = Panel(
        prompt="{mia} {bo}, on the beach",
        seed=6,
        regions={"mia": (0.5, 0.0, 1.0, 1.0), "bo": box},
        objects=[{"words": "on the beach", "box": (0.0, 0.5, 1.0, 1.0)}],
    )
    told = board([placed, plain, named, beside], injection={"layers": "none"})
    drawn = panels_of(list(draw(told, engines)))
    assert np.abs(pixels(drawn[0]) - pixels(drawn[2])).max() <= 1
    assert np.abs(pixels(drawn[0]) - pixels(drawn[1])).max() > 2
    assert drawn[0].address not in (drawn[1].address, drawn[2].address)
    settings = json.loads(Image.open(io.BytesIO(drawn[0].png)).text["lafi"])
    assert settings["objects"] == [{"words": "on the beach", "box": [*box]}]
    alone = panels_of(list(draw(board([beside]), engines)))
    other = beside.model_copy(update={"objects": ()})
    without = panels_of(list(draw(board([other]), engines)))
    assert np.abs(pixels(alone[0]) - pixels(without[0])).max() > 2


@pytest.mark.parametrize(
    "injection", [{"layers": "none"}, {"start": 0.5, "end": 0.5}, {"start": 0.9, "end": 1.0}]
)
def test_a_character_that_nobody_reads_needs_no_portrait(
    engines: Engines, injection: dict[str, Any]
) -> None:
    events = list(draw(board(injection=injection), engines))
    assert events[0] == Accepted(panels=4, portraits=0, tokens=events[0].tokens)
    assert not [e for e in events if isinstance(e, Portrait)]


def test_a_given_reference_is_shown_as_it_is_used(events: list[Event]) -> None:
    portraits = {e.character: pixels(e) for e in events if isinstance(e, Portrait)}
    assert portraits["mia"].shape == (48, 32, 3)
    assert portraits["mia"][24, 16].tolist() == [200, 40, 30]
    assert portraits["mia"][0, 0].tolist() == [128, 128, 128]
    half = portraits["bo"][24, 16] - np.array([64, 109, 164])
    assert np.abs(half).max() <= 1


def test_a_portrait_does_not_depend_on_the_panels(engines: Engines, events: list[Event]) -> None:
    other = list(draw(board([Panel(prompt="{ann}", seed=77)]), engines))
    (alone,) = [pixels(e) for e in other if isinstance(e, Portrait)]
    (among,) = [pixels(e) for e in events if isinstance(e, Portrait) and e.character == "ann"]
    assert np.abs(alone - among).max() <= 2


def countdown(calls: int) -> Callable[[], bool]:
    """False `calls` times, then True."""
    answers = iter([False] * calls)
    return lambda: next(answers, True)


@pytest.mark.parametrize("calls", [0, 1, 3, 7, 9])
def test_a_cancelled_storyboard_ends_without_more(engines: Engines, calls: int) -> None:
    events = list(draw(board(), engines, cancelled=countdown(calls)))
    assert isinstance(events[0], Accepted)
    assert not [e for e in events if isinstance(e, Finished)]
    assert len([e for e in events if isinstance(e, Progress)]) <= 4 * calls


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 40}, r"width: got 40, allowed: a multiple of 16"),
        ({"injection": {"layers": 10}}, r"injection\.layers: got 10, allowed: 0 to 9"),
    ],
)
def test_what_the_model_cannot_draw_raises_before_any_work(
    engines: Engines, changes: dict[str, Any], message: str
) -> None:
    storyboard = Storyboard(
        **({"width": 32, "height": 32, "panels": PANELS, "characters": (MIA, BO, ANN)} | changes)
    )
    with pytest.raises(StoryboardError, match=message):
        draw(storyboard, engines)


def test_a_sampler_that_the_checkpoint_cannot_use_is_named(engines: Engines) -> None:
    config = engines.info.scheduler_config | {"prediction_type": "sample"}
    info = engines.info.model_copy(update={"scheduler_config": config})
    with pytest.raises(StoryboardError, match=r"panels\[3\]\.sampling\.prediction_type of the mod"):
        draw(board(), replace(engines, info=info))


def test_a_panel_that_is_no_picture_fails_alone(engines: Engines) -> None:
    def denoiser(batch: DenoiserBatch) -> Tensor:
        out = engines.denoiser(batch)
        # The last row is the second panel's, the one with its prompt.
        out[-1] *= torch.nan
        return out

    storyboard = board([Panel(prompt="the beach"), Panel(prompt="a child")])
    events = list(draw(storyboard, replace(engines, denoiser=denoiser)))
    (failed,) = [e for e in events if isinstance(e, Failed)]
    assert failed.panel == 1
    assert "numbers that are not finite" in failed.error
    assert not failed.retryable
    assert list(panels_of(events)) == [0]
    assert events[-1] == Finished(panels=1, seconds=events[-1].seconds)


def test_the_encoders_get_small_batches(engines: Engines) -> None:
    sizes: list[int] = []

    def text_encoder(ids: Tensor, clip_skip: int = 0) -> EncodedText:
        sizes.append(len(ids))
        return engines.text_encoder(ids, clip_skip)

    panels = [Panel(prompt=f"a child {'is ' * i}running") for i in range(11)]
    storyboard = board(panels, injection={"layers": "none"})
    list(draw(storyboard, replace(engines, text_encoder=text_encoder)))
    assert sizes == [8, 4]


def test_a_folder_that_is_no_checkpoint_is_named(tmp_path: Path) -> None:
    (tmp_path / "unet").mkdir()
    with pytest.raises(CheckpointError, match=r"has no model_index.json, vae, text_encoder"):
        read_model_info(tmp_path)


def test_the_facts_of_a_checkpoint(engines: Engines, checkpoint: Path) -> None:
    info = engines.info
    assert (info.vae_scale, info.side_multiple, info.latent_channels) == (4, 16, 4)
    assert (info.text_length, info.text_width) == (48, 64)
    assert len(info.layers) == 10
    assert info.scaling_factor == 0.5
    assert len(info.weights_sha256) == 64
    assert read_model_info(checkpoint) == info


def test_a_denoiser_gets_only_numbers_of_rows_that_it_is_good_at(engines: Engines) -> None:
    seen = []

    def denoise(batch: DenoiserBatch) -> Tensor:
        seen.append(len(batch["latents"]))
        return engines.denoiser(batch)

    info = engines.info.model_copy(update={"own_side": 48})
    picky = replace(engines, denoiser=denoise, info=info, row_counts=(4, 8))
    assert len(panels_of(list(draw(board(), picky)))) == 4
    assert set(seen) == {4, 8}
