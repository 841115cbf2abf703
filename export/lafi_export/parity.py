"""Compares exported engines with torch: each engine alone, then whole panels.

Compares any two `Engines`; knows neither files nor runtimes.
"""

import io
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from lafi.board.storyboard import Storyboard
from lafi.drawing.pipeline import draw
from lafi.model.bank_groups import bank_groups
from lafi.ports.bank_entry import BankInputs, stack_bank
from lafi.ports.engines import DenoiserBatch, Engines
from lafi.wire.events import Failed, PanelImage, Portrait
from lafi_export.parity_cases import (
    SIZES,
    BankCase,
    Sizes,
    bank_cases,
    denoiser_cases,
    image_cases,
    latent_cases,
    parity_storyboard,
    token_cases,
)
from lafi_export.parity_report import TOLERANCES, EngineParity, ParityError, PixelParity

Pixels = np.ndarray[Any, Any]


class Expected:
    """What torch in fp32 gives for every case, computed when it is first asked for and kept, so
    that all candidates are held against the same numbers.

    vocabulary: number of token ids. sizes: of the random inputs.
    """

    def __init__(self, reference: Engines, vocabulary: int, sizes: Sizes = SIZES) -> None:
        self.reference = reference
        self._vocabulary = vocabulary
        self._sizes = sizes

    @cached_property
    def texts(self) -> list[tuple[str, tuple[Tensor, int], Mapping[str, Tensor]]]:
        """Of each case: its name, token ids with a clip_skip, and the text tensors."""
        cases = token_cases(self.reference.info, self._vocabulary)
        encode = self.reference.text_encoder
        return [(case, (tokens, skip), encode(tokens, skip)) for case, tokens, skip in cases]

    @cached_property
    def latents(self) -> list[tuple[str, Tensor, Tensor]]:
        """Of each case: its name, images, and what the VAE's encoder makes of them."""
        cases = image_cases(self.reference.info, self._sizes)
        return [(case, images, self.reference.vae_encoder(images)) for case, images in cases]

    @cached_property
    def images(self) -> list[tuple[str, Tensor, Tensor]]:
        """Of each case: its name, latents, and what the VAE's decoder makes of them."""
        cases = latent_cases(self.reference.info, self._sizes)
        return [(case, latents, self.reference.vae_decoder(latents)) for case, latents in cases]

    @cached_property
    def predictions(self) -> list[tuple[str, DenoiserBatch, Tensor]]:
        """Of each case: its name, rows, and the denoiser's prediction."""
        cases = denoiser_cases(self.reference.info, self._sizes)
        return [(case, batch, self.reference.denoiser(batch)) for case, batch in cases]

    @cached_property
    def banks(self) -> list[tuple[str, BankCase, BankInputs, Tensor]]:
        """Of each case: its name, panels with references, the bank of these, and the prediction of
        all as rows of one batch. Empty without a reference reader."""
        reader = self.reference.reference_reader
        if reader is None:
            return []
        return [
            (case, given, stack_bank(reader(given.references)), self.reference.denoiser(given.rows))
            for case, given in bank_cases(self.reference.info, self._sizes)
        ]

    @cached_property
    def pictures(self) -> dict[str, Pixels]:
        """A portrait and two panels that read it, by name, RGB uint8 (H, W, 3)."""
        return _drawn(parity_storyboard(self.reference.info), self.reference)


def compare_engines(
    expected: Expected, candidate: Engines, *, precision: str, bank: bool = True
) -> tuple[EngineParity, ...]:
    """Every engine on random inputs of several shapes and batches.

    candidate: its denoiser and its reference reader have the tolerance of `precision`, its text
    encoder and its decoder those of their precisions in `ModelInfo`, the other that of f32.
    bank: whether to compare the bank, for which a candidate opens a second graph; without a
    reference reader it is never compared.
    """
    rows = []
    for case, ids, wanted in expected.texts:
        got = candidate.text_encoder(*ids)
        for name, value in wanted.items():
            where = case if name == "text" else f"{case}, {name}"
            kind = candidate.info.text_precision
            row = _judge("text_encoder", where, candidate, kind, value, got[name])
            rows.append(row if kind == "f32" else with_cosine(row, value, got[name]))
    for case, images, want in expected.latents:
        got_latent = candidate.vae_encoder(images)
        rows.append(_judge("vae_encoder", case, candidate, "f32", want, got_latent))
    for case, latents, want in expected.images:
        got_image = candidate.vae_decoder(latents)
        of_decoder = candidate.info.decoder_precision
        rows.append(_judge("vae_decoder", case, candidate, of_decoder, want, got_image))
    for case, batch, want in expected.predictions:
        noise = candidate.denoiser(batch)
        rows.append(_judge("denoiser", case, candidate, precision, want, noise))
    if bank:
        rows.extend(_compare_bank(expected, candidate, precision))
    return tuple(rows)


def _compare_bank(expected: Expected, candidate: Engines, precision: str) -> Iterator[EngineParity]:
    """Compares the bank's keys and values with torch's, and predictions that read them from the
    bank with torch's predictions that read rows of the batch."""
    reader = candidate.reference_reader
    if reader is None:
        return
    groups = bank_groups(expected.reference.info.layers)
    for case, given, want, noise in expected.banks:
        got = stack_bank(reader(given.references))
        for i, group in enumerate(groups):
            for name, part in ((group.keys, 0), (group.values, 1)):
                pair = want[part][i], got[part][i]
                yield _judge("reference", f"{case}, {name}", candidate, precision, *pair)
        drawn = candidate.denoiser(replace(given.panels, bank=got))
        yield _judge("denoiser", case, candidate, precision, noise[: len(drawn)], drawn)


def compare_pictures(
    expected: Expected, candidate: Engines, *, precision: str
) -> tuple[PixelParity, ...]:
    """Compares a small storyboard drawn by both: a portrait and two panels that read it."""
    drawn = _drawn(parity_storyboard(expected.reference.info), candidate)
    return tuple(
        picture_row(name, candidate.info.engine, precision, expected.pictures[name], pixels)
        for name, pixels in drawn.items()
    )


def picture_row(
    picture: str, runtime: str, precision: str, want: Pixels, got: Pixels
) -> PixelParity:
    """Two pictures, RGB uint8 of one shape, judged by the tolerance of `precision`."""
    error = np.abs(got.astype(np.int16) - want.astype(np.int16))
    worst, psnr = int(error.max()), pixel_psnr(error)
    return PixelParity(
        picture=picture,
        runtime=runtime,
        precision=precision,
        max_error=worst,
        mean_error=float(error.mean()),
        psnr=psnr,
        passed=TOLERANCES[precision].allows_picture(worst, psnr),
    )


def _judge(
    engine: str, case: str, candidate: Engines, precision: str, want: Tensor, got: Tensor
) -> EngineParity:
    return engine_row(engine, case, candidate.info.engine, precision, want, got)


def engine_row(
    engine: str, case: str, runtime: str, precision: str, want: Tensor, got: Tensor
) -> EngineParity:
    """What an engine gave, judged by the tolerance of `precision`; want: what torch gave.

    Raises ParityError for another shape.
    """
    if want.shape != got.shape:
        raise ParityError(
            f"{engine} on {case}: got shape {tuple(got.shape)}, torch gives {tuple(want.shape)}"
        )
    scale = float(want.abs().max())
    error = (got.double() - want.double()).abs() / max(1.0, scale)
    tolerance = TOLERANCES[precision]
    worst, mean = float(error.max()), float(error.mean())
    return EngineParity(
        engine=engine,
        runtime=runtime,
        precision=precision,
        case=case,
        max_error=worst,
        mean_error=mean,
        scale=scale,
        # A NaN passes no comparison.
        passed=worst <= tolerance.max_error and mean <= tolerance.mean_error,
    )


def with_cosine(row: EngineParity, want: Tensor, got: Tensor) -> EngineParity:
    """The row with the least cosine of vectors (..., D), also judged by it.

    Vectors of zeros, which stand for padding, do not count.
    """
    cosines = torch.cosine_similarity(want.double(), got.double(), dim=-1)
    worst = float(cosines[want.abs().amax(dim=-1) > 0].min())
    least = TOLERANCES[row.precision].min_cosine
    passed = row.passed and (least is None or worst >= least)
    return row.model_copy(update={"cosine": worst, "passed": passed})


def _drawn(storyboard: Storyboard, engines: Engines) -> dict[str, Pixels]:
    """Pictures by name, RGB uint8 (H, W, 3)."""
    pictures = {}
    for event in draw(storyboard, engines):
        if isinstance(event, Failed):
            raise ParityError(f"{engines.info.engine} drew no panel {event.panel}: {event.error}")
        if isinstance(event, Portrait):
            pictures[f"portrait of {event.character}"] = _pixels(event.png)
        if isinstance(event, PanelImage):
            pictures[f"panel {event.panel}"] = _pixels(event.png)
    return pictures


def _pixels(png: bytes) -> Pixels:
    with Image.open(io.BytesIO(png)) as image:
        return np.asarray(image.convert("RGB"))


def pixel_psnr(error: Pixels) -> float:
    """PSNR in dB of pixels whose errors, in 1/255, these are; at most 100."""
    mse = float(np.mean(error.astype(np.float64) ** 2))
    return 100.0 if mse == 0 else min(100.0, float(10 * np.log10(255.0**2 / mse)))
