"""PixArt and Hunyuan-DiT: the pixels of diffusers' own pipelines."""

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline
from PIL import Image

from drawn_twice import with_sampler
from lafi.board.error import StoryboardError
from lafi.board.storyboard import Character, Panel, Storyboard
from lafi.drawing.pipeline import draw
from lafi.engine.torch.engines import load_torch_engines
from lafi.wire.events import Accepted, PanelImage
from lafi_export.bare_pipeline import quiet_libraries

STEPS = 3
PROMPTS = (" A child with a Red hat, on the beach at night ", "x")
NEGATIVES = ("blurred", "")


def sigma(folder: Path, to: Path) -> Path:
    """The same PixArt as a folder of PixArt-Sigma, which is told no sizes."""
    copied = Path(shutil.copytree(folder, to / "sigma"))
    changed = {
        "model_index.json": {"_class_name": "PixArtSigmaPipeline"},
        "transformer/config.json": {"use_additional_conditions": False},
    }
    for name, values in changed.items():
        content = json.loads((copied / name).read_text(encoding="utf-8"))
        (copied / name).write_text(json.dumps(content | values), encoding="utf-8")
    return copied


@pytest.fixture(scope="module", params=["pixart", "sigma", "hunyuan"])
def folder(
    request: pytest.FixtureRequest,
    small_checkpoints: Callable[[str], Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    if request.param == "sigma":
        return sigma(small_checkpoints("pixart"), tmp_path_factory.mktemp("sigma"))
    return small_checkpoints(request.param)


def pipeline(folder: Path) -> Any:
    """Diffusers' own, PixArt's with its own scheduler, Hunyuan-DiT's with DDIM."""
    with quiet_libraries():
        pipe = DiffusionPipeline.from_pretrained(folder)
    pipe.set_progress_bar_config(disable=True)
    return with_sampler(pipe) if "Hunyuan" in type(pipe).__name__ else pipe


def board(size: tuple[int, int], guidance: float, **fields: Any) -> Storyboard:
    pairs = zip(PROMPTS, NEGATIVES if guidance > 1 else ("", ""), strict=True)
    panels = [
        Panel(prompt=prompt, negative_prompt=negative, seed=seed)
        for seed, (prompt, negative) in enumerate(pairs)
    ]
    return Storyboard.model_validate(
        {
            "width": size[0],
            "height": size[1],
            "sampling": {"steps": STEPS, "guidance": guidance} | fields.pop("sampler", {}),
            "panels": panels,
        }
        | fields
    )


def test_without_injection_the_pixels_are_those_of_the_stock_pipeline(folder: Path) -> None:
    """With a negative prompt and without one, square and not, guided and not."""
    pipe, engines = pipeline(folder), load_torch_engines(folder)
    told: dict[str, Any] = {"use_resolution_binning": False}
    sampler = "DDIM"
    if engines.info.family == "pixart":
        told["clean_caption"], sampler = False, "DPM++2M"
    for size, guidance in (((64, 64), 1.0), ((96, 48), 4.5)):
        drawing = board(size, guidance, sampler={"sampler": sampler})
        drawn = {e.panel: e.png for e in draw(drawing, engines) if isinstance(e, PanelImage)}
        for index, panel in enumerate(drawing.panels):
            theirs = pipe(
                panel.prompt,
                negative_prompt=panel.negative_prompt or "",
                num_inference_steps=STEPS,
                guidance_scale=guidance,
                width=size[0],
                height=size[1],
                generator=torch.Generator().manual_seed(panel.seed),
                **told,
            ).images[0]
            ours = np.asarray(Image.open(io.BytesIO(drawn[index])), dtype=np.int16)
            assert np.abs(ours - np.asarray(theirs, dtype=np.int16)).max() <= 2
            assert ours.std() > 5


def test_a_character_with_a_region_and_weights_is_drawn(folder: Path) -> None:
    """From end to end: a portrait, which panels read, words in a region, weighted words."""
    engines = load_torch_engines(folder)
    panels = [
        Panel(prompt="a (red:1.3) hat on {mia}", seed=1, regions={"mia": (0.0, 0.0, 0.5, 1.0)}),
        Panel(prompt="{mia} runs", seed=2),
    ]
    cast = [Character(name="mia", prompt="a child")]
    changes = {"characters": cast, "panels": panels, "prompt_weights": True}
    pictures = []
    for layers in ("none", "default", "all"):
        drawing = board((64, 64), 3.0, **changes, injection={"layers": layers})
        drawn = {e.panel: e.png for e in draw(drawing, engines) if isinstance(e, PanelImage)}
        pictures.append(
            np.stack([np.asarray(Image.open(io.BytesIO(drawn[i])), dtype=np.int16) for i in (0, 1)])
        )
    none, _, every = pictures
    assert np.abs(none - every).max(axis=(1, 2, 3)).min() > 2


def test_what_a_text_is_too_long_for_is_said(folder: Path) -> None:
    engines = load_torch_engines(folder)
    info = engines.info
    with pytest.raises(StoryboardError, match=f"allowed: at most {info.text_length} tokens with"):
        draw(board((64, 64), 3.0, panels=[Panel(prompt="abcd " * 80)]), engines)
    text = "a" * 100
    drawing = board((64, 64), 1.0, panels=[Panel(prompt=text)])
    (accepted,) = (event for event in draw(drawing, engines) if isinstance(event, Accepted))
    said = [note for note in accepted.notes if "BERT" in note]
    assert len(said) == (1 if info.family == "hunyuan" else 0)
