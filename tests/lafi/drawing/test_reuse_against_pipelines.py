"""Step reuse of flow models, against EasyCache written out around diffusers' own pipelines.

The published rule (arXiv:2507.02860), x the input and v the prediction, noise - picture: after two
computed steps the rate is |v - v'| / |x - x'| between them. Each later step adds rate * |x - x of
the step before| / |v|; below the threshold the prediction is x + (v - x) of the last computed step,
each branch its own. What is compared of guided steps is the guided prediction, as in `StepReuse`.
"""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from joint_checkpoints import joint_checkpoint
from PIL import Image
from torch import Tensor

from lafi.board.storyboard import Storyboard
from lafi.drawing.pipeline import OwnDenoising, draw, make_batcher
from lafi.engine.torch.engines import load_torch_engines
from lafi.ports.engines import Engines
from lafi.wire.events import PanelImage
from lafi_export.random_checkpoint import random_checkpoint

STEPS, SIZE, SEED, NEGATIVE = 12, (48, 32), 5, "night"
PROMPT = "a child is running"
PIPELINES = {
    "zimage": "ZImagePipeline",
    "sd35": "StableDiffusion3Pipeline",
    "dev": "FluxPipeline",
}


Allowed = Callable[[int], bool]
"""Whether a step, from 0, may be reused."""


class EasyCache:
    """Stands in for a transformer's forward; `branches` of a batch are combined by `guide`.

    sign: -1 where the network predicts picture - noise, as Z-Image's does.
    """

    def __init__(self, forward: Any, threshold: float, allowed: Allowed, sign: int) -> None:
        self.forward, self.threshold, self.sign = forward, threshold, sign
        self.allowed = allowed
        self.guide: Any = None
        self.computed: list[bool] = []
        self.kept: tuple[Tensor, Tensor, Tensor] | None = None
        """Of the last computed step: input, guided output, output of each branch."""
        self.rate: float | None = None
        self.before: Tensor | None = None
        self.change = 0.0

    def __call__(self, hidden_states: Any, *rest: Any, **more: Any) -> tuple[Any]:
        several = isinstance(hidden_states, list)
        rows = torch.stack(hidden_states) if several else hidden_states
        x, step = rows[0], len(self.computed)
        reuse = False
        if self.rate is not None:
            assert self.kept is not None
            assert self.before is not None
            self.change += self.rate * mean(x - self.before) / mean(self.kept[1])
            reuse = self.allowed(step) and self.change < self.threshold
        if reuse:
            assert self.kept is not None
            outputs = x + (self.kept[2] - self.kept[0])
        else:
            (given,) = self.forward(hidden_states, *rest, **more)
            outputs = self.sign * (torch.stack(given) if several else given)
            guided = self.guide(outputs)
            if self.kept is not None:
                self.rate = mean(guided - self.kept[1]) / mean(x - self.kept[0])
            self.kept, self.change = (x, guided, outputs), 0.0
        self.before = x
        self.computed.append(not reuse)
        said = self.sign * outputs
        return ([*said] if several else said,)


def mean(x: Tensor) -> float:
    return float(x.abs().mean())


@pytest.fixture(scope="module", params=PIPELINES)
def made(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Any, Engines]:
    """Name, the stock pipeline and our engines of one checkpoint."""
    folder: Path = tmp_path_factory.mktemp(request.param)
    if request.param == "zimage":
        random_checkpoint("zimage", folder, size="small")
    else:
        joint_checkpoint(request.param, folder)
    pipe: Any = getattr(diffusers, PIPELINES[request.param]).from_pretrained(folder)
    pipe.set_progress_bar_config(disable=True)
    return request.param, pipe, load_torch_engines(folder)


def ours(engines: Engines, guidance: float, **sampling: Any) -> tuple[np.ndarray, int]:
    """Pixels, and how many steps were reused."""
    board = Storyboard.model_validate(
        {
            "width": SIZE[0],
            "height": SIZE[1],
            "sampling": {"steps": STEPS, "guidance": guidance, **sampling},
            "injection": {"layers": "none"},
            "negative_prompt": NEGATIVE if guidance > 1.0 else "",
            "panels": [{"prompt": PROMPT, "seed": SEED}],
        }
    )
    batcher = make_batcher(engines)
    (png,) = (
        event.png
        for event in draw(board, engines, denoising=OwnDenoising({"": batcher}))
        if isinstance(event, PanelImage)
    )
    pixels = np.asarray(Image.open(io.BytesIO(png)), dtype=np.int16)
    return pixels, batcher.counts.reused_steps


def theirs(
    made: tuple[str, Any, Engines], guidance: float, threshold: float, allowed: Allowed
) -> tuple[np.ndarray, int]:
    """The same of diffusers' pipeline, whose transformer's forward is under EasyCache."""
    name, pipe, _ = made
    network = pipe.transformer
    cache = EasyCache(network.forward, threshold, allowed, -1 if name == "zimage" else 1)
    # Rows of Z-Image: with prompt, without it; of SD3: the other way round.
    order = (1, 0) if name == "zimage" else (0, 1)

    def guide(outputs: Tensor) -> Tensor:
        if len(outputs) == 1:
            return outputs[0]
        without, positive = (outputs[row] for row in order)
        return without + guidance * (positive - without)

    cache.guide = guide
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(network, "forward", cache)
        image = pipe(
            PROMPT,
            num_inference_steps=STEPS,
            guidance_scale=guidance - 1.0 if name == "zimage" else guidance,
            width=SIZE[0],
            height=SIZE[1],
            generator=torch.Generator().manual_seed(SEED),
            **({} if name == "dev" else {"negative_prompt": NEGATIVE}),
        ).images[0]
    assert len(cache.computed) == STEPS
    return np.asarray(image, dtype=np.int16), cache.computed.count(False)


@pytest.mark.parametrize(("threshold", "guidance"), [(0.8, 1.0), (1.0, 3.0)])
def test_the_pixels_are_those_of_the_published_rule(
    made: tuple[str, Any, Engines], threshold: float, guidance: float
) -> None:
    """Steps 3 to 9 of 12 may be reused, and the same number is."""
    _, _, engines = made
    window = {"reuse_start": 0.25, "reuse_end": 0.8}
    drawn, reused = ours(engines, guidance, reuse_threshold=threshold, **window)
    wanted, also_reused = theirs(made, guidance, threshold, lambda step: 3 <= step < 10)
    assert reused == also_reused
    assert 0 < reused < 7
    assert np.abs(drawn - wanted).max() <= 2


def test_a_window_of_noise_is_that_of_published_workflows(made: tuple[str, Any, Engines]) -> None:
    """Its ends are noise levels, shares of the schedule before the shift turned to levels after."""
    _, pipe, engines = made
    shift = 5.0

    def level(share: float) -> float:
        t = 1.0 - share
        return shift * t / (1.0 + (shift - 1.0) * t)

    pipe.scheduler = pipe.scheduler.from_config(
        pipe.scheduler.config, shift=shift, use_dynamic_shifting=False
    )
    windows = {"reuse_start": 0.15, "reuse_end": 0.6, "reuse_window": "noise"}
    given = {"reuse_threshold": 1.0, "shift": shift, **windows}
    drawn, reused = ours(engines, 1.0, **given)

    def allowed(step: int) -> bool:
        return level(0.6) < float(pipe.scheduler.sigmas[step]) <= level(0.15)

    wanted, also_reused = theirs(made, 1.0, 1.0, allowed)
    assert reused == also_reused
    assert np.abs(drawn - wanted).max() <= 2
    within = [step for step in range(STEPS) if allowed(step)]
    assert 0 < within[0] <= within[-1] < STEPS - 1
    assert 0 < reused < len(within)
