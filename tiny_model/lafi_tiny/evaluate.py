"""Stage `evaluate`: does the model follow held-out captions, and do twins agree?

Everything here is drawn without injection; it is the precondition for judging injection.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor
from transformers import CLIPTokenizer

from lafi_tiny.architecture import BUNDLED, Architecture
from lafi_tiny.attributes import random_identity, random_setting
from lafi_tiny.caption import IDENTITY_NAMES, describe, plain_caption, random_caption
from lafi_tiny.draw import draw_pictures
from lafi_tiny.picture import Kind, Picture, random_picture, render
from lafi_tiny.reader import Reader, halves, load_reader
from lafi_tiny.scores import Wanted, score, twin_agreement
from lafi_tiny.text_to_latent import TextToLatent, load_denoiser, stage_tokenizer
from lafi_tiny.train_reader import READER_FILE
from lafi_tiny.train_vae import load_vae
from lafi_tiny.training import device, from_pixels, save_grid, to_pixels

WATCHED_PANELS = 24
"""Single figures in the grid that is drawn at every save."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Settings of the stage."""

    panels: int = 64
    twins: int = 64
    steps: int = 30
    guidance: float = 4.0
    seed: int = 7


def evaluate(settings: Evaluation, folder: Path, arch: Architecture = BUNDLED) -> dict[str, Any]:
    """Draw held-out panels and twins, read them, write grids; returns the figures.

    Needs at least two twins, since strangers are made by exchanging them.
    """
    place = device()
    model = load_denoiser(arch, folder).to(place)
    vae, tokenizer = load_vae(arch, folder).to(place), stage_tokenizer(folder)
    reader = load_reader(folder / READER_FILE)

    def draw(captions: list[str], name: str) -> Tensor:
        parts = [
            draw_pictures(
                model,
                vae,
                tokenizer,
                captions[i : i + 16],
                seed=settings.seed + i,
                steps=settings.steps,
                guidance=settings.guidance,
            ).cpu()
            for i in range(0, len(captions), 16)
        ]
        images = torch.cat(parts)
        save_grid(to_pixels(images), folder / "grids" / f"{name}.png")
        return images

    return {
        "settings": asdict(settings),
        "panels": _panels(settings, reader, draw),
        "described": _described(settings, reader, draw),
        "twins": _twins(settings, reader, draw, vae, "twins"),
        "strips": _twins(settings, reader, draw, vae, "strip"),
    }


def watch_training(
    model: TextToLatent, vae: AutoencoderKL, tokenizer: CLIPTokenizer, folder: Path, step: int
) -> str:
    """A grid of twins, strips and single figures; how far twins agree and actions are right."""
    rng = np.random.default_rng(12)
    kinds: tuple[Kind, ...] = ("twins", "strip")
    pictures = [random_picture(rng, kind, held_out=True) for kind in kinds for _ in range(8)]
    asked = held_out_wanted(WATCHED_PANELS, seed=12)
    captions = [random_caption(rng, picture) for picture in pictures]
    captions += [plain_caption(w.action, w.scene, who="a child") for w in asked]
    images = draw_pictures(model, vae, tokenizer, captions).cpu()
    save_grid(to_pixels(images), folder / "grids" / f"denoiser_{step:06d}.png")
    if not (folder / READER_FILE).exists():
        return f"step {step}: no reader yet"
    reader = load_reader(folder / READER_FILE)
    left, right = (reader.read(half) for half in halves(images[: len(pictures)]))
    twins, strangers = twin_agreement(left, right), twin_agreement(left, right[1:] + right[:1])
    action = score(reader.read(images[len(pictures) :]), asked).action
    return (
        f"step {step}: twins agree {twins:.2f}, strangers {strangers:.2f}, "
        f"actions {action:.2f} of {len(asked)}"
    )


def held_out_wanted(count: int, seed: int) -> list[Wanted]:
    """(character, action, scene) triples of which neither side was trained on."""
    rng = np.random.default_rng([seed, 5])
    wanted = []
    for _ in range(count):
        action, scene = random_setting(rng, held_out=True)
        wanted.append(Wanted(random_identity(rng, held_out=True), action, scene))
    return wanted


Draw = Callable[[list[str], str], Tensor]


def _panels(settings: Evaluation, reader: Reader, draw: Draw) -> dict[str, Any]:
    wanted = held_out_wanted(settings.panels, settings.seed)
    captions = [plain_caption(w.action, w.scene, who="a child") for w in wanted]
    return asdict(score(reader.read(draw(captions, "panels")), wanted))


def _described(settings: Evaluation, reader: Reader, draw: Draw) -> dict[str, Any]:
    wanted = held_out_wanted(settings.panels, settings.seed + 1)
    captions = [
        plain_caption(w.action, w.scene, who=describe(w.identity, IDENTITY_NAMES)) for w in wanted
    ]
    return asdict(score(reader.read(draw(captions, "described")), wanted))


def _twins(
    settings: Evaluation, reader: Reader, draw: Draw, vae: AutoencoderKL, kind: Kind
) -> dict[str, Any]:
    """Pictures that show one character twice: do both figures agree with each other?"""
    rng = np.random.default_rng([settings.seed, 6])
    pictures = [random_picture(rng, kind, held_out=True) for _ in range(settings.twins)]
    captions = [random_caption(rng, picture) for picture in pictures]
    left, right = (reader.read(half) for half in halves(draw(captions, kind)))
    shuffled = right[1:] + right[:1]
    return {
        "agreement": twin_agreement(left, right),
        "agreement_with_a_stranger": twin_agreement(left, shuffled),
        "agreement_of_real_pictures": _real_agreement(pictures, reader, vae),
        "action": float(
            np.mean(
                [
                    reading.action == figure.action
                    for side, readings in enumerate((left, right))
                    for reading, figure in zip(
                        readings, (p.figures[side] for p in pictures), strict=True
                    )
                ]
            )
        ),
    }


def _real_agreement(pictures: list[Picture], reader: Reader, vae: AutoencoderKL) -> float:
    """The most that twins can agree by this reader: renders that went through the VAE."""
    renders = from_pixels(np.stack([np.asarray(render(picture)) for picture in pictures]))
    with torch.inference_mode():
        latents = vae.encode(renders.to(vae.device)).latent_dist.mean
        images = vae.decode(latents).sample.float().cpu()
    left, right = (reader.read(half) for half in halves(images))
    return twin_agreement(left, right)
