"""Control networks, T2I-Adapters and picture prompts in one panel, against diffusers' pipelines.

Where no pipeline of diffusers has both or all three, the adapter's features are given to its UNet
before each call, as its pipelines for adapters give them.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from control_networks import random_adapter, random_control
from diffusers import (
    ControlNetModel,
    StableDiffusionControlNetImg2ImgPipeline,
    StableDiffusionControlNetPipeline,
    StableDiffusionXLAdapterPipeline,
    StableDiffusionXLControlNetPipeline,
    T2IAdapter,
)
from diffusers.image_processor import VaeImageProcessor
from picture_adapters import prompted_pipeline
from picture_adapters import random_adapter as random_picture_adapter
from PIL import Image
from steered_boards import GUIDANCE, PROMPT, SEED, SETTINGS, STEPS, coarse_blocks, pixels, png
from torch import Tensor

from drawn_twice import distance, stock_pipeline, with_sampler
from lafi.board.storyboard import Panel, Storyboard
from lafi.engine.torch.engines import load_torch_engines
from lafi.ports.engines import Engines

SIZE = (64, 64)
NETWORK, ADAPTER, PICTURE = 0.8, 0.7, 0.6
"""Strengths."""
END = 0.7
"""Where the network's window ends."""
Pixels = np.ndarray


def seen(place: int) -> Image.Image:
    """What the network sees, the adapter, and what is a picture prompt."""
    return coarse_blocks(place, 4, SIZE)


CONTROL: dict[str, dict[str, Any]] = {
    "network": {"kind": "pose", "image": png(seen(0)), "strength": NETWORK, "end": END},
    "adapter": {"kind": "ink", "image": png(seen(1)), "strength": ADAPTER},
}
SHOWN: dict[str, Any] = {"image": png(seen(2)), "strength": PICTURE}


def panel(conditions: Sequence[str]) -> Panel:
    """One with these of network, adapter and picture."""
    control = [CONTROL[name] for name in conditions if name in CONTROL]
    shown = [SHOWN] if "picture" in conditions else []
    return Panel(prompt=PROMPT, seed=SEED, control=control, picture_prompts=shown)


def board(panels: Sequence[Sequence[str]], **fields: Any) -> Storyboard:
    """A panel for each list of conditions."""
    return Storyboard(
        width=SIZE[0], height=SIZE[1], panels=[panel(each) for each in panels], **SETTINGS | fields
    )


class Drawn:
    """One architecture: its engines, and diffusers' pipelines with the same networks."""

    def __init__(self, name: str, checkpoint: Path, folder: Path) -> None:
        self.xl = name == "sdxl"
        controls = {
            "pose": random_control(checkpoint, folder / "pose", 3),
            "ink": random_adapter(checkpoint, folder / "ink", 0),
        }
        self.files = random_picture_adapter(checkpoint, folder / "pictures")
        self.engines: Engines = load_torch_engines(
            checkpoint, controls=controls, picture_prompts=self.files
        )
        self.network = ControlNetModel.from_pretrained(controls["pose"])
        self.adapter = T2IAdapter.from_pretrained(controls["ink"])
        self.checkpoint = checkpoint
        self.shown = prompted_pipeline(stock_pipeline(checkpoint), self.files)
        self.shown.set_ip_adapter_scale(PICTURE)
        self.plain = stock_pipeline(checkpoint)

    def networked(self, pipeline: Any, kind: Any = None) -> Any:
        """A pipeline with the network, of the same parts."""
        kinds = (StableDiffusionControlNetPipeline, StableDiffusionXLControlNetPipeline)
        return with_sampler(
            (kind or kinds[self.xl])(**pipeline.components, controlnet=self.network)
        )

    def with_features(self, pipeline: Any, size: tuple[int, int] = SIZE) -> Any:
        """To be used in a `with`: its UNet gets the adapter's features in each call."""
        processor = VaeImageProcessor(do_normalize=False)
        picture = processor.preprocess(seen(1), *size[::-1])
        with torch.no_grad():
            features = [ADAPTER * each for each in self.adapter(picture)]

        def give(unet: Any, args: Any, given: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
            rows = [torch.cat([each] * len(args[0])) for each in features]
            return args, given | {"down_intrablock_additional_residuals": rows}

        return pipeline.unet.register_forward_pre_hook(give, with_kwargs=True)

    def by(self, pipeline: Any, **settings: Any) -> Any:
        """What a pipeline of diffusers draws."""
        return pipeline(
            PROMPT,
            negative_prompt="night",
            guidance_scale=GUIDANCE,
            generator=torch.Generator().manual_seed(SEED),
            **{"num_inference_steps": STEPS, "width": SIZE[0], "height": SIZE[1]} | settings,
        ).images[0]


def as_pixels(image: Any) -> Pixels:
    """int16 (H, W, 3)."""
    return np.asarray(image, dtype=np.int16)


NETWORK_SETTINGS = {"controlnet_conditioning_scale": NETWORK, "control_guidance_end": END}
PICTURE_SETTINGS = {"ip_adapter_image": [[seen(2)]]}


@pytest.fixture(scope="module", params=["sd", pytest.param("sdxl", marks=pytest.mark.slow)])
def drawn(
    request: pytest.FixtureRequest,
    checkpoint_of: Callable[[str], Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Drawn:
    name = request.param
    return Drawn(name, checkpoint_of(name), tmp_path_factory.mktemp("together"))


def test_pairs_and_all_three_are_drawn_as_by_diffusers(drawn: Drawn) -> None:
    """All panels in one batch, beside one without any."""
    pairs = [("network", "picture"), ("adapter", "picture"), ("network", "adapter")]
    every = [*pairs, ("network", "adapter", "picture"), ()]
    ours = dict(zip(every, pixels(board(every), drawn.engines), strict=True))
    theirs: dict[tuple[str, ...], Any] = {}
    network = NETWORK_SETTINGS | {"image": seen(0)}
    both = drawn.networked(drawn.shown)
    theirs["network", "picture"] = drawn.by(both, **network, **PICTURE_SETTINGS)
    if drawn.xl:
        pipeline = with_sampler(
            StableDiffusionXLAdapterPipeline(**drawn.shown.components, adapter=drawn.adapter)
        )
        adapted = {"image": seen(1), "adapter_conditioning_scale": ADAPTER}
        theirs["adapter", "picture"] = drawn.by(pipeline, **adapted, **PICTURE_SETTINGS)
    else:
        with drawn.with_features(drawn.shown):
            theirs["adapter", "picture"] = drawn.by(drawn.shown, **PICTURE_SETTINGS)
    with drawn.with_features(drawn.plain):
        theirs["network", "adapter"] = drawn.by(drawn.networked(drawn.plain), **network)
    with drawn.with_features(drawn.shown):
        all_three = drawn.by(both, **network, **PICTURE_SETTINGS)
    theirs["network", "adapter", "picture"] = all_three
    theirs[()] = drawn.by(drawn.plain)
    for conditions, image in theirs.items():
        assert distance(ours[conditions], as_pixels(image)) <= 2, conditions
    drawn_by_us = [*ours.values()]
    for place, one in enumerate(drawn_by_us):
        assert all(distance(one, other) > 5 for other in drawn_by_us[:place]), every[place]


def test_two_stages_are_two_pipelines(checkpoint: Path, tmp_path: Path) -> None:
    """All three conditions in text-to-image, a latent upscale, and image-to-image."""
    drawn = Drawn("sd", checkpoint, tmp_path)
    small, steps = (SIZE[0] // 2, SIZE[1] // 2), 4
    stages = [
        {"size": 0.5, "steps": STEPS, "sampler": "DDIM", "guidance": GUIDANCE},
        {
            "steps": steps,
            "denoise": 0.5,
            "upscale": "nearest-exact",
            "sampler": "DDIM",
            "guidance": GUIDANCE,
        },
    ]
    every = ("network", "adapter", "picture")
    ours, plain = pixels(board([every, ()], sampling={"stages": stages}), drawn.engines)
    settings = NETWORK_SETTINGS | PICTURE_SETTINGS
    with drawn.with_features(drawn.shown, small):
        latents: Tensor = drawn.by(
            drawn.networked(drawn.shown),
            image=seen(0),
            output_type="latent",
            width=small[0],
            height=small[1],
            **settings,
        )
    again = drawn.networked(drawn.shown, StableDiffusionControlNetImg2ImgPipeline)
    with drawn.with_features(drawn.shown):
        theirs = drawn.by(
            again,
            image=F.interpolate(latents[None], scale_factor=2, mode="nearest-exact"),
            control_image=seen(0),
            strength=0.5,
            num_inference_steps=2 * steps,
            **settings,
        )
    assert distance(ours, as_pixels(theirs)) <= 2
    assert distance(ours, plain) > 10
