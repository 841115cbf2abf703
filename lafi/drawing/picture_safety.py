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
from lafi.model.classifier_files import ClassifierInfo
from lafi.ports.classifier import PictureClassifier
from lafi.wire.events import Event, Failed, Finished, PanelImage, Portrait


class PictureSafety:
    """What is done about pictures: nothing with `off` and without a classifier.

    With `flag` the events of panels say it; with `refuse` what is not wanted is not sent.
    """

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

    def watch(self, storyboard: Storyboard, events: Iterator[Event]) -> Generator[Event]:
        """The same events; those of panels with their score, or in place of them `failed`.

        A panel that begins with a refused one is refused, too. Raises StoryboardError for a
        reference or portrait that is refused, since panels would be drawn from it.
        """
        refused: set[int] = set()
        with ExitStack() as stack:
            if isinstance(events, Generator):
                stack.enter_context(closing(events))
            for event in events:
                match event:
                    case PanelImage():
                        begins_with = storyboard.sources(storyboard.panels[event.panel])
                        seen = self._seen(event, refused.intersection(begins_with))
                        if isinstance(seen, Failed):
                            refused.add(event.panel)
                        yield seen
                    case Portrait() if self._refuses and (why := self._why_not(event.png)):
                        raise StoryboardError([f"the picture of {event.character}: {why}"])
                    case Finished():
                        yield event.model_copy(update={"panels": event.panels - len(refused)})
                    case _:
                        yield event

    def _seen(self, panel: PanelImage, refused: set[int]) -> PanelImage | Failed:
        """refused: panels with which it begins, and which are not sent."""
        if self._classifier is None:
            return panel
        score = self._score(self._classifier, panel.png)
        why = self._why(self._classifier.info, score)
        if refused and not why:
            why = f"safety: panel {min(refused)}, with which it begins, was refused"
        if why and self._refuses:
            return Failed(panel=panel.panel, error=why, retryable=False)
        flagged = score >= self._classifier.info.threshold
        return panel.model_copy(update={"safety_score": score, "flagged": flagged})

    def _why_not(self, png: bytes) -> str:
        """Why a picture is not wanted; "": it is."""
        if self._classifier is None:
            return ""
        return self._why(self._classifier.info, self._score(self._classifier, png))

    def _score(self, classifier: PictureClassifier, png: bytes) -> float:
        with Image.open(io.BytesIO(png)) as image:
            pixels = np.asarray(image.convert("RGB"), dtype=np.uint8)
        return min(1.0, max(0.0, float(classifier([pixels])[0])))

    def _why(self, info: ClassifierInfo, score: float) -> str:
        if score < info.threshold:
            return ""
        allowed = f"less than {info.threshold:g} (safety: refuse)"
        return f"safety: {info.name} gives the picture {score:.2f}, allowed: {allowed}"
