"""The comparison finds what differs, names it, and passes what does not."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from lafi.engine.base import DenoiserBatch, Engines
from lafi.engine.torch import load_torch_engines
from lafi_export.parity import compare_engines, compare_pictures
from lafi_export.parity_cases import denoiser_cases
from lafi_export.parity_report import TOLERANCES, EngineParity, ParityError, ParityReport


@pytest.fixture(scope="module")
def engines(checkpoint: Path) -> Engines:
    return load_torch_engines(checkpoint)


def report(engines: Engines, rows: tuple[EngineParity, ...]) -> ParityReport:
    info = engines.info
    return ParityReport(
        model=info.name,
        weights_sha256=info.weights_sha256,
        engines=rows,
        pictures=(),
        tolerances=TOLERANCES,
    )


def test_an_engine_equals_itself(engines: Engines) -> None:
    rows = compare_engines(engines, engines, vocabulary=100, precision="f32")
    assert {row.engine for row in rows} == {
        "text_encoder",
        "vae_encoder",
        "vae_decoder",
        "denoiser",
    }
    assert all(row.passed and row.max_error == 0 for row in rows)
    report(engines, rows).check()


def test_the_cases_cover_batches_shapes_and_routing(engines: Engines) -> None:
    batches = [batch for _, batch in denoiser_cases(engines.info)]
    sizes = {tuple(batch.latents.shape[-2:]) for batch in batches}
    assert len({len(batch.latents) for batch in batches}) > 2
    assert any(height > width for height, width in sizes)
    assert any(height < width for height, width in sizes)
    assert any(bool((batch.routes < 0).all()) for batch in batches)
    assert any(bool((batch.routes >= 0).any()) for batch in batches)
    assert any(bool((batch.mask == 0).any()) for batch in batches)
    assert {batch.routes.shape[-1] for batch in batches} == {1, 2}


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda noise: noise * 1.001, id="scaled"),
        pytest.param(lambda noise: noise + float("nan"), id="nan"),
        pytest.param(lambda noise: noise.roll(1, dims=-1), id="shifted"),
    ],
)
def test_a_broken_denoiser_fails_and_is_named(
    engines: Engines, change: Callable[[Tensor], Tensor]
) -> None:
    broken = replace(engines, denoiser=lambda batch: change(engines.denoiser(batch)))
    rows = compare_engines(engines, broken, vocabulary=100, precision="f32")
    assert {row.engine for row in rows if not row.passed} == {"denoiser"}
    with pytest.raises(ParityError, match=r"denoiser \(torch, f32\) on batch 1, 2 x 2 steps"):
        report(engines, rows).check()


def test_an_error_in_injection_alone_is_found(engines: Engines) -> None:
    def deaf(batch: DenoiserBatch) -> Tensor:
        return engines.denoiser(replace(batch, routes=torch.full_like(batch.routes, -1)))

    rows = compare_engines(
        engines, replace(engines, denoiser=deaf), vocabulary=100, precision="f32"
    )
    failed = [row.case for row in rows if not row.passed]
    assert failed
    assert all("not routed" not in case for case in failed)


def test_a_wrong_shape_is_an_error_of_its_own(engines: Engines) -> None:
    broken = replace(engines, vae_decoder=lambda x: engines.vae_decoder(x)[:, :, :-1])
    with pytest.raises(ParityError, match=r"vae_decoder on batch 1.*got shape"):
        compare_engines(engines, broken, vocabulary=100, precision="f32")


def test_pictures_that_differ_fail(engines: Engines) -> None:
    broken = replace(engines, vae_decoder=lambda x: engines.vae_decoder(x) + 0.05)
    pictures = compare_pictures(engines, broken, precision="f32")
    assert [row.picture for row in pictures] == ["portrait of mia", "panel 0", "panel 1"]
    assert all(4 <= row.max_error <= 8 and not row.passed for row in pictures)


def test_equal_pictures_pass(engines: Engines) -> None:
    pictures = compare_pictures(engines, engines, precision="f32")
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
