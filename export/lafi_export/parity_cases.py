"""Random inputs of every engine, and a small storyboard, on which engines are compared.

The same numbers every time: each kind of input has a seed of its own.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from lafi.board.injection import Injection
from lafi.board.stages import Sampling, SamplingStage
from lafi.board.storyboard import Character, Panel, Storyboard
from lafi.model.families.registry import input_ports, text_stack_of
from lafi.model.info import ModelInfo
from lafi.model.input_port import NOWHERE, PICTURES, TOKENS, InputPort
from lafi.ports.denoiser_tensors import reference_ports
from lafi.ports.engines import DenoiserBatch, ReferenceBatch

Sizes = Sequence[tuple[int, int, int]]
"""Batch, then height and width in multiples of the model's side multiple."""

SIZES: Final[Sizes] = ((1, 2, 2), (3, 2, 3), (4, 4, 2))


@dataclass(frozen=True, slots=True)
class BankCase:
    """Panels that read references, once as rows of their batch and once from a bank.

    rows        panels, then the references, which read nobody, whose words act everywhere and which
                neither control networks nor pictures steer
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


def token_cases(info: ModelInfo, vocabulary: int) -> Iterator[tuple[str, Tensor, int]]:
    """Random token ids (B, ...), as the model's text stack shapes them, and a clip_skip."""
    generator = torch.Generator().manual_seed(0)
    for batch in (1, 5):
        ids = text_stack_of(info).ids(info)
        shape = (batch, *(info.text_length if axis == TOKENS else int(axis) for axis in ids))
        tokens = torch.randint(0, vocabulary, shape, generator=generator)
        yield f"batch {batch}", tokens, 0
    if info.most_clip_skip:
        yield f"clip_skip {info.most_clip_skip}", tokens, info.most_clip_skip


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
        ports = input_ports(info)
        case = split_references(_apart(batch, ports, panels), panels, ports)
        yield f"batch {panels}, {columns} x {rows} steps, {references} in the bank", case


def _apart(batch: DenoiserBatch, ports: Sequence[InputPort], panels: int) -> DenoiserBatch:
    """The same rows; those after the first `panels` have nothing that readers alone have."""
    routes = batch["routes"].clone()
    routes[:, panels:] = NOWHERE
    readers = [port for port in ports if port.reading and port.optional]
    changed = {port.name: batch[port.name].clone() for port in readers}
    for port in readers:
        changed[port.name][panels:] = port.fill
    return batch.changed(routes=routes, **changed)


def split_references(batch: DenoiserBatch, panels: int, ports: Sequence[InputPort]) -> BankCase:
    """batch: of which the first `panels` rows read, and the others are references.

    A route to row `panels + m` is a route to entry m once those rows are gone.
    """
    there = [port for port in ports if port.name in batch.ports]
    count = len(batch["latents"]) - panels
    first = {p.name: batch[p.name].narrow(p.row_axis, 0, panels) for p in there}
    alone = {
        p.name: batch[p.name].narrow(p.row_axis, panels, count) for p in reference_ports(there)
    }
    return BankCase(batch, DenoiserBatch(first), ReferenceBatch(alone, batch["mask"][panels:]))


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
    ports = input_ports(info)
    values = random_ports(ports, info, generator, size)
    if not routed:
        values["routes"].fill_(NOWHERE)
        values = {port.name: values[port.name] for port in ports if not port.optional}
    return DenoiserBatch(values)


def random_ports(
    ports: Sequence[InputPort],
    info: ModelInfo,
    generator: torch.Generator,
    size: tuple[int, int, int, int],
) -> dict[str, Tensor]:
    """Random values of the kinds that the ports hold. size: as for `random_batch`."""
    batch, references, high, wide = size
    step = info.side_multiple // info.vae_scale
    sizes = {"rows": batch, "references": references, "height": high * step, "width": wide * step}
    sizes |= {TOKENS: info.text_length, PICTURES: references}
    return {port.name: _random(port, port.shape(sizes), sizes, generator) for port in ports}


def _random(
    port: InputPort, shape: tuple[int, ...], sizes: Mapping[str, int], generator: torch.Generator
) -> Tensor:
    """Values of the kind that the port holds."""
    if port.example == "weight":
        return (torch.rand(shape, generator=generator) * 1.5 - 0.5).clamp(min=0.0)
    if port.example == "flag":
        flags = torch.randint(0, 2, shape, generator=generator).float()
        flags[:, 0] = 1.0
        return flags
    if port.example == "timestep":
        return torch.randint(0, 1000, shape, generator=generator).float()
    if port.example == "pixels":
        return torch.randint(256, 1024, shape, generator=generator).float()
    if port.example == "normal":
        return torch.randn(shape, generator=generator)
    most = sizes["rows" if port.example == "route" else "references"]
    chosen = torch.randint(NOWHERE, most, shape, generator=generator, dtype=torch.int32)
    if port.example == "slot":
        chosen[:, 0] = NOWHERE
    return chosen
