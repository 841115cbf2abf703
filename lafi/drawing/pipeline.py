"""Draws a storyboard in one process: encode, denoise, decode.

This is what the server runs, with engines that may be served models. Knows storyboards and
tensors, not gRPC and not Triton Server.
"""

import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass

import torch

from lafi.board.error import StoryboardError
from lafi.board.image_file import sha256_hex
from lafi.board.stages import SamplingStage
from lafi.board.storyboard import Panel, Storyboard
from lafi.conditioning.character_words import EVERYWHERE, limited_words
from lafi.conditioning.conditioner import Conditioner, LimitedWords
from lafi.conditioning.prompts import MAX_BATCH, encode_texts, word_slots, zeros_like
from lafi.conditioning.reference import Reference, fixed_noise, latent_mask, noise_seed
from lafi.conditioning.routing import in_window, region_weights
from lafi.denoising.bank import Bank
from lafi.denoising.batcher import Batcher, PanelStep
from lafi.denoising.kept_references import KeptReferences
from lafi.denoising.loop import Denoising, OwnDenoising
from lafi.denoising.panel_state import PanelInjection, PanelState
from lafi.drawing import images
from lafi.drawing.attempts import Attempts
from lafi.drawing.finished_panel import finished_panel
from lafi.drawing.panel_scores import PanelScores, retry_problems
from lafi.model.check import check_against
from lafi.model.layers import injected_layers
from lafi.ports.engines import EncodedText, Engines
from lafi.sampling.noise_model import noise_model_of
from lafi.sampling.samplers import check_stage
from lafi.sampling.schedule import PanelSchedule
from lafi.sampling.step_reuse import ReuseRule, StepReuse
from lafi.wire.events import (
    Accepted,
    Event,
    Finished,
    PanelImage,
    Portrait,
    Progress,
    Waiting,
)

MAX_ROWS = 20
"""Rows of one denoiser call: eight guided panels and the four references that they may read."""


class DrawingError(RuntimeError):
    """The engines gave something that is no picture."""


def _never() -> bool:
    return False


def draw(
    storyboard: Storyboard,
    engines: Engines,
    *,
    cancelled: Callable[[], bool] = _never,
    denoising: Denoising | None = None,
    max_rows: int = MAX_ROWS,
) -> Iterator[Event]:
    """The events of one storyboard, as `lafi.wire.events` orders them.

    cancelled: asked at every step; once it is true the events end, without `finished`.
    denoising: the loop that takes the panels with those of others; default: one of its own,
    whose denoiser calls have at most max_rows rows, 6 or more.
    Raises StoryboardError before any work if this model cannot draw a panel, and DrawingError
    if a portrait comes out as no picture; such a panel is only reported as failed.
    """
    check_drawable(storyboard, engines)
    if denoising is None:
        denoising = OwnDenoising(make_batcher(engines, max_rows))
    return _Drawing(storyboard, engines, denoising, cancelled).events()


def make_batcher(engines: Engines, max_rows: int = MAX_ROWS, bank: Bank | None = None) -> Batcher:
    """A batcher for panels that these engines draw.

    max_rows: of one denoiser call, if the denoiser takes that many. bank: keeps references at a
    fixed level for later storyboards; None keeps them as long as they are read.
    """
    info = engines.info
    process = noise_model_of(info.scheduler_config)
    kept = None
    if engines.reference_reader is not None:
        kept = KeptReferences(engines.reference_reader, bank or Bank(0), process, info)
    most = min([max_rows, *engines.row_counts[-1:]])
    return Batcher(engines.denoiser, process, info, most, engines.row_counts, kept)


def check_drawable(storyboard: Storyboard, engines: Engines) -> None:
    """Raise StoryboardError unless the engines' model can draw every panel."""
    check_against(storyboard, engines.info)
    problems = retry_problems(storyboard, engines.recogniser)
    for index, panel in enumerate(storyboard.panels):
        injection = storyboard.effective_injection(panel)
        try:
            injected_layers(engines.info, injection.layers)
        except ValueError as error:
            problems.append(f"panels[{index}].injection.{error}")
        for stage in storyboard.effective_sampling(panel).stages:
            try:
                check_stage(stage, engines.info.scheduler_config)
            except ValueError as error:
                problems.append(f"panels[{index}].sampling.{error}")
    if problems:
        raise StoryboardError(problems)


@dataclass(frozen=True, slots=True)
class _Picture:
    """A character's picture before it is encoded: pixels, mask (H, W), and its noise's seed.

    content: SHA-256 of what the pixels come from, hexadecimal.
    """

    name: str
    letterboxed: images.LetterboxedImage
    content: str
    noise_seed: int


class _Drawing:
    """One storyboard being drawn; `events` is its story."""

    def __init__(
        self,
        storyboard: Storyboard,
        engines: Engines,
        denoising: Denoising,
        cancelled: Callable[[], bool],
    ) -> None:
        self._storyboard = storyboard
        self._engines = engines
        self._info = engines.info
        self._denoising = denoising
        self._cancelled = cancelled
        self._started = time.monotonic()
        self._texts: dict[str, EncodedText] = {}
        self._references: dict[str, Reference] = {}
        self._scores = PanelScores(storyboard, engines.recogniser)

    def events(self) -> Iterator[Event]:
        used = self._characters_read()
        without = [name for name in used if self._storyboard.character(name).reference is None]
        yield Accepted(panels=len(self._storyboard.panels), portraits=len(without))
        if self._cancelled():
            return
        self._encode_texts(used, without)
        pictures = [self._given(name) for name in used if name not in without]
        for picture in pictures:
            yield self._portrait_event(picture)
        yield from self._draw_portraits(without, pictures)
        if self._cancelled():
            return
        self._encode_references(pictures)
        sent = yield from self._draw_panels()
        if not self._cancelled():
            yield Finished(panels=sent, seconds=self._seconds())

    def _characters_read(self) -> list[str]:
        """Names of the characters whose reference some panel reads at some step."""
        return list(
            dict.fromkeys(
                name
                for panel in self._storyboard.panels
                if self._injects(panel)
                for name in panel.characters
            )
        )

    def _injects(self, panel: Panel) -> bool:
        given = self._storyboard.effective_injection(panel)
        steps = self._storyboard.effective_sampling(panel).stages[0].steps
        window = any(in_window(i, steps, given.start, given.end) for i in range(steps))
        return window and bool(self._layers(panel))

    def _layers(self, panel: Panel) -> tuple[int, ...]:
        setting = self._storyboard.effective_injection(panel).layers
        return injected_layers(self._info, setting)

    def _encode_texts(self, used: Sequence[str], without: Sequence[str]) -> None:
        panels = [self._storyboard.portrait_panel(name) for name in without]
        texts = [self._storyboard.character(name).caption for name in used]
        for panel in (*panels, *self._storyboard.panels):
            texts.append(panel.prompt_text(self._storyboard))
            if self._guidance(panel) > 1.0 and not self._zero_negative(panel):
                texts.append(panel.negative_text(self._storyboard))
        self._texts = encode_texts(
            texts, self._engines.tokenizers, self._engines.text_encoder, self._info.text_length
        )

    def _zero_negative(self, panel: Panel) -> bool:
        """Whether the row without prompt is told nothing, instead of an encoding of no text."""
        return self._info.zero_empty_negative and not panel.negative_text(self._storyboard)

    def _guidance(self, panel: Panel) -> float:
        return self._storyboard.effective_sampling(panel).stages[0].guidance

    def _given(self, name: str) -> _Picture:
        reference = self._storyboard.character(name).reference
        assert reference is not None
        size = (self._storyboard.width, self._storyboard.height)
        letterboxed = images.letterbox(reference.data, *size)
        return _Picture(name, letterboxed, reference.sha256, noise_seed(reference.data))

    def _portrait_event(self, picture: _Picture) -> Portrait:
        settings = {
            "character": picture.name,
            "caption": self._storyboard.character(picture.name).caption,
            "model": self._info.name,
        }
        png = images.encode_png(picture.letterboxed.pixels, settings)
        return Portrait(character=picture.name, png=png)

    def _draw_portraits(self, names: Sequence[str], pictures: list[_Picture]) -> Iterator[Event]:
        """Draws the portraits of `names`, all in one batch, and appends them to `pictures`."""
        states = [self._state(name, self._storyboard.portrait_panel(name)) for name in names]

        def told(step: PanelStep) -> Progress:
            return Progress(character=step.panel.name, step=step.step, steps=step.steps)

        for event, done in self._steps(states, told, []):
            yield event
            if done is not None:
                pixels = self._decode(done)
                self._scores.know(done.name, pixels)
                picture = self._drawn(done.name, pixels)
                pictures.append(picture)
                yield self._portrait_event(picture)

    def _drawn(self, name: str, pixels: images.Pixels) -> _Picture:
        """A portrait as a picture: all of it counts.

        Its noise comes from the caption and not from its bytes, which may differ in a last bit
        with the company in which it was drawn.
        """
        caption = self._storyboard.character(name).caption
        letterboxed = images.LetterboxedImage(pixels, torch.ones(pixels.shape[:2]))
        seed = noise_seed(b"portrait " + caption.encode())
        return _Picture(name, letterboxed, sha256_hex(pixels.tobytes()), seed)

    def _encode_references(self, pictures: Sequence[_Picture]) -> None:
        for start in range(0, len(pictures), MAX_BATCH):
            batch = pictures[start : start + MAX_BATCH]
            pixels = torch.stack([images.to_tensor(p.letterboxed.pixels) for p in batch])
            rows = torch.unbind(self._engines.vae_encoder(pixels))
            for picture, latents in zip(batch, rows, strict=True):
                caption = self._storyboard.character(picture.name).caption
                self._references[picture.name] = Reference(
                    content=picture.content,
                    caption=caption,
                    latents=latents,
                    noise=fixed_noise(picture.noise_seed, self._latent_shape()),
                    mask=latent_mask(picture.letterboxed.mask, self._info.vae_scale),
                    text=self._texts[caption],
                )

    def _draw_panels(self) -> Generator[Event, None, int]:
        """Draws all panels, those with low scores again; returns how many were sent."""
        board = self._storyboard
        tries = [Attempts(panel, board.effective_retry(panel)) for panel in board.panels]
        states = [self._state(str(index), panel) for index, panel in enumerate(board.panels)]
        late: list[PanelState] = []
        sent = 0

        def told(step: PanelStep) -> Progress:
            index = int(step.panel.name)
            attempt = tries[index].number
            return Progress(panel=index, step=step.step, steps=step.steps, attempt=attempt)

        for event, done in self._steps(states, told, late):
            yield event
            if done is None:
                continue
            index = int(done.name)
            if self._again(tries[index], done):
                late.append(self._state(done.name, tries[index].panel))
                continue
            last = finished_panel(board, index, tries[index], self._engines, self._seconds())
            sent += isinstance(last, PanelImage)
            yield last
        return sent

    def _again(self, attempts: Attempts, state: PanelState) -> bool:
        """Decodes and scores a drawing; whether the panel is drawn once more."""
        try:
            pixels = self._decode(state)
        except DrawingError as error:
            return attempts.fail(str(error))
        return attempts.take(pixels, self._scores.of(attempts.panel, pixels))

    def _state(self, name: str, panel: Panel) -> PanelState:
        stage = self._storyboard.effective_sampling(panel).stages[0]
        schedule = PanelSchedule(stage, self._info.scheduler_config, panel.seed)
        text = self._texts[panel.prompt_text(self._storyboard)]
        return PanelState(
            name=name,
            latents=schedule.initial_noise(self._latent_shape()),
            schedule=schedule,
            text=text,
            negative=self._negative(panel, text) if stage.guidance > 1.0 else None,
            guidance=stage.guidance,
            injection=self._injection(panel),
            guided_steps=(stage.guidance_start, stage.guidance_end),
            reuse=self._reuse(stage),
            conditioners=self._conditioners(panel),
        )

    def _reuse(self, stage: SamplingStage) -> StepReuse | None:
        if stage.reuse_threshold == 0.0:
            return None
        rule = ReuseRule(stage.reuse_threshold, stage.reuse_start, stage.reuse_end)
        return StepReuse(rule, noise_model_of(self._info.scheduler_config))

    def _conditioners(self, panel: Panel) -> tuple[Conditioner, ...]:
        """The characters' words that are limited to their regions, if any are."""
        spans = limited_words(self._storyboard, panel)
        if not spans:
            return ()
        text, length = panel.prompt_text(self._storyboard), self._info.text_length
        slots = word_slots(self._engines.tokenizers, text, spans, length)
        return (LimitedWords(slots),) if bool((slots >= 0).any()) else ()

    def _negative(self, panel: Panel, text: EncodedText) -> EncodedText:
        if self._zero_negative(panel):
            return zeros_like(text)
        return self._texts[panel.negative_text(self._storyboard)]

    def _injection(self, panel: Panel) -> PanelInjection:
        size = self._latent_shape()[1:]
        boxes = [panel.regions.get(name, EVERYWHERE) for name in panel.characters]
        regions = tuple(region_weights(box, size) for box in boxes)
        if not self._injects(panel):
            return PanelInjection(regions=regions)
        given = self._storyboard.effective_injection(panel)
        return PanelInjection(
            references=tuple(self._references[name] for name in panel.characters),
            regions=regions,
            layers=self._layers(panel),
            start=given.start,
            end=given.end,
            strength=given.strength,
            both_branches=given.branches == "both",
            noise=given.reference_noise,
        )

    def _steps(
        self,
        panels: list[PanelState],
        told: Callable[[PanelStep], Progress],
        late: list[PanelState],
    ) -> Iterator[tuple[Event, PanelState | None]]:
        """An event for each step and each long wait, and with its last step the picture.

        Until every panel is done, or until nobody wants them. late: panels that join as soon
        as there are any; both lists change.
        """

        def joining() -> list[PanelState]:
            new = late.copy()
            late.clear()
            panels.extend(new)
            return new

        if not panels:
            return
        board = self._storyboard
        for step in self._denoising.run(panels, board.priority, self._cancelled, joining):
            if step is None:
                yield Waiting(pictures=sum(not panel.done for panel in panels)), None
            else:
                yield told(step), step.panel if step.done else None

    def _decode(self, state: PanelState) -> images.Pixels:
        """RGB uint8 (H, W, 3). Raises DrawingError where numbers are not finite."""
        image = self._engines.vae_decoder(state.latents[None])[0]
        if not (torch.isfinite(state.latents).all() and torch.isfinite(image).all()):
            raise DrawingError(
                f"{state.name}: the model gave numbers that are not finite; "
                "allowed: finite ones, as engines in f32 give them"
            )
        return images.to_pixels(image)

    def _latent_shape(self) -> tuple[int, int, int]:
        scale = self._info.vae_scale
        return (
            self._info.latent_channels,
            self._storyboard.height // scale,
            self._storyboard.width // scale,
        )

    def _seconds(self) -> float:
        return time.monotonic() - self._started
