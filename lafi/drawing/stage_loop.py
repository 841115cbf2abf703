"""Pictures on their way through all their stages, in the loop that denoises them.

Knows stages and their order, not what becomes of a finished picture.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from lafi.denoising.batcher import PanelStep
from lafi.denoising.lane import Standing
from lafi.denoising.loop import Denoising
from lafi.denoising.panel_state import PanelState
from lafi.drawing import images
from lafi.drawing.content_address import stage_address
from lafi.drawing.kept_latents import packed
from lafi.drawing.staged import Materials, StagedPicture, enter
from lafi.wire.events import Event, Latents, Preview, Progress, Waiting

PREVIEW_SIDE = 256
"""Pixels of the longer side of a preview, at most."""


class Done(NamedTuple):
    """A picture after its last stage: clean latents (C, h, w).

    They may hold numbers that are not finite; then the stages behind were not drawn.
    """

    picture: StagedPicture
    latents: Tensor


class Taken(NamedTuple):
    """What one denoiser call, or a long wait for one, gave a storyboard.

    events    of its steps and previews
    finished  pictures of which it was the last call
    """

    events: list[Event]
    finished: list[Done]


class StageLoop:
    """Hands pictures to the denoising loop, and each one on to its next stage."""

    def __init__(
        self,
        materials: Materials,
        denoising: Denoising,
        cancelled: Callable[[], bool],
        standing: Standing,
    ) -> None:
        self._materials = materials
        self._denoising = denoising
        self._cancelled = cancelled
        self._standing = standing
        self._drawn: dict[int | str, StagedPicture] = {}
        self._states: dict[int | str, PanelState] = {}
        self._late: list[PanelState] = []

    def join(self, picture: StagedPicture, before: Tensor | None = None) -> None:
        """Let a picture begin its present stage, behind the others that wait.

        before: what the stage before left.
        """
        state = enter(picture, before, self._materials)
        self._drawn[picture.key] = picture
        self._states[picture.key] = state
        self._late.append(state)

    def run(self, pictures: Sequence[StagedPicture]) -> Iterator[Taken]:
        """What each denoiser call gave, and each long wait.

        Until all are done, those too that join meanwhile, or until the storyboard is cancelled.
        """
        for picture in pictures:
            self.join(picture, picture.resumed)
        first = self._joining()
        if not first:
            return
        together: list[PanelStep] = []
        for step in self._denoising.run(first, self._standing, self._cancelled, self._joining):
            if step is None:
                waiting = sum(not state.done for state in self._states.values())
                yield Taken([Waiting(pictures=waiting)], [])
                continue
            together.append(step)
            if not step.following:
                yield self._taken(together)
                together = []

    def _joining(self) -> list[PanelState]:
        late, self._late = self._late, []
        return late

    def _taken(self, steps: Sequence[PanelStep]) -> Taken:
        taken = Taken([], [])
        for step in steps:
            picture, latents = self._drawn[step.panel.name], step.panel.latents
            taken.events.append(_progress(picture, step))
            if not step.done:
                continue
            last = picture.at + 1 == len(picture.stages)
            if last or not bool(torch.isfinite(latents).all()):
                taken.finished.append(Done(picture, latents))
                continue
            taken.events.extend(self._between(picture, latents))
            picture.at += 1
            self.join(picture, latents)
        return taken

    def _between(self, picture: StagedPicture, latents: Tensor) -> Iterator[Event]:
        """What a client asked to see after each stage but the last."""
        if not isinstance(picture.key, int):
            return
        if self._materials.storyboard.stage_previews:
            yield self._preview(picture, latents)
        if self._materials.storyboard.keep_stages:
            yield self._latents(picture, picture.key, latents)

    def _latents(self, picture: StagedPicture, panel: int, latents: Tensor) -> Latents:
        board, number = self._materials.storyboard, picture.at + 1
        models = {variant: each.info for variant, each in self._materials.engines.items()}
        address = stage_address(board, picture.panel, models, number)
        return Latents(panel=panel, stage=number, data=packed(latents, address))

    def _preview(self, picture: StagedPicture, latents: Tensor) -> Preview:
        engines = self._materials.engines[picture.stage.variant]
        pixels = images.to_pixels(engines.vae_decoder(latents[None])[0])
        image = Image.fromarray(pixels, mode="RGB")
        image.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE))
        assert isinstance(picture.key, int)
        number = picture.at + 1
        settings = {"panel": picture.key, "stage": number}
        png = images.encode_png(np.array(image, dtype=np.uint8), settings)
        return Preview(panel=picture.key, stage=number, png=png)


def _progress(picture: StagedPicture, step: PanelStep) -> Progress:
    of_panel = isinstance(picture.key, int)
    return Progress(
        panel=picture.key if isinstance(picture.key, int) else None,
        character=None if of_panel else str(picture.key),
        step=step.step,
        steps=step.steps,
        attempt=picture.attempt,
        stage=picture.at + 1,
        stages=len(picture.stages),
    )
