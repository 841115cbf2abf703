"""Pictures that a server looks at before it sends them."""

import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lafi.board.error import StoryboardError
from lafi.board.letterbox import Pixels
from lafi.board.safety_words import load_safety
from lafi.board.storyboard import Storyboard
from lafi.drawing.studio import Studio
from lafi.engine.torch.engines import load_torch_engines
from lafi.model.classifier_files import ClassifierInfo
from lafi.ports.classifier import Scores
from lafi.ports.engines import Engines
from lafi.store.index import Index
from lafi.store.panels import PanelStore
from lafi.store.place import Folder
from lafi.wire.events import Event, Failed, Finished, PanelImage

SIZES = {0: (32, 32), 1: (48, 32), 2: (32, 48)}
"""Width and height of each panel, by which the classifier below knows them."""


class Disliking:
    """A classifier that does not want pictures of some sizes (height, width)."""

    info = ClassifierInfo(name="sizes", threshold=0.5, sha256="ab" * 32)

    def __init__(self, *sizes: tuple[int, int]) -> None:
        self._sizes = sizes

    def __call__(self, pictures: Sequence[Pixels]) -> Scores:
        """As `PictureClassifier`."""
        scores = [0.75 if each.shape[:2] in self._sizes else 0.25 for each in pictures]
        return np.array(scores, np.float32)


@pytest.fixture(scope="module")
def engines(checkpoint: Path) -> Engines:
    return load_torch_engines(checkpoint)


def board(**fields: Any) -> Storyboard:
    panels = [
        {"prompt": "a child", "width": width, "height": height} for width, height in SIZES.values()
    ]
    return Storyboard.model_validate({"sampling": {"steps": 1}, "panels": panels, **fields})


def sent(
    engines: Engines,
    setting: str,
    disliked: Sequence[tuple[int, int]],
    story: Storyboard,
    store: PanelStore | None = None,
) -> list[Event]:
    judged = replace(engines, classifier=Disliking(*disliked))
    studio = Studio({"": judged}, panels=store, safety=load_safety(setting))
    try:
        return list(studio.draw(story, lambda: False))
    finally:
        studio.close()


def panels(events: Sequence[Event]) -> dict[int, PanelImage]:
    return {event.panel: event for event in events if isinstance(event, PanelImage)}


def failures(events: Sequence[Event]) -> list[Failed]:
    return [event for event in events if isinstance(event, Failed)]


def test_off_looks_at_nothing_and_flag_says_what_it_sees(engines: Engines) -> None:
    off = panels(sent(engines, "off", [(32, 48)], board()))
    assert [(panel.safety_score, panel.flagged) for panel in off.values()] == [(None, False)] * 3
    flagged = panels(sent(engines, "flag", [(32, 48)], board()))
    seen = {number: (panel.safety_score, panel.flagged) for number, panel in flagged.items()}
    assert seen == {0: (0.25, False), 1: (0.75, True), 2: (0.25, False)}
    assert {n: p.png for n, p in off.items()} == {n: p.png for n, p in flagged.items()}


def test_refused_panels_are_not_sent_also_where_they_are_kept(
    engines: Engines, tmp_path: Path
) -> None:
    store = PanelStore(Folder(tmp_path / "panels"), Index(tmp_path / "index"))
    for kept in (False, True):
        events = sent(engines, "refuse", [(32, 48)], board(), store)
        assert {number: panel.kept for number, panel in panels(events).items()} == {
            0: kept,
            2: kept,
        }
        (failed,) = failures(events)
        wanted = "safety: sizes gives the picture 0.75, allowed: less than 0.5 (safety: refuse)"
        assert (failed.panel, failed.error, failed.retryable) == (1, wanted, False)
        assert isinstance(events[-1], Finished)
        assert events[-1].panels == 2
    # What was kept for one server is sent by another that does not mind.
    assert panels(sent(engines, "off", [], board(), store))[1].kept


def test_a_portrait_that_is_refused_ends_the_storyboard(engines: Engines) -> None:
    cast = [{"name": "mia", "prompt": "a child"}]
    story = board(characters=cast, width=64, height=32, panels=[{"prompt": "{mia} waves"}])
    said = "the picture of mia: safety: sizes gives the picture 0.75, allowed: less than 0.5"
    with pytest.raises(StoryboardError, match=said):
        sent(engines, "refuse", [(32, 64)], story)
    assert len(panels(sent(engines, "flag", [(32, 64)], story))) == 1


def test_a_panel_that_begins_with_a_refused_one_is_refused_too(engines: Engines) -> None:
    def begins_with(number: int) -> dict[str, Any]:
        stages = [{"steps": 1, "denoise": 0.5, "from": {"panel": number}}]
        return {"prompt": "a child", "width": 32, "height": 32, "sampling": {"stages": stages}}

    first = {"prompt": "a child", "width": 64, "height": 32}
    story = board(panels=[first, begins_with(0), begins_with(1), {**first, "width": 32}])
    events = sent(engines, "refuse", [(32, 64)], story)
    assert [*panels(events)] == [3]
    assert {failed.panel: failed.error for failed in failures(events)[1:]} == {
        1: "safety: panel 0, with which it begins, was refused",
        2: "safety: panel 1, with which it begins, was refused",
    }
    assert isinstance(events[-1], Finished)
    assert events[-1].panels == 1


def test_a_given_picture_is_looked_at_too(engines: Engines) -> None:
    file = io.BytesIO()
    Image.new("RGB", (64, 32), "red").save(file, format="PNG")
    cast = [{"name": "mia", "prompt": "a child", "reference": file.getvalue()}]
    story = board(characters=cast, width=64, height=32, panels=[{"prompt": "{mia} waves"}])
    with pytest.raises(StoryboardError, match="the picture of mia: safety"):
        sent(engines, "refuse", [(32, 64)], story)


@pytest.mark.parametrize("field", ["stage_previews", "keep_stages"])
def test_what_would_be_sent_unseen_is_refused_before_any_work(engines: Engines, field: str) -> None:
    story = board(**{field: True})
    with pytest.raises(StoryboardError, match=f"{field}: got True, allowed: false: this server"):
        sent(engines, "refuse", [], story)
    assert len(panels(sent(engines, "flag", [], story))) == 3
