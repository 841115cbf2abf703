"""Prompts of several windows: the pixels of diffusers' pipeline with the joined embeddings."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from PIL import Image
from torch import Tensor

from drawn_twice import stock_pipeline
from lafi.board.storyboard import Character, Panel, Storyboard
from lafi.drawing.pipeline import draw
from lafi.engine.torch.engines import load_torch_engines
from lafi.ports.engines import Engines
from lafi.wire.events import Accepted, PanelImage

SIDE, STEPS, GUIDANCE, LENGTH = 32, 6, 4.0, 48
PIXELS = 2
SHORT = "a child is running on the beach"
LONG = " ".join(["a child is running on the beach at night"] * 7)
NEGATIVE = "a night"


@pytest.fixture(scope="module")
def pipe(checkpoint: Path) -> Any:
    return stock_pipeline(checkpoint)


@pytest.fixture(scope="module")
def engines(checkpoint: Path) -> Engines:
    return load_torch_engines(checkpoint)


@torch.no_grad()
def joined(pipe: StableDiffusionPipeline, windows: Sequence[str]) -> Tensor:
    """Each window as diffusers reads it alone; then side by side on the tokens' axis."""
    return torch.cat([pipe.encode_prompt(text, "cpu", 1, False)[0] for text in windows], dim=1)


def stock(
    pipe: StableDiffusionPipeline, windows: Sequence[str], negative: Sequence[str], seed: int
) -> np.ndarray:
    """What diffusers draws; a negative prompt of one window is repeated, which changes nothing.

    Softmax over the same keys twice is softmax over them once.
    """
    prompt, other = joined(pipe, windows), joined(pipe, negative)
    image = pipe(
        prompt_embeds=prompt,
        negative_prompt_embeds=other.repeat(1, prompt.shape[1] // other.shape[1], 1),
        num_inference_steps=STEPS,
        guidance_scale=GUIDANCE,
        width=SIDE,
        height=SIDE,
        generator=torch.Generator().manual_seed(seed),
    ).images[0]
    return np.asarray(image, dtype=np.int16)


def board(*prompts: str, **more: Any) -> Storyboard:
    return Storyboard(
        width=SIDE,
        height=SIDE,
        sampling={"steps": STEPS, "sampler": "DDIM", "guidance": GUIDANCE},
        panels=[Panel(prompt=prompt, seed=seed) for seed, prompt in enumerate(prompts)],
        **{"negative_prompt": NEGATIVE, **more},
    )


def drawn(storyboard: Storyboard, engines: Engines) -> list[np.ndarray]:
    events = list(draw(storyboard, engines))
    panels = {event.panel: event.png for event in events if isinstance(event, PanelImage)}
    assert len(panels) == len(storyboard.panels)
    return [np.asarray(Image.open(io.BytesIO(panels[i])), dtype=np.int16) for i in sorted(panels)]


def notes(storyboard: Storyboard, engines: Engines) -> tuple[str, ...]:
    (accepted,) = (e for e in draw(storyboard, engines) if isinstance(e, Accepted))
    return accepted.notes


def distance(one: np.ndarray, other: np.ndarray) -> int:
    return int(np.abs(one - other).max())


def two_windows(pipe: StableDiffusionPipeline, text: str) -> list[str]:
    """The words of a text that fit into a window, and the rest; each is one token or more."""
    words = text.split()
    room = LENGTH - 2
    most = max(
        count
        for count in range(len(words) + 1)
        if len(pipe.tokenizer(" ".join(words[:count])).input_ids) - 2 <= room
    )
    return [" ".join(words[:most]), " ".join(words[most:])]


@pytest.mark.parametrize("negative", [NEGATIVE, "", LONG])
def test_a_long_prompt_draws_what_diffusers_draws_with_joined_embeddings(
    pipe: StableDiffusionPipeline, engines: Engines, negative: str
) -> None:
    windows = two_windows(pipe, LONG)
    other = windows if negative == LONG else [negative]
    (ours,) = drawn(board(LONG, negative_prompt=negative), engines)
    assert distance(ours, stock(pipe, windows, other, 0)) <= PIXELS


def test_break_sets_a_border(pipe: StableDiffusionPipeline, engines: Engines) -> None:
    parts = [SHORT, "a night", "a child at night"]
    (ours,) = drawn(board(" BREAK ".join(parts)), engines)
    theirs = stock(pipe, parts, [NEGATIVE], 0)
    assert distance(ours, theirs) <= PIXELS
    (together,) = drawn(board(", ".join(parts)), engines)
    assert distance(together, theirs) > PIXELS


def test_a_long_prompt_beside_it_changes_no_short_one(
    pipe: StableDiffusionPipeline, engines: Engines
) -> None:
    short, long, longer = drawn(board(SHORT, LONG, f"{LONG} {LONG}"), engines)
    (alone,) = drawn(board(SHORT), engines)
    assert distance(short, alone) <= PIXELS
    assert distance(alone, stock(pipe, [SHORT], [NEGATIVE], 0)) <= PIXELS
    assert distance(long, stock(pipe, two_windows(pipe, LONG), [NEGATIVE], 1)) <= PIXELS
    assert distance(long, longer) > PIXELS


def test_references_with_long_and_short_captions_do_not_depend_on_each_other(
    engines: Engines,
) -> None:
    cast = [Character(name="mia", prompt=SHORT), Character(name="bo", prompt=LONG)]
    both = board("{mia} at night", "{bo} at night", characters=cast)
    for index, pixels in enumerate(drawn(both, engines)):
        own = both.panels[index].model_copy(update={"seed": index})
        (alone,) = drawn(both.model_copy(update={"panels": (own,)}), engines)
        assert distance(pixels, alone) <= PIXELS


def test_what_comes_last_acts(engines: Engines) -> None:
    cast = [Character(name=name, prompt=SHORT) for name in ("mia", "bo", "eva", "tom")]
    prompt = " and ".join(f"{{{each.name}}} who {LONG[:120]}" for each in cast)
    one, other = (
        drawn(board(f"{prompt}, {end}", characters=cast), engines)[0]
        for end in ("on the beach", "at night")
    )
    assert distance(one, other) > PIXELS


def test_limited_words_of_a_second_window_act_in_their_region(engines: Engines) -> None:
    given = {
        "prompt": f"{LONG} {{mia}}",
        "regions": {"mia": [0.0, 0.0, 0.5, 1.0]},
        "seed": 0,
        "injection": {"layers": "none"},
    }
    cast = [Character(name="mia", prompt="a beach at night")]
    pictures = {}
    for words in ("region", "everywhere"):
        panel = Panel(**(given | {"injection": {"layers": "none", "words": words}}))
        (pictures[words],) = drawn(
            Storyboard(**(board(SHORT).model_dump() | {"panels": [panel], "characters": cast})),
            engines,
        )
    assert distance(pictures["region"], pictures["everywhere"]) > 0


def test_the_answer_says_how_long_a_prompt_is(engines: Engines) -> None:
    assert notes(board(SHORT), engines) == ()
    found = notes(board(SHORT, LONG, f"{SHORT} BREAK {SHORT}"), engines)
    tokens = len(engines.prompts.tokenizers[0](LONG).input_ids) - 2
    assert [note.split(" (")[0] for note in found] == [
        f"panels[1].prompt: {tokens} tokens, read in 2 windows",
        "panels[2].prompt: 14 tokens, read in 2 windows",
    ]
