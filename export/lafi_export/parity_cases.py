"""Random inputs of every engine, and a small storyboard, on which engines are compared.

The same numbers every time: each kind of input has a seed of its own.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import torch
from torch import Tensor

from lafi.board.injection import Injection
from lafi.board.stages import Sampling, SamplingStage
from lafi.board.storyboard import Character, Panel, Storyboard
from lafi.model.info import ModelInfo
from lafi.ports.engines import DenoiserBatch, ReferenceBatch

Sizes = Sequence[tuple[int, int, int]]
"""Batch, then height and width in multiples of the model's side multiple."""

SIZES: Final[Sizes] = ((1, 2, 2), (3, 2, 3), (4, 4, 2))


@dataclass(frozen=True, slots=True)
class BankCase:
    """Panels that read references, once as rows of their batch and once from a bank.

    rows        panels, then the references, which read nobody and whose words act everywhere
    panels      the same panels alone; a route past them names the same reference in the bank
    references  what the bank's entries are read from, in their order
    """

    rows: DenoiserBatch
    panels: DenoiserBatch
    references: ReferenceBatch


def parity_storyboard(info: ModelInfo) -> Storyboard:
    """One character without a reference and two panels of 4 steps, wider than high."""
    step = info.side_multiple
    height = step * max(2, -(-32 // step))
    character = Character(name="mia", prompt="a girl with red hair and a blue top")
    return Storyboard(
        title="parity",
        characters=(character,),
        panels=(
            Panel(prompt="{mia} is running on the beach", seed=1),
            Panel(prompt="{mia} is sitting in a room at night", seed=2),
        ),
        width=height + step,
        height=height,
        sampling=Sampling(stages=(SamplingStage(steps=4),)),
        injection=Injection.as_published(layers="all", end=1.0),
    )


def token_cases(info: ModelInfo, vocabulary: int) -> Iterator[tuple[str, Tensor]]:
    """Random token ids (B, T), or (B, 2, T) with two encoders."""
    generator = torch.Generator().manual_seed(0)
    for batch in (1, 5):
        encoders = () if info.text_encoders == 1 else (info.text_encoders,)
        shape = (batch, *encoders, info.text_length)
        yield f"batch {batch}", torch.randint(0, vocabulary, shape, generator=generator)


def image_cases(info: ModelInfo, sizes: Sizes = SIZES) -> Iterator[tuple[str, Tensor]]:
    """Random images (B, 3, H, W) in [-1, 1], square and not."""
    generator = torch.Generator().manual_seed(1)
    for batch, rows, columns in sizes:
        height, width = rows * info.side_multiple, columns * info.side_multiple
        images = torch.rand(batch, 3, height, width, generator=generator) * 2 - 1
        yield f"batch {batch}, {width} x {height} px", images


def latent_cases(info: ModelInfo, sizes: Sizes = SIZES) -> Iterator[tuple[str, Tensor]]:
    """Random latents (B, C, h, w), square and not."""
    generator = torch.Generator().manual_seed(2)
    step = info.side_multiple // info.vae_scale
    for batch, rows, columns in sizes:
        shape = (batch, info.latent_channels, rows * step, columns * step)
        case = f"batch {batch}, latent {columns * step} x {rows * step}"
        yield case, torch.randn(shape, generator=generator)


def denoiser_cases(info: ModelInfo, sizes: Sizes = SIZES) -> Iterator[tuple[str, DenoiserBatch]]:
    """Random rows without injection, and with one and two references, masks and regions."""
    generator = torch.Generator().manual_seed(3)
    for batch, rows, columns in sizes:
        for references, routed in ((1, False), (1, True), (2, True)):
            how = f"{references} routed" if routed else "not routed"
            yield (
                f"batch {batch}, {columns} x {rows} steps, {how}",
                random_batch(info, generator, (batch, references, rows, columns), routed=routed),
            )


def bank_cases(info: ModelInfo, sizes: Sizes = SIZES) -> Iterator[tuple[str, BankCase]]:
    """Random panels that read each other and two references, which may be in a bank."""
    generator = torch.Generator().manual_seed(4)
    references = 2
    for panels, rows, columns in sizes:
        size = (panels + references, 2, rows, columns)
        batch = random_batch(info, generator, size, routed=True)
        routes = batch.routes.clone()
        routes[:, panels:] = -1
        words = None if batch.words is None else batch.words.clone()
        if words is not None:
            words[panels:] = -1
        case = split_references(replace(batch, routes=routes, words=words), panels)
        yield f"batch {panels}, {columns} x {rows} steps, {references} in the bank", case


def split_references(batch: DenoiserBatch, panels: int) -> BankCase:
    """batch: of which the first `panels` rows read, and the others are references.

    A route to row `panels + m` is a route to entry m once those rows are gone.
    """
    added: dict[str, Any] = {}
    kept: dict[str, Any] = {}
    if batch.pooled is not None and batch.time_ids is not None:
        added = {"pooled": batch.pooled[panels:], "time_ids": batch.time_ids[panels:]}
        kept = {"pooled": batch.pooled[:panels], "time_ids": batch.time_ids[:panels]}
    first = DenoiserBatch(
        latents=batch.latents[:panels],
        timesteps=batch.timesteps[:panels],
        text=batch.text[:panels],
        routes=batch.routes[:, :panels],
        bias=batch.bias[:panels],
        mask=batch.mask[:panels],
        region=batch.region[:panels],
        words=None if batch.words is None else batch.words[:panels],
        **kept,
    )
    references = ReferenceBatch(
        latents=batch.latents[panels:],
        timesteps=batch.timesteps[panels:],
        text=batch.text[panels:],
        mask=batch.mask[panels:],
        **added,
    )
    return BankCase(batch, first, references)


def random_batch(
    info: ModelInfo,
    generator: torch.Generator,
    size: tuple[int, int, int, int],
    *,
    routed: bool,
) -> DenoiserBatch:
    """Random rows; size: rows, references, and height and width in the model's side multiple.

    routed: routes of every kind (some -1), with weights of which about a third are 0, and words of
    every slot but the first word, which is nobody's; otherwise all routes and words are -1.
    """
    batch, references, high, wide = size
    step = info.side_multiple // info.vae_scale
    height, width = high * step, wide * step
    shape = (len(info.layers), batch, references)
    routes = torch.randint(-1, batch, shape, generator=generator, dtype=torch.int32)

    words = torch.randint(
        -1, references, (batch, info.text_length), generator=generator, dtype=torch.int32
    )
    words[:, 0] = -1

    def weights(*shape: int) -> Tensor:
        return (torch.rand(shape, generator=generator) * 1.5 - 0.5).clamp(min=0.0)

    return DenoiserBatch(
        latents=torch.randn(batch, info.latent_channels, height, width, generator=generator),
        timesteps=torch.randint(0, 1000, (batch,), generator=generator).float(),
        text=torch.randn(batch, info.text_length, info.text_width, generator=generator),
        routes=routes if routed else torch.full_like(routes, -1),
        bias=torch.randn(batch, references, generator=generator),
        mask=weights(batch, height, width),
        region=weights(batch, references, height, width),
        words=words if routed else None,
        **_conditions(info, generator, batch),
    )


def _conditions(info: ModelInfo, generator: torch.Generator, batch: int) -> dict[str, Any]:
    """`pooled` and `time_ids` of a denoiser that takes them."""
    if not info.pooled_width:
        return {}
    pixels = torch.randint(256, 1024, (batch, 6), generator=generator)
    pooled = torch.randn(batch, info.pooled_width, generator=generator)
    return {"pooled": pooled, "time_ids": pixels.float()}
