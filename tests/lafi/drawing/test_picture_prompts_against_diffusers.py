"""Picture prompts: the same pixels as diffusers' pipelines with `load_ip_adapter`, on small random
networks."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers.image_processor import IPAdapterMaskProcessor
from picture_adapters import prompted_pipeline, random_adapter
from PIL import Image
from plain_loop import NEGATIVE, PlainLoop, picture
from plain_loop import SIDE as LOOP_SIDE
from plain_loop import STEPS as LOOP_STEPS
from steered_boards import GUIDANCE, PROMPT, SEED, STEPS, coarse_blocks, pixels, steered_board
from torch import Tensor

from drawn_twice import distance, stock_pipeline
from lafi.board.storyboard import Storyboard
from lafi.engine.torch.engines import load_torch_engines
from lafi.ports.engines import Engines

SIZES = {"sd": (64, 64), "sdxl": (64, 64)}
LEFT, RIGHT = (0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0)
WINDOW = {"strength": 0.7, "start": 0.2, "end": 0.75}
ONE: list[list[dict[str, Any]]] = [[{}], [{"strength": -0.6}], [WINDOW], [{"region": LEFT}]]
SEVERAL: list[list[dict[str, Any]]] = [
    [{"region": LEFT, "strength": 0.8}, {"region": RIGHT, "strength": 1.5}],
    [{"strength": 0.4}, {"region": RIGHT}, {"strength": -0.3}],
]


class Drawn:
    """One architecture and kind of adapter: our engines and diffusers' pipeline with the same."""

    def __init__(self, name: str, kind: Any, checkpoint: Path, folder: Path) -> None:
        self.size = SIZES[name]
        self.checkpoint = checkpoint
        self.files = random_adapter(checkpoint, folder, kind)
        self.engines: Engines = load_torch_engines(checkpoint, picture_prompts=self.files)
        self.pipeline = prompted_pipeline(stock_pipeline(checkpoint), self.files)

    def picture(self, seed: int) -> Image.Image:
        """Random coarse blocks, wider than high."""
        return coarse_blocks(seed, 6, (90, 60))

    def board(self, *prompts: list[dict[str, Any]], **fields: Any) -> Storyboard:
        """A panel for each list; pictures are those of its places."""
        return steered_board("picture_prompts", prompts, self.picture, self.size, **fields)

    def by_diffusers(self, given: list[dict[str, Any]], guidance: float = GUIDANCE) -> np.ndarray:
        """int16 (H, W, 3). Several pictures, or one with a region, are pictures with masks."""
        pipeline = self.pipeline
        pictures = [self.picture(place) for place in range(len(given))]
        masked = len(given) > 1 or any("region" in each for each in given)
        strengths = [float(each.get("strength", 1.0)) for each in given]
        window = given[0].get("start", 0.0), given[0].get("end", 1.0)

        def set_scale(step: int) -> None:
            acts = window[0] <= step / STEPS and (step + 1) / STEPS <= window[1]
            scales: Any = strengths if acts else [0.0] * len(strengths)
            pipeline.set_ip_adapter_scale([scales] if masked else scales[0])

        def after(pipe: Any, step: int, timestep: Any, values: dict[str, Any]) -> dict[str, Any]:
            set_scale(step + 1)
            return values

        set_scale(0)
        more: dict[str, Any] = {}
        if masked:
            more["cross_attention_kwargs"] = {"ip_adapter_masks": [self.masks(given)]}
        image = pipeline(
            PROMPT,
            ip_adapter_image=[pictures],
            negative_prompt="night",
            num_inference_steps=STEPS,
            guidance_scale=guidance,
            width=self.size[0],
            height=self.size[1],
            generator=torch.Generator().manual_seed(SEED),
            callback_on_step_end=after,
            **more,
        ).images[0]
        return np.asarray(image, dtype=np.int16)

    def masks(self, given: list[dict[str, Any]]) -> torch.Tensor:
        """(1, pictures, H, W), 1 inside the regions."""
        width, height = self.size
        found = []
        for each in given:
            x0, y0, x1, y1 = each.get("region", (0.0, 0.0, 1.0, 1.0))
            mask = np.zeros((height, width), np.uint8)
            columns = slice(round(x0 * width), round(x1 * width))
            mask[round(y0 * height) : round(y1 * height), columns] = 255
            found.append(Image.fromarray(mask))
        made: torch.Tensor = IPAdapterMaskProcessor().preprocess(found, height=height, width=width)
        return made.reshape(1, len(given), height, width)


@pytest.fixture(
    scope="module",
    params=[("sd", "plain"), ("sd", "plus"), ("sd", "full"), ("sdxl", "plain")],
    ids="-".join,
)
def drawn(
    request: pytest.FixtureRequest,
    checkpoint_of: Callable[[str], Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Drawn:
    name, kind = request.param
    return Drawn(name, kind, checkpoint_of(name), tmp_path_factory.mktemp("pictures"))


def test_the_pixels_are_those_of_diffusers(drawn: Drawn) -> None:
    """All panels in one batch, beside each other and one without picture prompts."""
    every = [*ONE, *SEVERAL]
    ours = pixels(drawn.board(*every, []), drawn.engines)
    plain = ours[-1]
    for given, drawn_by_us in zip(every, ours[:-1], strict=True):
        assert distance(drawn_by_us, drawn.by_diffusers(given)) <= 2, given
        assert distance(drawn_by_us, plain) > 10, given


def test_without_guidance_too(drawn: Drawn) -> None:
    """One row, which has the prompt and the picture."""
    sampling = {"steps": STEPS, "sampler": "DDIM", "guidance": 1.0}
    (ours,) = pixels(drawn.board([{}], sampling=sampling), drawn.engines)
    assert distance(ours, drawn.by_diffusers([{}], guidance=1.0)) <= 2


def test_without_pictures_it_is_as_in_a_model_without_an_adapter(drawn: Drawn) -> None:
    """Alone, where not even a rounding may differ; beside a panel with a picture; strength 0."""
    (expected,) = pixels(drawn.board([]), load_torch_engines(drawn.checkpoint))
    for nothing in ([], [{"strength": 0.0}], [{"start": 0.95}]):
        (alone,) = pixels(drawn.board(nothing), drawn.engines)
        assert distance(alone, expected) == 0
        assert distance(pixels(drawn.board([{}], nothing), drawn.engines)[-1], expected) <= 2


class PictureLoop(PlainLoop):
    """With a picture beside the words of the panel; a reference reads none."""

    def __init__(self, pipeline: Any, shown: Image.Image) -> None:
        super().__init__(pipeline)
        self.embeds = pipeline.prepare_ip_adapter_image_embeds([shown], None, "cpu", 1, True)

    def predict(self, latents: Tensor, timestep: Tensor, text: Tensor) -> Tensor:
        is_reference = len(latents) == 1
        self.pipe.set_ip_adapter_scale(0.0 if is_reference else 0.8)
        embeds = [each[: len(latents)] for each in self.embeds]
        added = {"image_embeds": embeds}
        return self.pipe.unet(latents, timestep, text, added_cond_kwargs=added).sample


@torch.no_grad()
def test_beside_injection_the_pixels_are_those_of_a_plain_loop(
    checkpoint: Path, tmp_path: Path
) -> None:
    """A character is read in self-attention, a picture in cross-attention, by the same rows."""
    files = random_adapter(checkpoint, tmp_path)
    data, shown = picture(1, LOOP_SIDE, LOOP_SIDE), picture(2, 40, 60)
    loop = PictureLoop(
        prompted_pipeline(stock_pipeline(checkpoint), files), Image.open(io.BytesIO(shown))
    )
    mia = loop.reference(data, "a child", 0)
    loop.install()
    expected = loop.draw("a child on the beach", 5, {"mia": mia})
    board = Storyboard(
        width=LOOP_SIDE,
        height=LOOP_SIDE,
        negative_prompt=NEGATIVE,
        sampling={"steps": LOOP_STEPS, "sampler": "DDIM", "guidance": GUIDANCE},
        injection={"strength": 0.0, "reference_noise": "panel"},
        characters=[{"name": "mia", "prompt": "a child", "reference": data}],
        panels=[
            {
                "prompt": "{mia} on the beach",
                "seed": 5,
                "picture_prompts": [{"image": shown, "strength": 0.8}],
            },
            {"prompt": "{mia} on the beach", "seed": 5},
            {
                "prompt": "{mia} on the beach",
                "seed": 5,
                "picture_prompts": [{"image": shown, "strength": 0.8}],
                "injection": {"layers": "none"},
            },
        ],
    )
    both, injected, shown_alone = pixels(
        board, load_torch_engines(checkpoint, picture_prompts=files)
    )
    assert distance(both, expected) <= 2
    assert distance(both, injected) > 8
    assert distance(both, shown_alone) > 4
