"""PixArt and Hunyuan-DiT: pictures attend to texts beside their sequence, and read references.

Against diffusers' own modules, and against a plainly written processor.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from stock_transformers import ConcatenatingProcessor, Kept, stock_module, stock_rows
from torch import Tensor

from lafi.engine.torch.engines import TorchDenoiser, TorchReferenceReader
from lafi.engine.torch.families.registry import torch_family_of
from lafi.model.checkpoint import read_model_info
from lafi.model.info import ModelInfo
from lafi.ports.bank_entry import stack_bank
from lafi.ports.engines import DenoiserBatch
from lafi_export.parity_cases import bank_cases, denoiser_cases

SIZES = ((1, 2, 2), (3, 2, 3), (2, 5, 4), (1, 1, 1))
CLOSE = {"atol": 2e-5, "rtol": 0.0}


@dataclass(frozen=True)
class Model:
    """A small model of a family: diffusers' module, and a copy of it that is ours."""

    name: str
    info: ModelInfo
    stock: Any
    ours: Any

    def denoiser(self, **facts: Any) -> TorchDenoiser:
        return TorchDenoiser(self.ours, self.info.model_copy(update=facts))

    def batches(self, rows: int) -> list[DenoiserBatch]:
        return [
            batch for _, batch in denoiser_cases(self.info, SIZES) if len(batch["latents"]) == rows
        ]


@pytest.fixture(scope="module", params=["pixart", "hunyuan", "hunyuan 1.1"])
def model(request: pytest.FixtureRequest, small_checkpoints: Callable[[str], Path]) -> Model:
    """`hunyuan 1.1` is told a picture's size and a style."""
    name, _, version = request.param.partition(" ")
    folder = small_checkpoints(name)
    info = read_model_info(folder)
    stock = stock_module(name, folder)
    if version:
        from lafi.model.families.hunyuan import META_SIZE

        torch.manual_seed(0)
        told = {**stock.config, "use_style_cond_and_image_meta_size": True}
        stock = type(stock).from_config(told).eval().requires_grad_(False)
        info = info.model_copy(update={"added_inputs": (META_SIZE,)})
    ours = torch_family_of(info).module_class.from_config(stock.config)
    ours.load_state_dict(stock.state_dict())
    return Model(name, info, stock, ours.eval().requires_grad_(False))


def deaf(batch: DenoiserBatch) -> DenoiserBatch:
    """The same rows, which read nothing and whose words act everywhere."""
    unlimited = torch.full_like(batch["words"], -1) if "words" in batch.ports else None
    changed = {} if unlimited is None else {"words": unlimited}
    return batch.changed(routes=torch.full_like(batch["routes"], -1), **changed)


def test_without_routes_it_is_diffusers_own_module(model: Model) -> None:
    denoiser = model.denoiser()
    for name, batch in denoiser_cases(model.info, SIZES):
        mute = deaf(batch)
        wanted = stock_rows(model.name, model.stock, mute, slice(None))
        got = denoiser(mute)
        torch.testing.assert_close(got, wanted, **CLOSE, msg=name)
        assert got.std() > 0.1
        assert torch.equal(denoiser(batch), got) == ("not routed" in name)


@pytest.mark.parametrize("preset", ["none", "one", "all"])
def test_injection_is_what_a_concatenating_processor_does(model: Model, preset: str) -> None:
    """Two rows of a panel read a reference without foreground at its left."""
    layers = {"none": (), "one": (1,), "all": tuple(range(len(model.info.layers)))}[preset]
    batch = deaf(model.batches(3)[1])
    cells = torch.ones(batch["mask"].shape[1:])
    cells[:, : cells.shape[1] // 2] = 0.0
    mask = batch["mask"].clone()
    mask[2] = cells
    routes = batch["routes"].clone()
    routes[list(layers), :2] = 2
    bias = torch.full_like(batch["bias"], 0.7)
    batch = batch.changed(
        routes=routes, bias=bias, mask=mask, region=torch.ones_like(batch["region"])
    )
    wanted = concatenated(model, batch, layers, cells)
    got, unread = model.denoiser()(batch), model.denoiser()(deaf(batch))
    torch.testing.assert_close(got, wanted, **CLOSE)
    changed = (got - unread)[:2].abs().amax(dim=(1, 2, 3)).min()
    assert changed == 0.0 if preset == "none" else changed > 1e-3


def concatenated(
    model: Model, batch: DenoiserBatch, layers: tuple[int, ...], cells: Tensor
) -> Tensor:
    """Diffusers' own forward, first of the reference, then of both rows of the panel."""
    stock = copy.deepcopy(model.stock)
    weights = cells.unflatten(0, (-1, 2)).unflatten(2, (-1, 2)).mean(dim=(1, 3)).flatten()
    kept = Kept(weights, bias=float(batch["bias"][0, 0]))
    for layer in layers:
        name = model.info.layers[layer].name
        stock.get_submodule(name).set_processor(ConcatenatingProcessor(name, kept))
    reference = stock_rows(model.name, stock, batch, slice(2, 3))
    kept.writing = False
    panels = stock_rows(model.name, stock, batch, slice(0, 2))
    return torch.cat([panels, reference])


@pytest.mark.parametrize("positions", ["same", "shifted"])
def test_a_reference_from_the_bank_is_the_same_as_a_row(model: Model, positions: str) -> None:
    denoiser = model.denoiser(reference_positions=positions)
    reader = TorchReferenceReader(model.ours, model.info)
    for name, case in bank_cases(model.info, SIZES):
        wanted = denoiser(case.rows)[: len(case.panels["latents"])]
        got = denoiser(replace(case.panels, bank=stack_bank(reader(case.references))))
        torch.testing.assert_close(got, wanted, **CLOSE, msg=name)


@pytest.mark.parametrize("positions", ["same", "shifted"])
def test_a_row_does_not_depend_on_who_reads_it(model: Model, positions: str) -> None:
    denoiser, batch = model.denoiser(reference_positions=positions), deaf(model.batches(3)[1])
    routes = batch["routes"].clone()
    routes[:, 0] = 2
    read, unread = denoiser(batch.changed(routes=routes)), denoiser(batch)
    torch.testing.assert_close(read[1:], unread[1:], **CLOSE)
    assert (read[0] - unread[0]).abs().max() > 1e-3


def test_permuted_rows_give_permuted_predictions(model: Model) -> None:
    denoiser, batch = model.denoiser(), model.batches(3)[2]
    order = torch.tensor([2, 0, 1])
    rows = {name: tensor[order] for name, tensor in batch.ports.items() if name not in ("routes",)}
    # Row i has gone to where `order` holds i.
    place = torch.argsort(order).to(torch.int32)
    routes = batch["routes"][:, order]
    moved = torch.where(routes >= 0, place[routes.clamp(min=0).long()], routes)
    got = denoiser(DenoiserBatch({**rows, "routes": moved}))
    torch.testing.assert_close(got, denoiser(batch)[order], **CLOSE)


def test_what_pads_a_text_is_not_read(model: Model) -> None:
    """In Hunyuan-DiT its place is taken by what the model has learnt for it."""
    denoiser, batch = model.denoiser(), deaf(model.batches(3)[0])
    padding = batch["text_mask"] == 0
    # What T5 gives for padding enters Hunyuan-DiT's text as a whole, as in diffusers.
    if model.name == "hunyuan":
        padding[:, 77:] = False
    text = torch.where(padding[..., None], 9.0, batch["text"])
    assert padding.any()
    torch.testing.assert_close(denoiser(batch.changed(text=text)), denoiser(batch), **CLOSE)
    heard = batch.changed(text_mask=torch.ones_like(batch["text_mask"]))
    assert (denoiser(heard) - denoiser(batch)).abs().max() > 1e-3


def test_words_act_in_their_region_alone(model: Model) -> None:
    """A word without any region has no effect; one with all of it is like one without limit."""
    denoiser, batch = model.denoiser(), deaf(model.batches(3)[1])
    word, other = 3, batch["text"].clone()
    other[:, word] += 1.0
    words = torch.full(batch["text"].shape[:2], -1, dtype=torch.int32)
    words[:, word] = 0
    nowhere = torch.zeros_like(batch["region"])
    limited = batch.changed(words=words, region=nowhere, text_mask=torch.ones_like(words).float())
    first, second = (denoiser(limited.changed(text=text)) for text in (batch["text"], other))
    torch.testing.assert_close(first, second, **CLOSE)
    everywhere = limited.changed(region=torch.ones_like(nowhere))
    first, second = (denoiser(everywhere.changed(text=text)) for text in (batch["text"], other))
    assert (first - second).abs().max() > 1e-4
    unlimited = limited.changed(words=torch.full_like(words, -1))
    torch.testing.assert_close(denoiser(unlimited), denoiser(everywhere), **CLOSE)


def test_half_precision_is_near(model: Model) -> None:
    """Also what is read from a bank."""
    _, case = next(bank_cases(model.info, SIZES))
    wanted = model.denoiser()(case.rows)[: len(case.panels["latents"])]
    half = copy.deepcopy(model.ours).to(torch.bfloat16)
    denoiser, reader = TorchDenoiser(half, model.info), TorchReferenceReader(half, model.info)
    bank = stack_bank(reader(case.references))
    assert {keys.dtype for keys in bank.keys} == {torch.bfloat16}
    got = denoiser(replace(case.panels, bank=bank)).float()
    assert (got - wanted).norm() / wanted.norm() < 0.1


def test_a_place_that_the_model_has_no_axis_for_is_refused(
    small_checkpoints: Callable[[str], Path],
) -> None:
    info = read_model_info(small_checkpoints("hunyuan"))
    own = info.model_copy(update={"reference_positions": "own"})
    with pytest.raises(ValueError, match="reference_positions: got 'own', allowed same, shifted"):
        TorchDenoiser(stock_module("hunyuan", small_checkpoints("hunyuan")), own)
