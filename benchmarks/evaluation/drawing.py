"""Draws the panels of a method: ours through `lafi.drawing.pipeline`, peers through their own loop.

Knows methods and groups, not measures.
"""

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from PIL import Image

from benchmarks.evaluation.methods import Method
from benchmarks.evaluation.pairs import Group, Pixels
from benchmarks.peers.drawing import PeerModel, PeerPanels, draw_panels, load_peer_model
from lafi.board.stages import Sampling, SamplingStage
from lafi.board.storyboard import Character, Panel, Storyboard
from lafi.drawing.images import to_pixels, to_tensor
from lafi.drawing.pipeline import draw
from lafi.engine.onnx.engines import load_onnx_engines
from lafi.engine.onnx.graph import Precision, RuntimeName
from lafi.engine.torch.engines import load_torch_engines
from lafi.model.checkpoint import read_model_info
from lafi.ports.engines import Engines
from lafi.wire.events import PanelImage

SEEDS_APART = 1_000_000
"""The distance between a panel's seeds of two repeats."""


class Drawer(Protocol):
    """Draws every target of the groups, in their order.

    repeat: 0 uses the targets' own seeds; other values use other seeds.
    """

    def draw(self, method: Method, groups: Sequence[Group], repeat: int) -> list[Pixels]: ...


@dataclass(frozen=True, slots=True)
class CheckpointDrawer:
    """`Drawer` of a checkpoint: `engines` for ours, `peers` for the others."""

    engines: Engines
    peers: PeerModel
    stage: SamplingStage
    side: int

    def draw(self, method: Method, groups: Sequence[Group], repeat: int) -> list[Pixels]:
        """RGB uint8 (side, side, 3) for each target. Raises RuntimeError if a panel fails."""
        one = self._draw_own if method.peer is None else self._draw_peer
        return [pixels for group in groups for pixels in one(method, group, repeat)]

    def _draw_own(self, method: Method, group: Group, repeat: int) -> list[Pixels]:
        board = storyboard(method, group, repeat, self.stage, self.side)
        return drawn_panels(board, self.engines, method.name)

    def _draw_peer(self, method: Method, group: Group, repeat: int) -> list[Pixels]:
        assert method.peer is not None
        panels = PeerPanels(
            prompts=tuple(t.prompt.replace("{who}", group.caption) for t in group.targets),
            seeds=tuple(t.seed + SEEDS_APART * repeat for t in group.targets),
            caption=group.caption,
            reference=group.reference.png,
            side=self.side,
        )
        return draw_panels(self.peers, method.peer, panels, self.stage, method.path)


def drawn_panels(board: Storyboard, engines: Engines, name: str) -> list[Pixels]:
    """Every panel of a storyboard, in its order. Raises RuntimeError with `name` if one fails."""
    panels = {e.panel: e.png for e in draw(board, engines) if isinstance(e, PanelImage)}
    if len(panels) != len(board.panels):
        raise RuntimeError(f"{name}: got {len(panels)} panels, allowed: {len(board.panels)}")
    return [pixels_of(panels[index]) for index in range(len(board.panels))]


def load_drawer(
    checkpoint: Path,
    repository: Path | None,
    stage: SamplingStage,
    side: int,
    runtime: RuntimeName = "openvino",
    precision: Precision = "f32",
) -> CheckpointDrawer:
    """Our engines run an export in `repository`, or torch without one; peers always use torch.

    Raises ValueError if the export was made from other weights.
    """
    peers = load_peer_model(checkpoint)
    if repository is None:
        return CheckpointDrawer(load_torch_engines(checkpoint), peers, stage, side)
    engines = load_onnx_engines(repository / "artifacts", runtime, precision)
    found, wanted = engines.info.weights_sha256, read_model_info(checkpoint).weights_sha256
    if found != wanted:
        raise ValueError(
            f"repository: got an export of the weights {found[:12]}, "
            f"allowed: of {wanted[:12]}, those of {checkpoint}"
        )
    return CheckpointDrawer(engines, peers, stage, side)


def storyboard(
    method: Method, group: Group, repeat: int, stage: SamplingStage, side: int
) -> Storyboard:
    """The group's targets as panels that read its reference, or both of its references.

    Raises ValueError if the group lacks something that the method needs.
    """
    given = [group.reference] if method.references == 1 else [group.reference, group.second]
    characters = []
    for index, picture in enumerate(given):
        data = None if picture is None else picture.masked_png if method.masked else picture.png
        if data is None:
            raise ValueError(f"{method.name}: got a group without it, allowed: a picture and mask")
        characters.append(
            Character(
                name=f"c{index}",
                prompt=group.description if method.described else group.caption,
                reference=data,
            )
        )
    return Storyboard(
        width=side,
        height=side,
        sampling=Sampling(stages=(stage,)),
        injection=method.injection,
        characters=tuple(characters),
        panels=tuple(
            Panel(
                prompt=target.prompt.replace("{who}", "{c0}"),
                characters=tuple(character.name for character in characters),
                seed=target.seed + SEEDS_APART * repeat,
            )
            for target in group.targets
        ),
    )


def describe_engines(drawer: CheckpointDrawer) -> dict[str, str]:
    """The facts about the engines that decide pixels, as JSON."""
    info = drawer.engines.info
    return {
        "weights": info.weights_sha256,
        "engine": info.engine,
        "precision": info.precision,
        "scheduler": json.dumps(info.scheduler_config, sort_keys=True, default=str),
    }


def through_vae(engines: Engines, pictures: Sequence[Pixels]) -> list[Pixels]:
    """Pictures after VAE encoding and decoding, eight at a time."""
    back: list[Pixels] = []
    for start in range(0, len(pictures), 8):
        batch = torch.stack([to_tensor(picture) for picture in pictures[start : start + 8]])
        back += [to_pixels(image) for image in engines.vae_decoder(engines.vae_encoder(batch))]
    return back


def pixels_of(png: bytes) -> Pixels:
    """A PNG file -> RGB uint8 (H, W, 3)."""
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def png_of(pixels: Pixels) -> bytes:
    """RGB uint8 (H, W, 3) -> a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()
