"""Draws a storyboard in one process: encode, denoise stage by stage, decode.

This is what the server runs, with engines that may be served models. Knows storyboards and
tensors, not gRPC and not Triton Server.
"""

import math
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

from lafi.board.letterbox import Pixels
from lafi.board.storyboard import Panel, Storyboard
from lafi.denoising.bank import Bank
from lafi.denoising.batcher import Batcher
from lafi.denoising.kept_references import KeptReferences
from lafi.denoising.lane import Standing
from lafi.denoising.loop import HEARTBEAT_SECONDS, POLL_SECONDS, Denoising, OwnDenoising
from lafi.drawing import images
from lafi.drawing.attempts import Attempts, Drawn
from lafi.drawing.check import check_drawable
from lafi.drawing.decoding import DrawingError, decoded
from lafi.drawing.encoded_texts import encode_all_texts
from lafi.drawing.finished_panel import finished_panel
from lafi.drawing.further_references import further_pictures
from lafi.drawing.kept_latents import unpacked
from lafi.drawing.long_texts import prompt_tokens
from lafi.drawing.notes import all_notes
from lafi.drawing.panel_files import PanelFiles
from lafi.drawing.panel_scores import PanelScores
from lafi.drawing.picture_prompts import prompted_characters
from lafi.drawing.pictures import Picture, Size, drawn_picture, encoded_references, given_picture
from lafi.drawing.plan import StagePlan, at_own_size, plan_panel
from lafi.drawing.shelf import Archive, Shelf, pixels_of
from lafi.drawing.stage_loop import Done, StageLoop
from lafi.drawing.staged import Materials, StagedPicture
from lafi.ports.engines import Engines
from lafi.sampling.noise_model import noise_model_of
from lafi.store.record import Record
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


def _never() -> bool:
    return False


def draw(
    storyboard: Storyboard,
    engines: Engines | Mapping[str, Engines],
    *,
    cancelled: Callable[[], bool] = _never,
    denoising: Denoising | None = None,
    max_rows: int = MAX_ROWS,
    archive: Archive | None = None,
    said: Sequence[str] = (),
) -> Iterator[Event]:
    """The events of one storyboard, as `lafi.wire.events` orders them.

    engines: of the storyboard's own variant; or all that its stages may name, by variant.
    cancelled: asked at every step; once it is true the events end, without `finished`.
    denoising: the loop that takes the panels with those of others; default: one of its own,
    whose denoiser calls have at most max_rows rows, 6 or more.
    archive: where finished panels are looked for, and kept before they are sent.
    said: notes for `accepted` on what was done to the storyboard before.
    Raises StoryboardError before any work if these models cannot draw a panel, and DrawingError
    if a portrait comes out as no picture; such a panel is only reported as failed. Raises
    StoreError where a finished panel cannot be kept.
    """
    every = {storyboard.variant: engines} if isinstance(engines, Engines) else engines
    storyboard = at_own_size(storyboard, {v: each.info for v, each in every.items()})
    check_drawable(storyboard, every)
    if denoising is None:
        denoising = OwnDenoising({v: make_batcher(each, max_rows) for v, each in every.items()})
    shelf = Shelf(archive, storyboard, every)
    return _Drawing(storyboard, every, denoising, cancelled, shelf).events(said)


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
    return Batcher(
        engines.denoiser, noise_model, info, most, engines.row_counts, kept, engines.controls
    )


class _Drawing:
    """One storyboard being drawn; `events` does it from beginning to end."""

    def __init__(
        self,
        storyboard: Storyboard,
        engines: Mapping[str, Engines],
        denoising: Denoising,
        cancelled: Callable[[], bool],
        shelf: Shelf,
    ) -> None:
        self._storyboard = storyboard
        self._shelf = shelf
        self._files = PanelFiles(storyboard, engines[storyboard.variant], shelf)
        self._engines = engines[storyboard.variant]
        self._materials = Materials(storyboard, engines)
        self._models = {variant: each.info for variant, each in engines.items()}
        self._denoising = denoising
        self._cancelled = cancelled
        self._started = time.monotonic()
        deadline = self._started + (storyboard.deadline_seconds or math.inf)
        self._standing = Standing(storyboard.priority, deadline)
        self._scores = PanelScores(storyboard, self._engines.recogniser)
        self._plans = [self._planned(panel) for panel in storyboard.panels]
        self._tries = [
            Attempts(panel, storyboard.effective_retry(panel)) for panel in storyboard.panels
        ]
        self._open = {*range(len(storyboard.panels))}
        """Panels that are neither finished nor failed."""
        self._mine: set[int] = set()
        """Panels that no other storyboard is drawing, so that this one does."""
        self._begun: set[int] = set()
        self._sent = 0

    def events(self, said: Sequence[str]) -> Iterator[Event]:
        """Everything from `accepted` to `finished`. said: notes on what was done before."""
        with self._shelf:
            yield from self._events(said)

    def _events(self, said: Sequence[str]) -> Iterator[Event]:
        shown = self._read_sizes(self._open)
        without = [n for n in shown if self._storyboard.character(n).reference is None]
        told = all_notes(self._storyboard, self._plans, self._materials.engines)
        yield Accepted(
            panels=len(self._plans),
            portraits=len(without),
            notes=(*said, *told),
            tokens=prompt_tokens(self._storyboard, self._plans, self._materials.engines),
        )
        if self._cancelled():
            return
        yield from self._claim(self._open)
        read = self._read_sizes(self._open)
        kept = {n: pixels_of(record) for n in without if (record := self._shelf.find(n))}
        portraits = {n: self._storyboard.portrait_panel(n) for n in without if n not in kept}
        drawn_first = [self._planned(panel) for panel in portraits.values()]
        encode_all_texts(self._materials, read, [*drawn_first, *self._needed(self._open)])
        pictures = {
            name: self._picture(name, {*read.get(name, ())}, kept.get(name))
            for name in shown
            if name not in portraits
        }
        for picture in pictures.values():
            yield self._portrait_event(picture)
        yield from self._draw_portraits(portraits, read, pictures)
        if self._cancelled():
            return
        self._encode_references(read, pictures)
        yield from self._draw_or_wait()
        if not self._cancelled():
            yield Finished(panels=self._sent, seconds=self._seconds())

    def _claim(self, indices: Iterable[int]) -> Iterator[Event]:
        """Take on panels that nobody else draws; those that are finished already are sent."""
        mine = self._shelf.claim([*indices])
        self._mine |= mine
        for index in sorted(mine):
            record = self._shelf.find(index)
            if record is not None:
                yield from self._send(index, self._shelf.restored(index, record), record)

    def _send(
        self, index: int, attempts: Attempts, record: Record | None = None
    ) -> Iterator[Event]:
        """A panel that is finished or has failed. record: if it was drawn before."""
        self._tries[index] = attempts
        png = b""
        if attempts.best is not None:
            png = yield from self._files.make(index, attempts.best, attempts.number, record)
        event = finished_panel(
            *(self._storyboard, index, attempts, self._materials.engines, self._seconds(), png),
            kept=record is not None,
        )
        self._open.discard(index)
        self._shelf.release(index)
        self._sent += isinstance(event, PanelImage)
        yield event

    def _planned(self, panel: Panel) -> tuple[StagePlan, ...]:
        return plan_panel(self._storyboard, panel, self._models)

    def _needed(self, panels: Collection[int]) -> list[tuple[StagePlan, ...]]:
        """Of these panels the stages that may be drawn: all but those that one resumes behind."""
        return [self._plans[index][self._begins(index) :] for index in sorted(panels)]

    def _begins(self, index: int) -> int:
        """The place of the first stage that is needed; panels that may be drawn again need all."""
        panel = self._storyboard.panels[index]
        again = self._storyboard.effective_retry(panel) is not None
        return 0 if panel.resume is None or again else panel.resume.stage - 1

    def _read_sizes(self, panels: Collection[int]) -> dict[str, dict[Size, set[str]]]:
        """Characters whose reference some stage reads -> sizes at which -> by which variants.

        Of those that are only picture prompts none: their pictures are read as they are.
        """
        found: dict[str, dict[Size, set[str]]] = {}
        for index in sorted(panels):
            for name in prompted_characters(self._storyboard.panels[index]):
                found.setdefault(name, {})
        for stages in self._needed(panels):
            for stage in stages:
                for name in stage.reads:
                    found.setdefault(name, {}).setdefault(stage.size, set()).add(stage.variant)
        return found

    def _own_size(self) -> Size:
        return self._storyboard.width, self._storyboard.height

    def _picture(self, name: str, sizes: set[Size], drawn: Pixels | None) -> Picture:
        """A given reference, or a portrait that was drawn before.

        Decoded once, for the panels, the client, and the recogniser if there is one.
        """
        wanted = {self._own_size(), *sizes}
        if drawn is not None:
            self._scores.know(name, drawn)
            self._materials.pictures.know(name, drawn)
            return drawn_picture(self._storyboard.character(name), drawn, wanted)
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
        for taken in self._stage_loop().run(staged):
            yield from taken.events
            for done, pixels in self._decoded(taken.finished):
                if isinstance(pixels, DrawingError):
                    raise pixels
                name = str(done.picture.key)
                self._scores.know(name, pixels)
                self._materials.pictures.know(name, pixels)
                drawn = Drawn(pixels, panels[name].seed, {}, done.picture.attempt)
                self._shelf.keep(name, drawn, 1, images.encode_png(pixels))
                sizes = [self._own_size(), *read.get(name, ())]
                character = self._storyboard.character(name)
                pictures[name] = drawn_picture(character, pixels, sizes)
                yield self._portrait_event(pictures[name])

    def _encode_references(
        self, read: Mapping[str, Mapping[Size, set[str]]], pictures: Mapping[str, Picture]
    ) -> None:
        panels = (self._storyboard.panels[index] for index in sorted(self._open))
        needed = zip(panels, self._needed(self._open), strict=True)
        wanted = dict(further_pictures(self._storyboard, needed))
        for name, picture in pictures.items():
            for size, variants in read.get(name, {}).items():
                for variant in sorted(variants):
                    wanted.setdefault((variant, size), []).append(picture)
        for (variant, size), several in wanted.items():
            self._materials.references[variant, size] = encoded_references(
                *(several, size, self._materials.engines[variant]),
                *(self._materials.prompts(variant), self._materials.reading),
            )

    def _draw_or_wait(self) -> Iterator[Event]:
        """Draws what nobody else is drawing; what others draw comes from the store."""
        heard = time.monotonic()
        while self._open and not self._cancelled():
            others = self._open - self._mine
            if ready := self._ready():
                yield from self._draw_panels(ready)
            elif self._shelf.wait(others, POLL_SECONDS):
                yield from self._claim(others)
            elif time.monotonic() - heard >= HEARTBEAT_SECONDS:
                heard = time.monotonic()
                yield Waiting(pictures=len(self._open))

    def _ready(self) -> list[int]:
        """Panels that can begin now: those that they begin with are finished."""
        new = (self._open & self._mine) - self._begun
        return [i for i in sorted(new) if not {*self._sources(i).values()} & self._open]

    def _draw_panels(self, begin: Collection[int]) -> Iterator[Event]:
        """Draws these panels, those with low scores again, and those that begin with them."""
        loop = self._stage_loop()
        for taken in loop.run([self._staged(index) for index in begin]):
            yield from taken.events
            for done, pixels in self._decoded(taken.finished):
                index = int(done.picture.key)
                attempts = self._tries[index]
                if self._again(attempts, pixels):
                    loop.join(self._staged(index))
                    continue
                yield from self._send(index, attempts)
                if attempts.best is None:
                    yield from self._fail_followers(index)
                for later in self._ready():
                    follower = self._staged(later)
                    loop.join(follower, follower.resumed)

    def _sources(self, index: int) -> dict[int, int]:
        """Earlier panels that a panel's stages begin with, by the stage's place."""
        stages = self._plans[index][self._begins(index) :]
        sources = ((s.number - 1, s.settings.source) for s in stages)
        return {at: s.panel for at, s in sources if s is not None and s.panel is not None}

    def _staged(self, index: int) -> StagedPicture:
        self._begun.add(index)
        attempts = self._tries[index]
        sources = {}
        for at, earlier in self._sources(index).items():
            best = self._tries[earlier].best
            assert best is not None
            sources[at] = best.pixels
        picture = StagedPicture(
            index, attempts.panel, self._plans[index], attempts.number, sources=sources
        )
        resume = self._storyboard.panels[index].resume
        if resume is not None and attempts.number == 1:
            picture.at, picture.resumed = resume.stage - 1, unpacked(resume.data)[0]
        return picture

    def _fail_followers(self, index: int) -> Iterator[Event]:
        """Panel `index` has failed, and so have those that begin with it."""
        for later in sorted(self._open):
            if index in self._sources(later).values():
                why = f"panel {index}, with which it begins, failed"
                self._open.discard(later)
                self._shelf.release(later)
                yield Failed(panel=later, error=why, retryable=False)
                yield from self._fail_followers(later)

    def _again(self, attempts: Attempts, pixels: Pixels | DrawingError) -> bool:
        """Scores a drawing; whether the panel is drawn once more."""
        if isinstance(pixels, DrawingError):
            return attempts.fail(str(pixels))
        return attempts.take(pixels, self._scores.of(attempts.panel, pixels))

    def _stage_loop(self) -> StageLoop:
        return StageLoop(self._materials, self._denoising, self._cancelled, self._standing)

    def _decoded(self, finished: Sequence[Done]) -> Iterable[tuple[Done, Pixels | DrawingError]]:
        return zip(finished, decoded(finished, self._materials.engines), strict=True)

    def _seconds(self) -> float:
        return time.monotonic() - self._started
