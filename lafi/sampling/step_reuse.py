"""Steps that one panel takes without the denoiser: EasyCache (arXiv:2507.02860).

The paper measures a rectified flow, x = (1 - t) * picture + t * noise, whose model predicts
noise - picture. Latents here are alpha * picture + sigma * noise, so latents / (alpha + sigma) lie
on that flow at t = sigma / (alpha + sigma), and both are written so: the rule then means the
same for epsilon- and v-prediction, for every sampler, and no change of scale between two steps
counts as a change. The prediction is the guided one: it is what the schedule steps with, and
reusing it is reusing both branches, since `x + (out - x)` commutes with guidance.

Knows one panel's own steps, neither its rows nor its company.
"""

from dataclasses import dataclass

from torch import Tensor

from lafi.board.stages import ReuseWindow
from lafi.sampling.noise_model import NoiseModel
from lafi.sampling.window import in_window, share_in_window


@dataclass(frozen=True, slots=True)
class ReuseRule:
    """When a step may be reused.

    threshold   relative change of the prediction that may add up since the last computed step
    start, end  step i of N may be reused if start <= i / N < end
    window      `noise`: start and end are shares of the model's whole noise schedule instead
    """

    threshold: float
    start: float
    end: float
    window: ReuseWindow = "steps"

    def allows(self, step: int, steps: int, noise_share: float) -> bool:
        """Whether step i of N, from 0, lies in the window; the last never does.

        noise_share: in [0, 1], how far through the model's schedule the step is.
        """
        if step >= steps - 1:
            return False
        if self.window == "noise":
            return share_in_window(noise_share, self.start, self.end)
        return in_window(step, steps, self.start, self.end)


@dataclass(frozen=True, slots=True)
class _Flow:
    """A point of the flow and the prediction there, (C, h, w) each."""

    point: Tensor
    prediction: Tensor


class StepReuse:
    """What a panel knows of its computed steps, and whether the coming one is like them.

    After two computed steps there is a rate, how much the prediction changes with the point; each
    later step adds the change that this rate foretells, relative to the prediction. While the sum
    is below the threshold the step is reused, else it is computed and the sum begins anew.
    """

    def __init__(self, rule: ReuseRule, process: NoiseModel) -> None:
        self.rule = rule
        self.coming = False
        """Whether the coming step is taken without the denoiser."""
        self._process = process
        self._computed: _Flow | None = None
        self._rate: float | None = None
        self._point: Tensor | None = None
        """Of the step before, computed or not."""
        self._change = 0.0

    def record(self, latents: Tensor, timestep: float, prediction: Tensor) -> None:
        """A computed step: latents as the model saw them and its guided prediction, (C, h, w)."""
        point, flow = self._process.as_flow(latents, prediction, timestep)
        if self._computed is not None:
            moved = _distance(point, self._computed.point)
            changed = _distance(flow, self._computed.prediction)
            self._rate = changed / moved if moved > 0.0 else None
        self._computed = _Flow(point, flow)
        self._point = point
        self._change = 0.0

    def decide(self, latents: Tensor, timestep: float, allowed: bool) -> None:
        """Whether the coming step is reused, from its latents; not allowed: it is computed."""
        self.coming = False
        if self._computed is None or self._point is None:
            return
        point = self._process.flow_point(latents, timestep)
        if self._rate is not None:
            scale = float(self._computed.prediction.abs().mean())
            foretold = self._rate * _distance(point, self._point)
            # Where the prediction is nothing, or not finite, nothing can be foretold.
            self._change += foretold / scale if scale > 0.0 else float("inf")
            self.coming = allowed and self._change < self.rule.threshold
        self._point = point

    def prediction(self, latents: Tensor, timestep: float) -> Tensor:
        """In place of the denoiser's, guided, (C, h, w); asked only where `coming` is true."""
        assert self._computed is not None
        point = self._process.flow_point(latents, timestep)
        flow = point + (self._computed.prediction - self._computed.point)
        return self._process.from_flow(point, flow, timestep)

    def forget(self) -> None:
        """What was computed says nothing of the coming steps, such as where injection switches."""
        self.coming = False
        self._computed = self._rate = self._point = None
        self._change = 0.0


def _distance(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().mean())
