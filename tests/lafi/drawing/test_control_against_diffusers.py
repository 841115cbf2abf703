"""Control networks: the same pixels as diffusers' own pipelines, on small random networks."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from control_networks import random_control
from diffusers import (
    ControlNetModel,
    MultiControlNetModel,
    StableDiffusionControlNetPipeline,
    StableDiffusionXLControlNetPipeline,
)
from PIL import Image
from steered_boards import GUIDANCE, PROMPT, SEED, STEPS, coarse_blocks, pixels, steered_board

from drawn_twice import distance, stock_pipeline, with_sampler
from lafi.board.storyboard import Storyboard
from lafi.engine.torch.engines import load_torch_engines
from lafi.ports.engines import Engines

SIZES = {"sd": (32, 64), "sdxl": (96, 64)}
WINDOW = {"strength": 0.7, "start": 0.2, "end": 0.75}
CONTROLS: list[list[dict[str, Any]]] = [
    [{"kind": "pose"}],
    [{"kind": "pose", **WINDOW}],
    [{"kind": "pose", "strength": 0.8}, {"kind": "edges", "strength": -1.2}],
    [{"kind": "pose", "end": 0.5}, {"kind": "edges", **WINDOW}],
]


class Drawn:
    """One architecture: its engines and diffusers' pipelines with the same networks."""

    def __init__(self, name: str, checkpoint: Path, folder: Path) -> None:
        self.size = SIZES[name]
        self.checkpoint = checkpoint
        self.folders = {
            kind: random_control(checkpoint, folder / kind, seed)
            for seed, kind in enumerate(("pose", "edges"))
        }
        self.engines: Engines = load_torch_engines(checkpoint, controls=self.folders)
        self.plain = stock_pipeline(checkpoint)
        self.kind: Any = {
            "sd": StableDiffusionControlNetPipeline,
            "sdxl": StableDiffusionXLControlNetPipeline,
        }[name]

    def picture(self, seed: int) -> Image.Image:
        """Random coarse blocks of the panel's size."""
        return coarse_blocks(seed, 4, self.size)

    def board(self, *controls: list[dict[str, Any]], **fields: Any) -> Storyboard:
        """A panel for each list; pictures are seen in their order."""
        return steered_board("control", controls, self.picture, self.size, **fields)

    def by_diffusers(self, controls: list[dict[str, Any]]) -> np.ndarray:
        """int16 (H, W, 3)."""
        networks = [ControlNetModel.from_pretrained(self.folders[c["kind"]]) for c in controls]
        parts = dict(self.plain.components)
        several = len(networks) > 1
        pipeline = with_sampler(
            self.kind(
                **parts, controlnet=MultiControlNetModel(networks) if several else networks[0]
            )
        )
        pictures = [self.picture(place) for place in range(len(controls))]
        strengths = [float(each.get("strength", 1.0)) for each in controls]
        image = pipeline(
            PROMPT,
            image=pictures if several else pictures[0],
            negative_prompt="night",
            num_inference_steps=STEPS,
            guidance_scale=GUIDANCE,
            controlnet_conditioning_scale=strengths if several else strengths[0],
            control_guidance_start=[each.get("start", 0.0) for each in controls],
            control_guidance_end=[each.get("end", 1.0) for each in controls],
            width=self.size[0],
            height=self.size[1],
            generator=torch.Generator().manual_seed(SEED),
        ).images[0]
        return np.asarray(image, dtype=np.int16)


@pytest.fixture(scope="module", params=SIZES)
def drawn(
    request: pytest.FixtureRequest,
    checkpoint_of: Callable[[str], Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Drawn:
    name = request.param
    return Drawn(name, checkpoint_of(name), tmp_path_factory.mktemp("controls"))


def test_the_pixels_are_those_of_diffusers(drawn: Drawn) -> None:
    """All panels in one batch, beside each other and one without control."""
    ours = pixels(drawn.board(*CONTROLS, []), drawn.engines)
    plain = ours[-1]
    for controls, picture in zip(CONTROLS, ours[:-1], strict=True):
        assert distance(picture, drawn.by_diffusers(controls)) <= 2
        assert distance(picture, plain) > 10


def test_without_control_it_is_as_in_a_model_without_networks(drawn: Drawn) -> None:
    """Beside a panel with control, and alone, where not even a rounding may differ."""
    (expected,) = pixels(drawn.board([]), load_torch_engines(drawn.checkpoint))
    (alone,) = pixels(drawn.board([]), drawn.engines)
    assert distance(alone, expected) == 0
    assert distance(pixels(drawn.board(CONTROLS[0], []), drawn.engines)[-1], expected) <= 2
