"""Draws a storyboard in one process: encode, denoise stage by stage, decode.

This is what the server runs, with engines that may be served models. Knows storyboards and
tensors, not gRPC and not Triton Server.
"""

import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait

import torch

from lafi.board.letterbox import Pixels
from lafi.board.storyboard import Panel, Storyboard
from lafi.conditioning.prompts import encode_texts
from lafi.denoising.bank import Bank
from lafi.denoising.batcher import Batcher
from lafi.denoising.kept_references import KeptReferences
from lafi.denoising.loop import HEARTBEAT_SECONDS, Denoising, OwnDenoising
from lafi.drawing import images
from lafi.drawing.attempts import Attempts
from lafi.drawing.check import check_drawable
from lafi.drawing.finished_panel import finished_panel
from lafi.drawing.kept_latents import unpacked
from lafi.drawing.panel_scores import PanelScores
from lafi.drawing.pictures import Picture, Size, drawn_picture, encoded_references, given_picture
from lafi.drawing.plan import StagePlan, notes, plan_panel
from lafi.drawing.stage_loop import Done, StageLoop
from lafi.drawing.staged import Materials, StagedPicture, zero_negative
from lafi.ports.engines import Engines
from lafi.sampling.noise_model import noise_model_of
from lafi.wire.events import (
    Accepted,
    Event,
    Failed,
    Finished,
    PanelImage,
    Portrait,
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
    engines: Engines | Mapping[str, Engines],
    *,
    cancelled: Callable[[], bool] = _never,
    denoising: Denoising | None = None,
    max_rows: int = MAX_ROWS,
) -> Iterator[Event]:
    """The events of one storyboard, as `lafi.wire.events` orders them.

    engines: of the storyboard's own variant; or all that its stages may name, by variant.
    cancelled: asked at every step; once it is true the events end, without `finished`.
    denoising: the loop that takes the panels with those of others; default: one of its own,
    whose denoiser calls have at most max_rows rows, 6 or more.
    Raises StoryboardError before any work if these models cannot draw a panel, and DrawingError
    if a portrait comes out as no picture; such a panel is only reported as failed.
    """
    every = {storyboard.variant: engines} if isinstance(engines, Engines) else engines
    check_drawable(storyboard, every)
    if denoising is None:
        denoising = OwnDenoising({v: make_batcher(each, max_rows) for v, each in every.items()})
    return _Drawing(storyboard, every, denoising, cancelled).events()


def make_batcher(engines: Engines, max_rows: int = MAX_ROWS, bank: Bank | None = None) -> Batcher:
    """A batcher for panels that these engines draw.

    max_rows: of one denoiser call, if the denoiser takes that many. bank: keeps references at a
    fixed level for later storyboards; None keeps them as long as they are read.
    """
    info = engines.info
    noise_model = noise_model_of(info.scheduler_config)
    kept = None
    if engines.reference_reader is not None:
        kept = KeptReferences(engines.reference_reader, bank or Bank(0), noise_model, info)
    most = min([max_rows, *engines.row_counts[-1:]])
    return Batcher(engines.denoiser, noise_model, info, most, engines.row_counts, kept)


class _Drawing:
    """One storyboard being drawn; `events` does it from beginning to end."""

    def __init__(
        self,
        storyboard: Storyboard,
        engines: Mapping[str, Engines],
        denoising: Denoising,
        cancelled: Callable[[], bool],
    ) -> None:
        self._storyboard = storyboard
        self._engines = engines[storyboard.variant]
        self._materials = Materials(storyboard, engines)
        self._models = {variant: each.info for variant, each in engines.items()}
        self._denoising = denoising
        self._cancelled = cancelled
        self._started = time.monotonic()
        self._scores = PanelScores(storyboard, self._engines.recogniser)
        self._plans = [self._planned(panel) for panel in storyboard.panels]
        self._finished: set[int] = set()

    def events(self) -> Iterator[Event]:
        read = self._read_sizes()
        without = [n for n in read if self._storyboard.character(n).reference is None]
        said = tuple(notes(self._storyboard, self._plans))
        yield Accepted(panels=len(self._plans), portraits=len(without), notes=said)
        if self._cancelled():
            return
        portraits = {name: self._storyboard.portrait_panel(name) for name in without}
        self._encode_texts(read, [self._planned(panel) for panel in portraits.values()])
        pictures = {n: self._given(n, sizes) for n, sizes in read.items() if n not in portraits}
        for picture in pictures.values():
            yield self._portrait_event(picture)
        yield from self._draw_portraits(portraits, read, pictures)
        if self._cancelled():
            return
        self._encode_references(read, pictures)
        sent = yield from self._draw_panels()
        if not self._cancelled():
            yield Finished(panels=sent, seconds=self._seconds())

    def _planned(self, panel: Panel) -> tuple[StagePlan, ...]:
        return plan_panel(self._storyboard, panel, self._models)

    def _needed(self) -> list[tuple[StagePlan, ...]]:
        """Of each panel the stages that may be drawn: all but those that it resumes behind."""
        return [plan[self._begins(index) :] for index, plan in enumerate(self._plans)]

    def _begins(self, index: int) -> int:
        """The place of the first stage that is needed; panels that may be drawn again need all."""
        panel = self._storyboard.panels[index]
        again = self._storyboard.effective_retry(panel) is not None
        return 0 if panel.resume is None or again else panel.resume.stage - 1

    def _read_sizes(self) -> dict[str, dict[Size, set[str]]]:
        """Characters whose reference some stage reads -> sizes at which -> by which variants."""
        found: dict[str, dict[Size, set[str]]] = {}
        for stages in self._needed():
            for stage in stages:
                for name in stage.reads:
                    found.setdefault(name, {}).setdefault(stage.size, set()).add(stage.variant)
        return found

    def _encode_texts(
        self,
        read: Mapping[str, Mapping[Size, set[str]]],
        portraits: Sequence[tuple[StagePlan, ...]],
    ) -> None:
        """Every distinct text of every variant: captions first, then prompts in panels' order."""
        texts: dict[str, list[str]] = {variant: [] for variant in self._models}
        for name, sizes in read.items():
            for variant in dict.fromkeys(v for used in sizes.values() for v in sorted(used)):
                texts[variant].append(self._storyboard.character(name).caption)
        for stage in (stage for stages in (*portraits, *self._needed()) for stage in stages):
            texts[stage.variant].append(stage.text)
            engines = self._materials.engines[stage.variant]
            if stage.guided and not zero_negative(stage, engines):
                texts[stage.variant].append(stage.negative)
        for variant, wanted in texts.items():
            engines = self._materials.engines[variant]
            self._materials.texts[variant] = encode_texts(
                wanted, engines.tokenizers, engines.text_encoder, engines.info.text_length
            )

    def _own_size(self) -> Size:
        return self._storyboard.width, self._storyboard.height

    def _given(self, name: str, sizes: Mapping[Size, set[str]]) -> Picture:
        """Decoded once, for the panels, the client, and the recogniser if there is one."""
        wanted = {self._own_size(), *sizes}
        recogniser = self._engines.recogniser
        seen = None if recogniser is None else (recogniser.info.side, recogniser.info.side)
        picture = given_picture(
            self._storyboard.character(name), wanted | ({seen} if seen else set())
        )
        if seen is not None:
            self._scores.know(name, picture.fitted[seen].pixels)
        return picture

    def _portrait_event(self, picture: Picture) -> Portrait:
        settings = {
            "character": picture.name,
            "caption": picture.caption,
            "model": self._engines.info.name,
        }
        png = images.encode_png(picture.fitted[self._own_size()].pixels, settings)
        return Portrait(character=picture.name, png=png)

    def _draw_portraits(
        self,
        panels: Mapping[str, Panel],
        read: Mapping[str, Mapping[Size, set[str]]],
        pictures: dict[str, Picture],
    ) -> Iterator[Event]:
        """Draws the portraits, all in one batch, and adds them to `pictures`."""
        staged = [StagedPicture(n, panel, self._planned(panel)) for n, panel in panels.items()]
        for event, done in self._stage_loop().run(staged):
            yield event
            if done is not None:
                name = str(done.picture.key)
                pixels = self._decode(done)
                self._scores.know(name, pixels)
                sizes = [self._own_size(), *read[name]]
                character = self._storyboard.character(name)
                pictures[name] = drawn_picture(character, pixels, sizes)
                yield self._portrait_event(pictures[name])

    def _encode_references(
        self, read: Mapping[str, Mapping[Size, set[str]]], pictures: Mapping[str, Picture]
    ) -> None:
        wanted: dict[tuple[str, Size], list[Picture]] = {}
        for name, picture in pictures.items():
            for size, variants in read[name].items():
                for variant in sorted(variants):
                    wanted.setdefault((variant, size), []).append(picture)
        for (variant, size), several in wanted.items():
            self._materials.references[variant, size] = encoded_references(
                several, size, self._materials.engines[variant], self._materials.texts[variant]
            )

    def _draw_panels(self) -> Generator[Event, None, int]:
        """Draws all panels, those with low scores again; returns how many were sent."""
        board = self._storyboard
        tries = [Attempts(panel, board.effective_retry(panel)) for panel in board.panels]
        loop = self._stage_loop()
        sent = 0
        begin = [i for i in range(len(tries)) if not self._sources(i)]
        for event, done in loop.run([self._staged(index, tries) for index in begin]):
            yield event
            if done is None:
                continue
            index = int(done.picture.key)
            if self._again(tries[index], done):
                loop.join(self._staged(index, tries))
                continue
            last = yield from self._finish(index, tries[index])
            sent += isinstance(last, PanelImage)
            yield last
            yield from self._follow(index, tries, loop)
        return sent

    def _finish(
        self, index: int, attempts: Attempts
    ) -> Generator[Event, None, PanelImage | Failed]:
        """The finished panel. To enlarge a large one takes minutes on a CPU, in which `waiting`
        tells the client that the server is alive."""
        work = (self._storyboard, index, attempts, self._materials.engines, self._seconds)
        with ThreadPoolExecutor(1) as thread:
            made = thread.submit(finished_panel, *work)
            while not made.done():
                wait([made], timeout=HEARTBEAT_SECONDS)
                if not made.done():
                    yield Waiting(pictures=len(self._plans) - len(self._finished))
        return made.result()

    def _sources(self, index: int) -> dict[int, int]:
        """Earlier panels that a panel's stages begin with, by the stage's place."""
        stages = self._plans[index][self._begins(index) :]
        sources = ((s.number - 1, s.settings.source) for s in stages)
        return {at: s.panel for at, s in sources if s is not None and s.panel is not None}

    def _staged(self, index: int, tries: Sequence[Attempts]) -> StagedPicture:
        attempts = tries[index]
        sources = {}
        for at, earlier in self._sources(index).items():
            best = tries[earlier].best
            assert best is not None
            sources[at] = best.pixels
        picture = StagedPicture(
            index, attempts.panel, self._plans[index], attempts.number, sources=sources
        )
        resume = self._storyboard.panels[index].resume
        if resume is not None and attempts.number == 1:
            picture.at, picture.resumed = resume.stage - 1, unpacked(resume.data)[0]
        return picture

    def _follow(self, index: int, tries: Sequence[Attempts], loop: StageLoop) -> Iterator[Event]:
        """Panel `index` is finished: those that begin with it join, or fail as it did."""
        self._finished.add(index)
        for later in range(index + 1, len(tries)):
            needed = set(self._sources(later).values())
            if index not in needed or not needed <= self._finished or later in self._finished:
                continue
            if all(tries[earlier].best is not None for earlier in needed):
                follower = self._staged(later, tries)
                loop.join(follower, follower.resumed)
                continue
            failed = next(earlier for earlier in needed if tries[earlier].best is None)
            why = f"panel {failed}, with which it begins, failed"
            yield Failed(panel=later, error=why, retryable=False)
            yield from self._follow(later, tries, loop)

    def _again(self, attempts: Attempts, done: Done) -> bool:
        """Decodes and scores a drawing; whether the panel is drawn once more."""
        try:
            pixels = self._decode(done)
        except DrawingError as error:
            return attempts.fail(str(error))
        return attempts.take(pixels, self._scores.of(attempts.panel, pixels))

    def _stage_loop(self) -> StageLoop:
        return StageLoop(self._materials, self._denoising, self._cancelled)

    def _decode(self, done: Done) -> Pixels:
        """RGB uint8 (H, W, 3). Raises DrawingError where numbers are not finite."""
        image = self._engines.vae_decoder(done.latents[None])[0]
        if not (torch.isfinite(done.latents).all() and torch.isfinite(image).all()):
            raise DrawingError(
                f"{done.picture.key}: the model gave numbers that are not finite; "
                "allowed: finite ones, as engines in f32 give them"
            )
        return images.to_pixels(image)

    def _seconds(self) -> float:
        return time.monotonic() - self._started
