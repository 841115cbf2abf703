"""Laws of prompts: what diffusers' pipeline draws with the joined embeddings, or a refusal."""

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from brought_prompts import PROMPTS, WIDE, Piece, Prompt
from diffusers import StableDiffusionPipeline
from PIL import Image
from torch import Tensor

from drawn_twice import stock_pipeline
from lafi.board.error import StoryboardError
from lafi.board.storyboard import Panel, Storyboard
from lafi.drawing.pipeline import draw
from lafi.engine.torch.engines import load_torch_engines
from lafi.ports.engines import Engines
from lafi.wire.events import Accepted, PanelImage

SIDE, STEPS, GUIDANCE, PIXELS = 32, 3, 4.0, 2


@pytest.fixture(scope="module")
def whole(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint with embeddings whose mean is not 0, as those of trained encoders."""
    pipe = StableDiffusionPipeline.from_pretrained(checkpoint)
    for name, module in pipe.text_encoder.named_modules():
        if name.endswith("final_layer_norm"):
            torch.nn.init.constant_(module.bias, 0.3)
    folder = tmp_path_factory.mktemp("prompts")
    pipe.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def pipe(whole: Path) -> Any:
    return stock_pipeline(whole)


@pytest.fixture(scope="module")
def engines(whole: Path) -> Engines:
    return load_torch_engines(whole)


@torch.no_grad()
def embedded(
    pipe: StableDiffusionPipeline, windows: Sequence[Sequence[Piece]], clip_skip: int = 0
) -> Tensor:
    """As diffusers' lpw_stable_diffusion: tokens of each piece, weights, the mean of before.

    clip_skip: as in `encode_prompt` of the pipeline.
    """
    tokenizer, rows, weights = pipe.tokenizer, [], []
    length = tokenizer.model_max_length
    for pieces in windows:
        ids = [(tokenizer(text).input_ids[1:-1], weight) for text, weight in pieces]
        row = [token for tokens, _ in ids for token in tokens]
        padding = length - len(row) - 2
        rows.append([tokenizer.bos_token_id, *row, tokenizer.eos_token_id])
        rows[-1] += [tokenizer.pad_token_id] * padding
        own = [weight for tokens, weight in ids for _ in tokens]
        weights += [1.0, *own, 1.0, *[1.0] * padding]
    layers = pipe.text_encoder(torch.tensor(rows), output_hidden_states=True).hidden_states
    chosen = pipe.text_encoder.final_layer_norm(layers[-(clip_skip + 1)])
    states = chosen.flatten(0, 1)[None]
    weighted = states * torch.tensor(weights)[None, :, None]
    return weighted * (states.mean() / weighted.mean())


def by_stock(pipe: StableDiffusionPipeline, prompt: Prompt) -> Any:
    """A negative prompt is repeated for each window, which changes nothing in a softmax."""
    image = pipe(
        prompt_embeds=embedded(pipe, prompt.windows, prompt.board.get("clip_skip", 0)),
        negative_prompt_embeds=embedded(pipe, [prompt.negative]).repeat(1, len(prompt.windows), 1),
        num_inference_steps=STEPS,
        guidance_scale=GUIDANCE,
        width=SIDE,
        height=SIDE,
        generator=torch.Generator().manual_seed(7),
    ).images[0]
    return np.asarray(image, dtype=np.int16)


def by_us(engines: Engines, prompt: Prompt) -> tuple[Any, Accepted]:
    board = Storyboard(
        width=SIDE,
        height=SIDE,
        sampling={"steps": STEPS, "sampler": "DDIM", "guidance": GUIDANCE},
        panels=[Panel(prompt=prompt.text, seed=7)],
        **prompt.board,
    )
    events = list(draw(board, engines))
    (accepted,) = (event for event in events if isinstance(event, Accepted))
    (panel,) = (event for event in events if isinstance(event, PanelImage))
    return np.asarray(Image.open(io.BytesIO(panel.png)), dtype=np.int16), accepted


@pytest.mark.parametrize("prompt", PROMPTS, ids=str)
def test_a_prompt_is_drawn_whole_or_refused(
    pipe: StableDiffusionPipeline,
    engines: Engines,
    prompt: Prompt,
    record_property: Callable[[str, Any], None],
) -> None:
    record_property("brought", "prompts")
    record_property("expected", "refused_as_expected" if prompt.error else "right")
    if prompt.error:
        with pytest.raises(StoryboardError, match=prompt.error):
            by_us(engines, prompt)
        return
    ours, accepted = by_us(engines, prompt)
    notes = accepted.notes
    assert np.abs(ours - by_stock(pipe, prompt)).max() <= PIXELS
    assert prompt.note in " ".join(notes)
    assert bool(notes) == bool(prompt.note)
    assert (WIDE in " ".join(notes)) == (prompt.note == WIDE)
    (own,) = (entry for entry in accepted.tokens if entry.field == "panels[0].prompt")
    pieces = [text for window in prompt.windows for text, _ in window]
    counted = [len(pipe.tokenizer(text).input_ids) - 2 for text in pieces]
    assert (own.tokens, own.windows) == (sum(counted), len(prompt.windows))
    assert own.window == pipe.tokenizer.model_max_length
