"""Panels that go on from what an earlier drawing left after one of their stages."""

from __future__ import annotations

from collections.abc import Sequence

from lafi.board.stage_latents import StageLatents
from lafi.board.storyboard import Panel, Storyboard
from lafi_client.drawing_folder import DrawingFolder, latents_file


def with_kept_stages(
    storyboard: Storyboard, folder: DrawingFolder, wanted: Sequence[int], from_stage: int | None
) -> Storyboard:
    """The storyboard, asking for the latents of its stages where panels have several.

    from_stage: the first stage that the wanted panels draw, counted from 1; those before come from
    the folder. Raises ValueError where a panel has no such stage, or nothing was kept of it.
    """
    several = [len(storyboard.effective_sampling(p).stages) > 1 for p in storyboard.panels]
    if not any(several):
        if from_stage not in (None, 1):
            raise ValueError(f"--from-stage: got {from_stage}, allowed 1: there is no other stage")
        return storyboard
    panels = list(storyboard.panels)
    if from_stage not in (None, 1):
        for number in wanted:
            panels[number] = _resumed(storyboard, folder, number, from_stage)
    return storyboard.model_copy(update={"keep_stages": True, "panels": tuple(panels)})


def _resumed(storyboard: Storyboard, folder: DrawingFolder, number: int, stage: int) -> Panel:
    panel = storyboard.panels[number]
    stages = len(storyboard.effective_sampling(panel).stages)
    if not 1 <= stage <= stages:
        raise ValueError(f"--from-stage: got {stage}, allowed 1 to {stages} for panel {number}")
    data = folder.latents(number, stage - 1)
    if data is None:
        name = latents_file(number, stage - 1)
        raise ValueError(
            f"--from-stage: got {stage}, and {folder.path / name} is not there; "
            "allowed once the storyboard was drawn from its first stage"
        )
    return panel.model_copy(update={"resume": StageLatents(stage=stage, data=data)})
