"""Stage `describer`: train the text tower on descriptions, towards what they say in directions.

The directions of the attributes are those of the trained recogniser, and stay. Descriptions name
one to all nine attributes of training identities, in English or Chinese.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from transformers import CLIPTokenizer

from lafi_tiny.hand.attributes import IDENTITY_CHOICES, Identity, random_identity
from lafi_tiny.hand.caption import random_language, some_attributes
from lafi_tiny.hand.looks import describe
from lafi_tiny.stages.tokenizer import token_ids
from lafi_tiny.training import resume_state, save_half, save_state, set_learning_rate
from lafi_tiny.who.describer import Describer, load_describer
from lafi_tiny.who.recogniser import HIDDEN, AttributePrototypes, looks
from lafi_tiny.who.train_recogniser import STATE_FILE, cosine_rate

DESCRIBER_FILE, DESCRIBER_STATE = "describer.safetensors", "describer.pt"
PRINT_EVERY = 100


@dataclass(frozen=True, slots=True)
class DescriberTraining:
    """Settings of the stage."""

    steps: int = 2000
    batch: int = 128
    peak_rate: float = 2e-3
    seed: int = 0
    save_every: int = 500


def said_labels(identity: Identity, attributes: Sequence[str]) -> list[int]:
    """Index of every value that a description of these attributes says; HIDDEN for the others."""
    return [
        values.index(getattr(identity, name)) if name in attributes else HIDDEN
        for name, values in IDENTITY_CHOICES.items()
    ]


def random_description(rng: np.random.Generator) -> tuple[str, list[int]]:
    """What some training character looks like, in part or in whole, and what of it is said.

    Hair that no picture shows is not said.
    """
    identity = random_identity(rng)
    seen = tuple(looks(identity))
    some = some_attributes(rng, seen, 1, len(seen))
    text = describe(identity, some, random_language(rng), rng=rng)
    return text, said_labels(identity, some)


def trained_directions(folder: Path) -> AttributePrototypes:
    """Those that stage `recogniser` left. Raises FileNotFoundError before it has run."""
    state = torch.load(folder / STATE_FILE, map_location="cpu", weights_only=True)["model"]
    prototypes = AttributePrototypes()
    prefix = "prototypes."
    own = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
    prototypes.load_state_dict(own)
    return prototypes.requires_grad_(False)


def train_describer(
    settings: DescriberTraining, folder: Path, tokenizer: CLIPTokenizer
) -> Describer:
    """Train or resume the tower; leaves `describer.safetensors` in `folder`."""
    directions, console = trained_directions(folder), Console()
    torch.manual_seed(settings.seed)
    network = Describer(tokenizer).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=settings.peak_rate, weight_decay=0.02)
    start = resume_state(folder / DESCRIBER_STATE, network, optimizer)
    for step in range(start, settings.steps):
        rng = np.random.default_rng([settings.seed, 5, step])
        texts, labels = zip(*(random_description(rng) for _ in range(settings.batch)), strict=True)
        wanted = directions.compose(torch.tensor(labels))
        loss = (1 - (network(token_ids(tokenizer, list(texts))) * wanted).sum(1)).mean()
        set_learning_rate(optimizer, cosine_rate(step, settings.steps, settings.peak_rate))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        if step % PRINT_EVERY == 0:
            console.print(f"describer step {step}/{settings.steps} loss {loss.item():.4f}")
        if (step + 1) % settings.save_every == 0 or step + 1 == settings.steps:
            _save(folder, step + 1, network, optimizer)
    return load_describer(folder / DESCRIBER_FILE, tokenizer)


def _save(folder: Path, step: int, network: Describer, optimizer: torch.optim.Optimizer) -> None:
    state = {"model": network.state_dict(), "optimizer": optimizer.state_dict()}
    save_state(folder / DESCRIBER_STATE, {"step": step, **state})
    save_half(network, folder / DESCRIBER_FILE)
