"""Finished pictures that a server looks at before it sends them, whether drawn now or kept.

Knows events and a classifier, not how a panel is drawn.
"""

import io
from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing

import numpy as np
from PIL import Image

from lafi.board.error import StoryboardError, problem
from lafi.board.safety_words import SafetySetting
from lafi.board.storyboard import Storyboard
from lafi.ports.classifier import PictureClassifier
from lafi.wire.events import Event, Failed, Finished, PanelImage, Portrait


class PictureSafety:
    """What is done about pictures: nothing with `off` and without a classifier; with `flag` their
    events say it, with `refuse` those that are not wanted are not sent."""

    def __init__(self, setting: SafetySetting, classifier: PictureClassifier | None) -> None:
        self._classifier = None if setting == "off" else classifier
        self._refuses = setting == "refuse"

    def check(self, storyboard: Storyboard) -> None:
        """Raises StoryboardError for what would send pictures that nobody has looked at."""
        if self._classifier is None or not self._refuses:
            return
        allowed = "false: this server looks at pictures before it sends them (safety: refuse)"
        asked = {"stage_previews": storyboard.stage_previews, "keep_stages": storyboard.keep_stages}
        if wrong := [problem(field, True, allowed) for field, wanted in asked.items() if wanted]:
            raise StoryboardError(wrong)

    def watch(self, events: Iterator[Event]) -> Generator[Event]:
        """The same events; those of panels with their score, or in place of them `failed`.

        A reference or portrait that is refused ends them, since panels would be drawn from it.
        """
        refused = 0
        with ExitStack() as stack:
            if isinstance(events, Generator):
                stack.enter_context(closing(events))
            for event in events:
                match event:
                    case PanelImage():
                        seen = self._seen(event)
                        refused += isinstance(seen, Failed)
                        yield seen
                    case Portrait() if why := self._why(self._score(event.png)):
                        told = f"the picture of {event.character}: {why}"
                        yield Failed(panel=None, error=told, retryable=False)
                        return
                    case Finished():
                        yield event.model_copy(update={"panels": event.panels - refused})
                    case _:
                        yield event

    def _seen(self, panel: PanelImage) -> PanelImage | Failed:
        if (score := self._score(panel.png)) is None or self._classifier is None:
            return panel
        if why := self._why(score):
            return Failed(panel=panel.panel, error=why, retryable=False)
        flagged = score >= self._classifier.info.threshold
        return panel.model_copy(update={"safety": score, "flagged": flagged})

    def _score(self, png: bytes) -> float | None:
        if self._classifier is None:
            return None
        with Image.open(io.BytesIO(png)) as image:
            pixels = np.asarray(image.convert("RGB"), dtype=np.uint8)
        return min(1.0, max(0.0, float(self._classifier([pixels])[0])))

    def _why(self, score: float | None) -> str:
        """Why a picture is refused; "": it is not."""
        if score is None or self._classifier is None or not self._refuses:
            return ""
        info = self._classifier.info
        if score < info.threshold:
            return ""
        allowed = f"less than {info.threshold:g} (safety: refuse)"
        return f"safety: {info.name} gives the picture {score:.2f}, allowed: {allowed}"
