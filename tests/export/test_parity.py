"""The comparison finds what differs, names it, and passes what does not."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from lafi.engine.torch.engines import load_torch_engines
from lafi.model.bank_groups import bank_groups
from lafi.ports.bank_entry import BankEntry, stack_bank
from lafi.ports.engines import DenoiserBatch, Engines, ReferenceBatch
from lafi_export.parity import Expected, compare_engines, compare_pictures
from lafi_export.parity_cases import bank_cases, denoiser_cases
from lafi_export.parity_report import (
    TOLERANCES,
    EngineParity,
    ParityError,
    ParityReport,
    PixelParity,
)


@pytest.fixture(scope="module")
def engines(checkpoint: Path) -> Engines:
    return load_torch_engines(checkpoint)


@pytest.fixture(scope="module")
def expected(engines: Engines) -> Expected:
    return Expected(engines, vocabulary=100)


def report(engines: Engines, rows: tuple[EngineParity, ...]) -> ParityReport:
    info = engines.info
    return ParityReport(
        model=info.name,
        weights_sha256=info.weights_sha256,
        engines=rows,
        pictures=(),
        tolerances=TOLERANCES,
    )


def test_an_engine_equals_itself(engines: Engines, expected: Expected) -> None:
    rows = compare_engines(expected, engines, precision="f32")
    assert {row.engine for row in rows} == {
        "text_encoder",
        "vae_encoder",
        "vae_decoder",
        "denoiser",
        "reference",
    }
    # From the bank it is computed in batches of another size than in the rows' batch.
    assert all(row.passed and row.max_error < 1e-5 for row in rows)
    exact = [row for row in rows if row.engine != "denoiser" or "bank" not in row.case]
    assert all(row.max_error == 0 for row in exact)
    report(engines, rows).check()


@pytest.mark.parametrize(
    ("precision", "max_error", "psnr", "allowed"),
    [
        ("f32", 2, 60.0, True),
        ("f32", 3, 99.0, False),
        ("f32", 1, 59.9, False),
        ("bf16", 255, 30.0, True),
        ("bf16", 9, 29.9, False),
    ],
)
def test_every_tolerance_of_pictures_can_fail(
    precision: str, max_error: int, psnr: float, allowed: bool
) -> None:
    assert TOLERANCES[precision].allows_picture(max_error, psnr) == allowed


def test_a_picture_that_fails_names_what_was_allowed(engines: Engines) -> None:
    failed = PixelParity(
        picture="panel 0",
        runtime="openvino",
        precision="bf16",
        max_error=200,
        mean_error=40.0,
        psnr=12.0,
        passed=False,
    )
    made = report(engines, ()).model_copy(update={"pictures": (failed,)})
    with pytest.raises(ParityError, match=r"error 200 and 12.0 dB, allowed any and 30 dB or more"):
        made.check()


def test_the_cases_cover_batches_shapes_and_routing(engines: Engines) -> None:
    batches = [batch for _, batch in denoiser_cases(engines.info)]
    sizes = {tuple(batch["latents"].shape[-2:]) for batch in batches}
    assert len({len(batch["latents"]) for batch in batches}) > 2
    assert any(height > width for height, width in sizes)
    assert any(height < width for height, width in sizes)
    assert any(bool((batch["routes"] < 0).all()) for batch in batches)
    assert any(bool((batch["routes"] >= 0).any()) for batch in batches)
    assert any(bool((batch["mask"] == 0).any()) for batch in batches)
    assert {batch["routes"].shape[-1] for batch in batches} == {1, 2}


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda noise: noise * 1.001, id="scaled"),
        pytest.param(lambda noise: noise + float("nan"), id="nan"),
        pytest.param(lambda noise: noise.roll(1, dims=-1), id="shifted"),
    ],
)
def test_a_broken_denoiser_fails_and_is_named(
    engines: Engines, expected: Expected, change: Callable[[Tensor], Tensor]
) -> None:
    broken = replace(engines, denoiser=lambda batch: change(engines.denoiser(batch)))
    rows = compare_engines(expected, broken, precision="f32")
    assert {row.engine for row in rows if not row.passed} == {"denoiser"}
    with pytest.raises(ParityError, match=r"denoiser \(torch, f32\) on batch 1, 2 x 2 steps"):
        report(engines, rows).check()


def test_an_error_in_injection_alone_is_found(engines: Engines, expected: Expected) -> None:
    def deaf(batch: DenoiserBatch) -> Tensor:
        return engines.denoiser(batch.changed(routes=torch.full_like(batch["routes"], -1)))

    rows = compare_engines(expected, replace(engines, denoiser=deaf), precision="f32")
    failed = [row.case for row in rows if not row.passed]
    assert failed
    assert all("not routed" not in case for case in failed)
    assert any("in the bank" in case for case in failed)


def test_a_bank_that_is_not_the_references_is_found(engines: Engines, expected: Expected) -> None:
    def wrong(batch: ReferenceBatch) -> tuple[BankEntry, ...]:
        assert engines.reference_reader is not None
        entries = engines.reference_reader(batch)
        return tuple(
            replace(entry, values=tuple(1.01 * values for values in entry.values))
            for entry in entries
        )

    rows = compare_engines(expected, replace(engines, reference_reader=wrong), precision="f32")
    failed = [row for row in rows if not row.passed]
    assert {row.engine for row in failed} == {"reference", "denoiser"}
    assert all("in the bank" in row.case for row in failed)
    assert all("bank_k" not in row.case for row in failed)


def test_the_bank_is_compared_where_there_is_one_and_it_is_asked_for(
    engines: Engines, expected: Expected
) -> None:
    rows = compare_engines(expected, engines, precision="f32", bank=False)
    assert "reference" not in {row.engine for row in rows}
    without = replace(engines, reference_reader=None)
    assert rows == compare_engines(expected, without, precision="f32")


@pytest.mark.parametrize("name", ["sd15", "sd21", "sdxl"])
def test_references_of_published_architectures_may_be_in_a_bank(
    small_checkpoints: Callable[[str], Path], name: str
) -> None:
    """Among them one with pooled embeddings, and layers of four widths and grids."""
    engines = load_torch_engines(small_checkpoints(name))
    assert engines.reference_reader is not None
    ((_, given),) = bank_cases(engines.info, sizes=((2, 1, 2),))
    bank = stack_bank(engines.reference_reader(given.references))
    assert len(bank.keys) == len(bank_groups(engines.info.layers)) < len(engines.info.layers)
    got = engines.denoiser(replace(given.panels, bank=bank))
    wanted = engines.denoiser(given.rows)[: len(got)]
    torch.testing.assert_close(got, wanted, atol=2e-5, rtol=0)
    deaf = replace(given.panels, bank=bank._replace(mask=torch.zeros_like(bank.mask)))
    assert (engines.denoiser(deaf) - got).abs().max() > 1e-4


def test_a_wrong_shape_is_an_error_of_its_own(engines: Engines, expected: Expected) -> None:
    broken = replace(engines, vae_decoder=lambda x: engines.vae_decoder(x)[:, :, :-1])
    with pytest.raises(ParityError, match=r"vae_decoder on batch 1.*got shape"):
        compare_engines(expected, broken, precision="f32")


def test_pictures_that_differ_fail(engines: Engines, expected: Expected) -> None:
    broken = replace(engines, vae_decoder=lambda x: engines.vae_decoder(x) + 0.05)
    pictures = compare_pictures(expected, broken, precision="f32")
    assert [row.picture for row in pictures] == ["portrait of mia", "panel 0", "panel 1"]
    assert all(4 <= row.max_error <= 8 and not row.passed for row in pictures)


def test_equal_pictures_pass(engines: Engines, expected: Expected) -> None:
    pictures = compare_pictures(expected, engines, precision="f32")
    assert all(row.passed and row.max_error == 0 and row.psnr == 100 for row in pictures)


def test_the_table_marks_failures(engines: Engines) -> None:
    row = EngineParity(
        engine="denoiser",
        runtime="openvino",
        precision="f32",
        case="batch 1",
        max_error=0.5,
        mean_error=0.1,
        scale=1.0,
        passed=False,
    )
    text = report(engines, (row,)).markdown()
    assert "| denoiser | openvino | f32 | batch 1 | 5.0e-01 | 1.0e-01 | **no** |" in text
    assert "FAILED: denoiser (openvino, f32) on batch 1: got max error 5.00e-01" in text


def test_torch_computes_each_case_once_for_all_candidates(engines: Engines) -> None:
    calls: list[int] = []

    def counted(batch: DenoiserBatch) -> Tensor:
        calls.append(len(batch["latents"]))
        return engines.denoiser(batch)

    expected = Expected(replace(engines, denoiser=counted), 100, sizes=((1, 1, 2),))
    first = compare_engines(expected, engines, precision="f32")
    once = len(calls)
    assert once == len(expected.predictions) + len(expected.banks)
    assert compare_engines(expected, engines, precision="f32") == first
    assert len(calls) == once
