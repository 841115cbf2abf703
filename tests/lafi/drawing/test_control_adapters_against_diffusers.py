"""T2I-Adapters: the same pixels as diffusers' own pipelines, on small random adapters."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from control_networks import random_adapter, random_control
from diffusers import (
    MultiAdapter,
    StableDiffusionAdapterPipeline,
    StableDiffusionXLAdapterPipeline,
    T2IAdapter,
)
from PIL import Image
from steered_boards import GUIDANCE, PROMPT, SEED, STEPS, coarse_blocks, pixels, steered_board

from drawn_twice import distance, stock_pipeline, with_sampler
from lafi.board.storyboard import Storyboard
from lafi.engine.torch.engines import load_torch_engines
from lafi.ports.engines import Engines

SIZES = {"sd": (32, 64), "sd15": (64, 128), "sdxl": (96, 64)}
ALONE: list[list[dict[str, Any]]] = [
    [{"kind": "ink"}],
    [{"kind": "ink", "strength": 0.6}],
    [{"kind": "grey"}],
]
SEVERAL: list[list[dict[str, Any]]] = [
    [{"kind": "ink", "strength": 0.8}, {"kind": "colour", "strength": -0.7}],
]


class Drawn:
    """One architecture: its engines and diffusers' pipelines with the same adapters."""

    def __init__(self, name: str, checkpoint: Path, folder: Path) -> None:
        self.name, self.size = name, SIZES[name]
        self.checkpoint = checkpoint
        light = {} if name == "sdxl" else light_adapter(checkpoint)
        self.folders = {
            "ink": random_adapter(checkpoint, folder / "ink", 0),
            "colour": random_adapter(checkpoint, folder / "colour", 1, **light),
            "grey": random_adapter(checkpoint, folder / "grey", 2, in_channels=1),
            "pose": random_control(checkpoint, folder / "pose", 3),
        }
        self.engines: Engines = load_torch_engines(checkpoint, controls=self.folders)
        self.plain = stock_pipeline(checkpoint)
        self.kind: Any = (
            StableDiffusionXLAdapterPipeline if name == "sdxl" else StableDiffusionAdapterPipeline
        )

    def picture(self, seed: int) -> Image.Image:
        """Random coarse blocks of the panel's size."""
        return coarse_blocks(seed, 4, self.size)

    def board(self, *controls: list[dict[str, Any]], **fields: Any) -> Storyboard:
        """A panel for each list; pictures are seen in their order."""
        return steered_board("control", controls, self.picture, self.size, **fields)

    def by_diffusers(self, controls: list[dict[str, Any]], **settings: Any) -> np.ndarray:
        """int16 (H, W, 3)."""
        adapters = [T2IAdapter.from_pretrained(self.folders[each["kind"]]) for each in controls]
        several = len(adapters) > 1
        given = MultiAdapter(adapters) if several else adapters[0]
        parts = dict(self.plain.components)
        if self.name != "sdxl":
            del parts["image_encoder"]
        pipeline = with_sampler(self.kind(**parts, adapter=given))
        pictures = [
            self.picture(place).convert("L" if each["kind"] == "grey" else "RGB")
            for place, each in enumerate(controls)
        ]
        strengths = [float(each.get("strength", 1.0)) for each in controls]
        image = pipeline(
            PROMPT,
            image=pictures if several else pictures[0],
            negative_prompt="night",
            num_inference_steps=STEPS,
            guidance_scale=GUIDANCE,
            adapter_conditioning_scale=strengths if several else strengths[0],
            width=self.size[0],
            height=self.size[1],
            generator=torch.Generator().manual_seed(SEED),
            **settings,
        ).images[0]
        return np.asarray(image, dtype=np.int16)


def light_adapter(checkpoint: Path) -> dict[str, Any]:
    """The config of a light adapter for a checkpoint's UNet: its last width is given twice."""
    widths = T2IAdapter.load_config(checkpoint / "unet")["block_out_channels"]
    assert widths[-1] == widths[-2]
    return {"adapter_type": "light_adapter", "channels": widths[:-1]}


@pytest.fixture(scope="module", params=SIZES)
def drawn(
    request: pytest.FixtureRequest,
    checkpoint_of: Callable[[str], Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Drawn:
    name = request.param
    return Drawn(name, checkpoint_of(name), tmp_path_factory.mktemp("adapters"))


def test_the_pixels_are_those_of_diffusers(drawn: Drawn) -> None:
    """All panels in one batch, one by one and several, beside one without control."""
    ours = pixels(drawn.board(*ALONE, *SEVERAL, []), drawn.engines)
    plain = ours[-1]
    for controls, picture in zip(ALONE + SEVERAL, ours[:-1], strict=True):
        assert distance(picture, drawn.by_diffusers(controls)) <= 2
        assert distance(picture, plain) > 10


def test_an_end_is_that_of_diffusers(drawn: Drawn) -> None:
    """Of the pipeline for SDXL, which alone has one."""
    if drawn.name != "sdxl":
        pytest.skip("diffusers' pipeline for this model has no such setting")
    (ours,) = pixels(drawn.board([{"kind": "ink", "end": 0.5}]), drawn.engines)
    theirs = drawn.by_diffusers([{"kind": "ink"}], adapter_conditioning_factor=0.5)
    assert distance(ours, theirs) <= 2
    assert distance(ours, drawn.by_diffusers([{"kind": "ink"}])) > 2


def test_without_control_it_is_as_in_a_model_without_adapters(drawn: Drawn) -> None:
    """Beside panels with adapters, and alone, where not even a rounding may differ."""
    (expected,) = pixels(drawn.board([]), load_torch_engines(drawn.checkpoint))
    for nothing in ([], [{"kind": "ink", "strength": 0.0}]):
        (alone,) = pixels(drawn.board(nothing), drawn.engines)
        assert distance(alone, expected) == 0
        beside = pixels(drawn.board(ALONE[0], nothing), drawn.engines)
        assert distance(beside[-1], expected) <= 2
