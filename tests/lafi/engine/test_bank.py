"""A reference read from the bank gives what it gives as a row of the batch, in every engine."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from lafi.conditioning.routing import Reading, routing_ports
from lafi.engine.onnx.engines import load_onnx_engines, load_reference_reader
from lafi.engine.torch.engines import load_torch_engines
from lafi.model.artifacts import ArtifactsError
from lafi.model.layers import injected_layers
from lafi.ports.bank_entry import BankEntry, stack_bank
from lafi.ports.engines import DenoiserBatch, Engines, ReferenceBatch
from model_infos import model_info

SIZE = (8, 12)
PANELS = 2
PRESETS = ("all", "decoder", "balanced", "texture")


@pytest.fixture(scope="module", params=["torch", "onnxruntime", "openvino"])
def engines(request: pytest.FixtureRequest, checkpoint: Path) -> Engines:
    if request.param == "torch":
        return load_torch_engines(checkpoint)
    repository: Path = request.getfixturevalue("repository")
    return load_onnx_engines(repository / "artifacts", request.param, threads=1)


def drawn(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def references(engines: Engines, count: int, seed: int = 7) -> ReferenceBatch:
    """At one low noise level, with masks of which about half is 0."""
    info = engines.info
    return ReferenceBatch(
        {
            "latents": drawn(seed, count, info.latent_channels, *SIZE),
            "timesteps": torch.full((count,), 100.0),
            "text": drawn(seed + 1, count, info.text_length, info.text_width),
        },
        mask=drawn(seed + 2, count, *SIZE).clamp(0.0, 1.0),
    )


def one_of(batch: ReferenceBatch, row: int) -> ReferenceBatch:
    part = slice(row, row + 1)
    ports = {name: tensor[part] for name, tensor in batch.ports.items()}
    return ReferenceBatch(ports, batch.mask[part])


def read(engines: Engines, batch: ReferenceBatch) -> tuple[BankEntry, ...]:
    assert engines.reference_reader is not None
    return engines.reference_reader(batch)


def batch_of(
    engines: Engines,
    sources: Sequence[tuple[int, ...]],
    as_rows: ReferenceBatch | None,
    entries: Sequence[BankEntry],
    preset: str = "all",
) -> DenoiserBatch:
    """PANELS panels, each with its sources, and behind them the references that are rows."""
    info, extra = engines.info, 0 if as_rows is None else len(as_rows["latents"])
    layers = injected_layers(info, preset)  # type: ignore[arg-type]
    readings = [
        Reading(s, tuple(torch.ones(SIZE) for _ in s), layers=layers, bias=0.3) for s in sources
    ]
    readings += [Reading()] * extra
    routing = routing_ports(readings, len(info.layers), SIZE, bank=len(entries))
    latents = drawn(0, PANELS, info.latent_channels, *SIZE)
    timesteps = torch.tensor([900.0, 400.0])
    text = drawn(1, PANELS, info.text_length, info.text_width)
    mask = torch.ones(PANELS, *SIZE)
    if as_rows is not None:
        latents = torch.cat([latents, as_rows["latents"]])
        timesteps = torch.cat([timesteps, as_rows["timesteps"]])
        text = torch.cat([text, as_rows["text"]])
        mask = torch.cat([mask, as_rows.mask])
    bank = stack_bank(entries) if entries else None
    rows = {"latents": latents, "timesteps": timesteps, "text": text, "mask": mask}
    return DenoiserBatch(rows | routing, bank)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_reference_from_the_bank_is_the_same_as_a_row(engines: Engines, preset: str) -> None:
    given = references(engines, 1)
    source = [(PANELS,)] * PANELS
    row = engines.denoiser(batch_of(engines, source, given, (), preset))[:PANELS]
    bank = engines.denoiser(batch_of(engines, source, None, read(engines, given), preset))
    plain = engines.denoiser(batch_of(engines, [()] * PANELS, None, ()))
    torch.testing.assert_close(bank, row, atol=2e-5, rtol=0)
    assert (bank - plain).abs().amax(dim=(1, 2, 3)).min() > 1e-3


def test_some_references_in_the_bank_and_some_in_the_batch(engines: Engines) -> None:
    given = references(engines, 3)
    entries = read(engines, given)
    as_rows = [(2, 3), (4,)]
    wanted = engines.denoiser(batch_of(engines, as_rows, given, ()))[:PANELS]
    # The first stays a row, number 2; the others are entries 0 and 1 behind the three rows.
    mixed = batch_of(engines, [(2, 3), (4,)], one_of(given, 0), entries[1:])
    torch.testing.assert_close(engines.denoiser(mixed)[:PANELS], wanted, atol=2e-5, rtol=0)
    swapped = batch_of(engines, [(4, 3), (2,)], None, (entries[2], entries[1], entries[0]))
    torch.testing.assert_close(engines.denoiser(swapped), wanted, atol=2e-5, rtol=0)


def test_references_read_together_are_those_read_alone(engines: Engines) -> None:
    given = references(engines, 2)
    for row, entry in enumerate(read(engines, given)):
        (alone,) = read(engines, one_of(given, row))
        assert torch.equal(entry.mask, given.mask[row])
        assert alone.nbytes == entry.nbytes
        for got, wanted in zip(entry.keys + entry.values, alone.keys + alone.values, strict=True):
            torch.testing.assert_close(got, wanted, atol=2e-5, rtol=0)


def test_a_bank_that_no_route_names_changes_nothing(engines: Engines) -> None:
    plain = batch_of(engines, [()] * PANELS, None, ())
    kept = replace(plain, bank=stack_bank(read(engines, references(engines, 2))))
    torch.testing.assert_close(engines.denoiser(kept), engines.denoiser(plain), atol=1e-6, rtol=0)


def test_a_row_is_read_after_a_bank_was(engines: Engines) -> None:
    """A call without a bank that routes, after one with: nothing of the bank stays behind."""
    given = references(engines, 1)
    source = [(PANELS,)] * PANELS
    without = batch_of(engines, source, given, ())
    before = engines.denoiser(without)
    engines.denoiser(batch_of(engines, source, None, read(engines, references(engines, 1, 50))))
    torch.testing.assert_close(engines.denoiser(without), before, atol=1e-6, rtol=0)


def test_the_mask_of_an_entry_is_applied(engines: Engines) -> None:
    given = references(engines, 1)
    (entry,) = read(engines, given)
    source = [(PANELS,)] * PANELS
    unseen = replace(entry, mask=torch.zeros(SIZE))
    hidden = engines.denoiser(batch_of(engines, source, None, (unseen,)))
    plain = engines.denoiser(batch_of(engines, [()] * PANELS, None, ()))
    torch.testing.assert_close(hidden, plain, atol=2e-5, rtol=0)


def test_an_export_without_a_reference_graph_asks_for_another(tmp_path: Path) -> None:
    model_info(name="old").save(tmp_path)
    with pytest.raises(ArtifactsError, match=r"reference.onnx: lafi.json has no hash.*lafi export"):
        load_reference_reader(tmp_path, "onnxruntime")
