"""One picture on its way from noise to latents, and what it reads while it is drawn.

Knows its own step and references, not the batch that carries it.
"""

from dataclasses import dataclass

from torch import Tensor

from lafi.conditioning.reference import Reference, ReferenceNoise, Source, reference_timestep
from lafi.conditioning.routing import in_window
from lafi.ports.engines import EncodedText
from lafi.sampling.noise_model import NoiseModel
from lafi.sampling.schedule import PanelSchedule
from lafi.sampling.step_reuse import StepReuse


@dataclass(frozen=True, slots=True)
class PanelInjection:
    """Which references a panel reads, where and when. The default reads nothing.

    regions        (h, w) float32 in [0, 1] for each of the panel's characters: where its reference
                   may be read and its words act; as many as references, or no references
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


@dataclass(slots=True, eq=False)
class PanelState:
    """A picture being drawn; its schedule and latents move with every step.

    name      the caller's name for it
    latents   (C, h, w) float32
    text      the encoded prompt
    negative  the encoded negative prompt; None draws without guidance
    guided_steps  (start, end): step i of N is guided if start <= i / N < end (arXiv:2404.07724)
    reuse     of computed steps; None computes each
    words     (T,) int32: for each token of the prompt the place of the region that it is limited
              to, or -1; None limits none
    """

    name: str
    latents: Tensor
    schedule: PanelSchedule
    text: EncodedText
    negative: EncodedText | None
    guidance: float
    injection: PanelInjection
    guided_steps: tuple[float, float] = (0.0, 1.0)
    reuse: StepReuse | None = None
    words: Tensor | None = None

    @property
    def unconditional(self) -> EncodedText | None:
        """What the row without prompt is told at the coming step; None where there is no row."""
        return self.negative if self._guides(self.schedule.index) else None

    @property
    def rows(self) -> int:
        """Rows of the coming denoiser call, if it is in one; references not counted."""
        return 1 if self.unconditional is None else 2

    @property
    def done(self) -> bool:
        return self.schedule.done

    @property
    def reuses(self) -> bool:
        """Whether the coming step is taken without the denoiser, by `advance_by_reuse`."""
        return self.reuse is not None and self.reuse.coming

    def readings(self, process: NoiseModel) -> tuple[Source, ...]:
        """References to be read at the coming step, if it is computed, each with its timestep."""
        given = self.injection
        if not self._injects(self.schedule.index):
            return ()
        timestep = reference_timestep(given.noise, self.schedule.timestep, process)
        fixed = given.noise != "panel"
        return tuple(Source(reference, timestep, fixed) for reference in given.references)

    def advance(self, prediction: Tensor) -> None:
        """Take a step with the model's prediction for this panel's rows, (rows, C, h, w).

        Rows: without prompt, with prompt; only the latter if there is no guidance.
        """
        guided = prediction[-1]
        if self.unconditional is not None:
            guided = prediction[0] + self.guidance * (prediction[1] - prediction[0])
        if self.reuse is not None:
            latents = self.schedule.scale(self.latents)
            self.reuse.record(latents, self.schedule.timestep, guided)
        self._step(guided)

    def advance_by_reuse(self) -> None:
        """Take a step without the denoiser, where `reuses` says so."""
        assert self.reuse is not None
        latents = self.schedule.scale(self.latents)
        self._step(self.reuse.prediction(latents, self.schedule.timestep))

    def _step(self, guided: Tensor) -> None:
        self.latents = self.schedule.step(guided, self.latents)
        if self.reuse is not None and not self.done:
            self._decide(self.reuse)

    def _decide(self, reuse: StepReuse) -> None:
        """The last step is computed, and those where the denoiser is asked something else.

        So is the one after such a switch: a rate across it would measure the switch.
        """
        step, steps = self.schedule.index, self.schedule.steps
        if self._asked(step) != self._asked(step - 1):
            reuse.forget()
            return
        allowed = step < steps - 1 and in_window(step, steps, reuse.rule.start, reuse.rule.end)
        latents = self.schedule.scale(self.latents)
        reuse.decide(latents, self.schedule.timestep, allowed)

    def _asked(self, step: int) -> tuple[bool, bool]:
        return self._guides(step) and self.negative is not None, self._injects(step)

    def _guides(self, step: int) -> bool:
        return in_window(step, self.schedule.steps, *self.guided_steps)

    def _injects(self, step: int) -> bool:
        window = in_window(step, self.schedule.steps, self.injection.start, self.injection.end)
        return window and bool(self.injection.references)
