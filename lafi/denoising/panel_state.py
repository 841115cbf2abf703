"""One picture on its way through one stage, and what it reads while it is drawn.

Knows its own step and references, not the batch that carries it and not the other stages.
"""

from dataclasses import dataclass

from torch import Tensor

from lafi.conditioning.conditioner import Conditioner
from lafi.conditioning.control import PanelControl
from lafi.conditioning.control_adapters import NO_FEATURES, ControlFeatures
from lafi.conditioning.picture_prompts import NO_PICTURES, PicturePrompts
from lafi.conditioning.reference import Reference, ReferenceNoise, Source, reference_timestep
from lafi.ports.engines import EncodedText
from lafi.sampling.guidance import Guidance
from lafi.sampling.noise_model import NoiseModel
from lafi.sampling.schedule import PanelSchedule
from lafi.sampling.step_reuse import StepReuse
from lafi.sampling.window import in_window


@dataclass(frozen=True, slots=True)
class PanelInjection:
    """Which references a panel reads, where and when. The default reads nothing.

    regions        (h, w) float32 in [0, 1] for each of the panel's characters: where its reference
                   may be read and its words act; behind them of each further reference. As many
                   as references, or no references
    layers         indices of the self-attention layers in which references are read
    start, end     step i of N injects if start <= i / N < end
    strength       added to the references' logits
    both_branches  whether the row without prompt reads them too
    noise          at which timestep references are read
    """

    references: tuple[Reference, ...] = ()
    regions: tuple[Tensor, ...] = ()
    layers: tuple[int, ...] = ()
    start: float = 0.0
    end: float = 0.0
    strength: float = 0.0
    both_branches: bool = True
    noise: ReferenceNoise = "panel"


@dataclass(frozen=True, slots=True)
class Kept:
    """What a masked stage keeps: clean latents (C, h, w), and (h, w) in [0, 1], 1 drawn anew."""

    original: Tensor
    mask: Tensor


@dataclass(slots=True, eq=False)
class PanelState:
    """A picture being drawn; its schedule and latents move with every call of the denoiser.

    name      the caller's name for it: a panel's number, or a character's name
    latents   (C, h, w) float32
    text      the encoded prompt
    negative  the encoded negative prompt; needed where the guidance asks for two rows
    reuse     of computed calls; None computes each
    conditioners  further inputs of its rows, such as the words that are limited to regions
    controls  what steers it by pictures, in some of its steps
    features  what control adapters made of pictures, which steers it in some of its steps
    pictures  what acts beside its words, in some of its steps
    kept      what of the picture stays as it was; None: all of it is drawn
    variant   of the model that draws it, "" for the model itself
    """

    name: int | str
    latents: Tensor
    schedule: PanelSchedule
    text: EncodedText
    negative: EncodedText | None
    guidance: Guidance
    injection: PanelInjection
    reuse: StepReuse | None = None
    conditioners: tuple[Conditioner, ...] = ()
    controls: tuple[PanelControl, ...] = ()
    features: ControlFeatures = NO_FEATURES
    pictures: PicturePrompts = NO_PICTURES
    kept: Kept | None = None
    variant: str = ""

    @property
    def unconditional(self) -> EncodedText | None:
        """Text of the row without prompt at the coming call; None where there is no such row."""
        return self.negative if self.rows == 2 else None

    @property
    def rows(self) -> int:
        """Rows of the coming denoiser call, if it is in one; references not counted."""
        return self._rows_at(self.schedule.index)

    @property
    def done(self) -> bool:
        return self.schedule.done

    @property
    def reuses(self) -> bool:
        """Whether the coming call is left out, by `advance_by_reuse`."""
        return self.reuse is not None and self.reuse.coming

    @property
    def needs_regions(self) -> bool:
        """Whether its rows need its regions even where they read no reference."""
        return any(conditioner.needs_regions for conditioner in self.conditioners)

    @property
    def steering(self) -> tuple[PanelControl, ...]:
        """Those of its controls that act at the coming call, in both of its rows."""
        return self._steering(self.schedule.index)

    def ports(self, *, conditional: bool) -> dict[str, Tensor]:
        """Inputs of the denoiser, by name, that one of its rows has at the coming call.

        conditional: the row with prompt. Each without the batch.
        """
        step, steps = self.schedule.index, self.schedule.steps
        return {
            name: value
            for conditioner in (*self.conditioners, self.features, self.pictures)
            for name, value in conditioner.ports(step, steps, conditional=conditional).items()
        }

    def readings(self, process: NoiseModel) -> tuple[Source, ...]:
        """References to be read at the coming call, if it is computed, each with its timestep."""
        given = self.injection
        if not self._injects(self.schedule.index):
            return ()
        timestep = reference_timestep(given.noise, self.schedule.timestep, process)
        fixed = given.noise != "panel"
        return tuple(Source(reference, timestep, fixed) for reference in given.references)

    def advance(self, prediction: Tensor) -> None:
        """Go on with the model's prediction for this panel's rows, (rows, C, h, w).

        Rows: without prompt, with prompt; only the latter if there is no guidance.
        """
        guided = self.guidance.combine(prediction)
        if self.reuse is not None:
            latents = self.schedule.scale(self.latents)
            self.reuse.record(latents, self.schedule.timestep, guided)
        self._go_on(guided)

    def advance_by_reuse(self) -> None:
        """Go on without the denoiser, where `reuses` says so."""
        assert self.reuse is not None
        latents = self.schedule.scale(self.latents)
        self._go_on(self.reuse.prediction(latents, self.schedule.timestep))

    def _go_on(self, guided: Tensor) -> None:
        before = self.schedule.index
        self.latents = self.schedule.step(guided, self.latents)
        if self.kept is not None:
            self.latents = self.schedule.keep(self.latents, self.kept.original, self.kept.mask)
        if self.reuse is not None and not self.done:
            self._decide(self.reuse, before)

    def _decide(self, reuse: StepReuse, before: int) -> None:
        """The last step is computed, and so are those where what it is told changes.

        That is guidance, injection, control and picture prompts. So is the step after a change: a
        rate measured across it would measure the change.
        """
        step, steps = self.schedule.index, self.schedule.steps
        if self._asked(step) != self._asked(before):
            reuse.forget()
            return
        allowed = reuse.rule.allows(step, steps, self.schedule.noise_share)
        latents = self.schedule.scale(self.latents)
        reuse.decide(latents, self.schedule.timestep, allowed)

    def _asked(self, step: int) -> tuple[int, bool, tuple[object, ...]]:
        steps = self.schedule.steps
        acting = self.features.acting(step, steps), self.pictures.acting(step, steps)
        return self._rows_at(step), self._injects(step), (self._steering(step), *acting)

    def _steering(self, step: int) -> tuple[PanelControl, ...]:
        return tuple(each for each in self.controls if each.acts(step, self.schedule.steps))

    def _rows_at(self, step: int) -> int:
        asked = self.guidance.rows(step, self.schedule.steps)
        return asked if self.negative is not None else 1

    def _injects(self, step: int) -> bool:
        window = in_window(step, self.schedule.steps, self.injection.start, self.injection.end)
        return window and bool(self.injection.references)
