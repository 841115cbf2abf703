"""Laws of a panel that a network, an adapter, picture prompts and a character steer at once."""

from collections.abc import Mapping
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from control_networks import random_adapter, random_control
from diffusers import ControlNetModel, T2IAdapter
from diffusers.image_processor import VaeImageProcessor
from picture_adapters import prompted_pipeline
from picture_adapters import random_adapter as random_picture_adapter
from plain_loop import GUIDANCE, NEGATIVE, SIDE, STEPS, PlainLoop, picture
from steered_boards import coarse_blocks, pixels, png
from torch import Tensor

from drawn_twice import distance, stock_pipeline
from lafi.board.storyboard import Panel, Storyboard
from lafi.engine.torch.engines import load_torch_engines
from lafi.model.picture_prompt_info import AdapterFiles
from lafi.ports.engines import Engines

CAPTION, FACE = "a child", picture(1, SIDE, SIDE)
SEEN = [coarse_blocks(place, 4, (SIDE, SIDE)) for place in range(5)]
NETWORK = {"kind": "pose", "image": png(SEEN[0]), "strength": 0.8}
EDGES = {"kind": "edges", "image": png(SEEN[1]), "strength": -0.5, "region": [0, 0, 0.5, 1]}
ADAPTER = {"kind": "ink", "image": png(SEEN[2]), "strength": 0.7}
SHOWN = [
    {"image": png(SEEN[3]), "strength": 0.6},
    {"image": png(SEEN[4]), "strength": 0.4, "region": [0.5, 0, 1, 1]},
    {"character": "mia", "strength": 0.3},
]
EVERY: dict[str, Any] = {"control": [NETWORK, EDGES, ADAPTER], "picture_prompts": SHOWN}
SAMPLINGS: dict[str, list[dict[str, Any]]] = {
    "one stage": [{"steps": 3}],
    "two stages": [{"steps": 2, "size": 0.5}, {"steps": 2, "denoise": 0.6}],
}


class Steered:
    """Folders and files of what steers the tiny checkpoint, and our engines with all of it."""

    def __init__(self, checkpoint: Path, folder: Path) -> None:
        self.controls = {
            "pose": random_control(checkpoint, folder / "pose", 0),
            "edges": random_control(checkpoint, folder / "edges", 1),
            "ink": random_adapter(checkpoint, folder / "ink", 2),
        }
        self.shown: AdapterFiles = random_picture_adapter(checkpoint, folder / "pictures")
        self.engines: Engines = load_torch_engines(
            checkpoint, controls=self.controls, picture_prompts=self.shown
        )


@pytest.fixture(scope="module")
def steered(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Steered:
    return Steered(checkpoint, tmp_path_factory.mktemp("steered"))


@pytest.fixture(scope="module", params=SAMPLINGS)
def sampling(request: pytest.FixtureRequest) -> dict[str, Any]:
    common = {"sampler": "DDIM", "guidance": GUIDANCE}
    return {"stages": [common | stage for stage in SAMPLINGS[request.param]]}


def board(sampling: dict[str, Any], *panels: Mapping[str, Any]) -> Storyboard:
    """Panels of one character, which each reads in self-attention; mappings: further fields."""
    return Storyboard(
        width=SIDE,
        height=SIDE,
        negative_prompt=NEGATIVE,
        sampling=sampling,
        injection={"strength": 0.0, "reference_noise": "panel"},
        characters=[{"name": "mia", "prompt": CAPTION, "reference": FACE}],
        panels=[Panel(prompt="{mia} on the beach", seed=5, **fields) for fields in panels],
    )


def without_strength(conditions: Mapping[str, Any]) -> dict[str, Any]:
    return {name: [each | {"strength": 0.0} for each in conditions[name]] for name in conditions}


def test_strength_0_of_all_is_exactly_the_model_without_any(
    steered: Steered, checkpoint: Path, sampling: dict[str, Any]
) -> None:
    (expected,) = pixels(board(sampling, {}), load_torch_engines(checkpoint))
    for fields in ({}, without_strength(EVERY)):
        (alone,) = pixels(board(sampling, fields), steered.engines)
        assert distance(alone, expected) == 0
    (acting,) = pixels(board(sampling, EVERY), steered.engines)
    assert distance(acting, expected) > 10


def test_strength_0_of_one_is_exactly_the_panel_without_it(
    steered: Steered, sampling: dict[str, Any]
) -> None:
    """Beside the others, which act."""
    places = [(name, i) for name, given in EVERY.items() for i in range(len(given))]
    less, zero = [], []
    for name, place in places:
        given = EVERY[name]
        less.append(EVERY | {name: given[:place] + given[place + 1 :]})
        nothing = [given[place] | {"strength": 0.0}]
        zero.append(EVERY | {name: given[:place] + nothing + given[place + 1 :]})
    pair = (pixels(board(sampling, *panels), steered.engines) for panels in (less, zero))
    for place, without, nothing in zip(places, *pair, strict=True):
        assert distance(without, nothing) == 0, place


def test_their_order_changes_nothing(steered: Steered, sampling: dict[str, Any]) -> None:
    orders = zip(permutations(EVERY["control"]), permutations(SHOWN), strict=True)
    panels = [{"control": [*some], "picture_prompts": [*others]} for some, others in orders]
    first, *rest = pixels(board(sampling, *panels), steered.engines)
    assert len(rest) == 5
    assert max(distance(first, other) for other in rest) <= 1


def test_a_panel_beside_is_not_changed(steered: Steered, sampling: dict[str, Any]) -> None:
    """By what steers another one in the same calls, whether it is steered itself or not."""
    (alone,) = pixels(board(sampling, EVERY), steered.engines)
    for others in ({}, EVERY):
        assert distance(pixels(board(sampling, others, EVERY), steered.engines)[1], alone) <= 1
    beside_plain, beside_steered = (
        pixels(board(sampling, others, {}), steered.engines)[1] for others in ({}, EVERY)
    )
    assert distance(beside_plain, beside_steered) == 0


class SteeredLoop(PlainLoop):
    """With a network, an adapter and a picture beside the words; a reference reads none."""

    def __init__(self, pipeline: Any, steered: Steered) -> None:
        super().__init__(pipeline)
        self.embeds = pipeline.prepare_ip_adapter_image_embeds([[SEEN[3]]], None, "cpu", 1, True)
        self.network = ControlNetModel.from_pretrained(steered.controls["pose"])
        processor = VaeImageProcessor(do_normalize=False)
        self.condition = processor.preprocess(SEEN[0]).repeat(2, 1, 1, 1)
        adapter = T2IAdapter.from_pretrained(steered.controls["ink"])
        self.features = [0.7 * each for each in adapter(processor.preprocess(SEEN[2]))]

    def predict(self, latents: Tensor, timestep: Tensor, text: Tensor) -> Tensor:
        rows = len(latents)
        self.pipe.set_ip_adapter_scale(0.0 if rows == 1 else 0.6)
        more: dict[str, Any] = {}
        if rows == 2:
            seen = {"controlnet_cond": self.condition, "conditioning_scale": 0.8}
            down, middle = self.network(latents, timestep, text, **seen, return_dict=False)
            more = {
                "down_block_additional_residuals": down,
                "mid_block_additional_residual": middle,
                "down_intrablock_additional_residuals": [
                    torch.cat([each] * rows) for each in self.features
                ],
            }
        embeds = {"image_embeds": [each[:rows] for each in self.embeds]}
        predicted: Tensor = self.pipe.unet(
            latents, timestep, text, added_cond_kwargs=embeds, **more
        ).sample
        return predicted


@torch.no_grad()
def test_beside_injection_the_pixels_are_those_of_a_plain_loop(
    steered: Steered, checkpoint: Path
) -> None:
    loop = SteeredLoop(prompted_pipeline(stock_pipeline(checkpoint), steered.shown), steered)
    mia = loop.reference(FACE, CAPTION, 0)
    loop.install()
    expected = loop.draw("a child on the beach", 5, {"mia": mia})
    given: dict[str, Any] = {"control": [NETWORK, ADAPTER], "picture_prompts": SHOWN[:1]}
    less: list[dict[str, Any]] = [
        {"control": [ADAPTER]},
        {"control": [NETWORK]},
        {"picture_prompts": []},
        {"injection": {"layers": "none"}},
    ]
    panels = [given, *(given | each for each in less)]
    settings = {"steps": STEPS, "sampler": "DDIM", "guidance": GUIDANCE}
    ours: list[np.ndarray] = pixels(board(settings, *panels), steered.engines)
    assert distance(ours[0], expected) <= 2
    assert min(distance(ours[0], other) for other in ours[1:]) > 4
