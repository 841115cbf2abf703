"""The controls of a panel's stage, prepared; and what a model cannot do of them.

Knows panels and control networks, not the loop that runs them.
"""

from collections.abc import Iterator, Sequence

from torch import Tensor

from lafi.board.control import Control
from lafi.board.error import closest, problem
from lafi.board.storyboard import Panel, Storyboard
from lafi.conditioning.control import PanelControl
from lafi.conditioning.routing import region_weights
from lafi.drawing.control_pictures import control_pixels, control_tensor
from lafi.drawing.pictures import Size
from lafi.drawing.plan import StagePlan
from lafi.model.control_info import PUT_IN
from lafi.ports.engines import Engines
from lafi.sampling.window import whole_steps_in_window


class ControlConditions:
    """What control networks made of pictures, each once for a size: stages and retries share it."""

    def __init__(self) -> None:
        self._made: dict[tuple[str, Size], Tensor] = {}

    def of(self, control: Control, size: Size, engines: Engines) -> Tensor:
        """(C, h, w). size: in pixels."""
        key = (control.sees, size)
        if key not in self._made:
            pixels = control_tensor(control_pixels(control, *size))
            self._made[key] = engines.controls[control.kind].condition(pixels)[0]
        return self._made[key]


def panel_controls(
    panel: Panel, size: Size, engines: Engines, conditions: ControlConditions
) -> tuple[PanelControl, ...]:
    """The controls of a panel in a stage of this size, in pixels."""
    cells = (size[1] // engines.info.vae_scale, size[0] // engines.info.vae_scale)
    return tuple(
        PanelControl(
            network=control.kind,
            condition=conditions.of(control, size, engines),
            strength=control.strength,
            start=control.start,
            end=control.end,
            region=None if control.region is None else region_weights(control.region, cells),
        )
        for control in panel.control
    )


def control_problems(field: str, panel: Panel, engines: Engines) -> Iterator[str]:
    """A line for each control whose network the model has not."""
    names = [*engines.controls]
    none = f"none, since {engines.info.name} has no control networks; {PUT_IN}"
    for place, control in enumerate(panel.control):
        if control.kind not in names:
            allowed = f"{', '.join(names)}{closest(control.kind, names)}" if names else none
            yield problem(f"{field}[{place}].kind", control.kind, allowed)


def control_notes(storyboard: Storyboard, plans: Sequence[tuple[StagePlan, ...]]) -> Iterator[str]:
    """A line for each control that acts in no step of a stage. plans: of every panel."""
    for index, (panel, stages) in enumerate(zip(storyboard.panels, plans, strict=True)):
        for place, control in enumerate(panel.control):
            for stage in stages:
                steps, window = stage.settings.steps, (control.start, control.end)
                acting = any(whole_steps_in_window(i, steps, *window) for i in range(steps))
                if not acting or control.strength == 0.0:
                    why = (
                        "its strength is 0"
                        if acting
                        else f"none of its {steps} steps lies in start to end"
                    )
                    yield (
                        f"panels[{index}].control[{place}]: {control.kind} has no effect in stage "
                        f"{stage.number}: {why}"
                    )
