"""The controls of a panel's stage, prepared; and what a model cannot do of them.

Knows panels, control networks and adapters, not the loop that runs a network.
"""

from collections.abc import Iterator, Sequence

import torch.nn.functional as F
from torch import Tensor

from lafi.board.control import Control
from lafi.board.error import closest, problem
from lafi.board.storyboard import Panel, Storyboard
from lafi.conditioning.control import PanelControl
from lafi.conditioning.control_adapters import ControlFeatures, PanelFeatures
from lafi.conditioning.routing import region_weights
from lafi.drawing.control_pictures import control_pixels, control_tensor
from lafi.drawing.pictures import Size
from lafi.drawing.plan import StagePlan
from lafi.model.control_info import PUT_IN, is_feature
from lafi.model.families.registry import input_ports
from lafi.ports.engines import Engines
from lafi.sampling.window import whole_steps_in_window


class ControlConditions:
    """What networks and adapters made of pictures, each once for a size.

    A panel's stages and retries share it.
    """

    def __init__(self) -> None:
        self._made: dict[tuple[str, Size], tuple[Tensor, ...]] = {}

    def of(self, control: Control, size: Size, engines: Engines) -> tuple[Tensor, ...]:
        """A network's condition (C, h, w) alone; an adapter's features, (C, h / d, w / d) each.

        size: in pixels.
        """
        key = (control.sees, size)
        if key not in self._made:
            pixels = control_pixels(control, *size)
            if control.kind in engines.control_adapters:
                facts = engines.info.control(control.kind)
                assert facts is not None
                seen = control_tensor(pixels, facts.channels)
                made = engines.control_adapters[control.kind].features(seen)
            else:
                made = (engines.controls[control.kind].condition(control_tensor(pixels)),)
            self._made[key] = tuple(each[0] for each in made)
        return self._made[key]


def panel_controls(
    panel: Panel, size: Size, engines: Engines, conditions: ControlConditions
) -> tuple[PanelControl, ...]:
    """What control networks do for a panel in a stage of this size, in pixels."""
    return tuple(
        PanelControl(
            network=control.kind,
            condition=conditions.of(control, size, engines)[0],
            strength=control.strength,
            start=control.start,
            end=control.end,
            region=_region(control, size, engines),
        )
        for control in panel.control
        if control.kind in engines.controls
    )


def panel_features(
    panel: Panel, size: Size, engines: Engines, conditions: ControlConditions
) -> ControlFeatures:
    """What control adapters do for a panel in a stage of this size, in pixels."""
    ports = [port for port in input_ports(engines.info) if is_feature(port)]
    adapters = []
    for control in panel.control:
        if control.kind not in engines.control_adapters:
            continue
        region = _region(control, size, engines)
        features = {}
        made = conditions.of(control, size, engines)
        for port, feature in zip(ports, made, strict=False):
            weighed = feature * control.strength
            if region is not None:
                weighed = weighed * F.avg_pool2d(region[None], port.downscale)
            features[port.name] = weighed
        adapters.append(PanelFeatures(features, control.strength, control.start, control.end))
    return ControlFeatures(tuple(adapters))


def _region(control: Control, size: Size, engines: Engines) -> Tensor | None:
    """(h, w) in [0, 1], where it steers; None: everywhere."""
    if control.region is None:
        return None
    cells = (size[1] // engines.info.vae_scale, size[0] // engines.info.vae_scale)
    return region_weights(control.region, cells)


def control_problems(field: str, panel: Panel, engines: Engines) -> Iterator[str]:
    """A line for each control whose network or adapter the model has not."""
    names = [*engines.controls, *engines.control_adapters]
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
