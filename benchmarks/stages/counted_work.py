"""Engines that count what their denoiser computes."""

from dataclasses import dataclass, replace

from torch import Tensor

from lafi.ports.bank_entry import BankEntry
from lafi.ports.engines import Denoiser, DenoiserBatch, Engines, ReferenceBatch, ReferenceReader


@dataclass(slots=True)
class Work:
    """row_tokens: rows times latent positions, over all calls; references count too."""

    row_tokens: int = 0

    def add(self, latents: Tensor) -> None:
        """Latents (B, C, h, w) of one call."""
        rows, _, height, width = latents.shape
        self.row_tokens += rows * height * width


def counted(engines: Engines) -> tuple[Engines, Work]:
    """The same engines, whose calls are counted in the second value."""
    work = Work()
    reader = engines.reference_reader
    return (
        replace(
            engines,
            denoiser=_CountedDenoiser(engines.denoiser, work),
            reference_reader=None if reader is None else _CountedReader(reader, work),
        ),
        work,
    )


@dataclass(frozen=True, slots=True)
class _CountedDenoiser:
    inner: Denoiser
    work: Work

    def __call__(self, batch: DenoiserBatch, /) -> Tensor:
        self.work.add(batch["latents"])
        return self.inner(batch)


@dataclass(frozen=True, slots=True)
class _CountedReader:
    inner: ReferenceReader
    work: Work

    def __call__(self, batch: ReferenceBatch, /) -> tuple[BankEntry, ...]:
        self.work.add(batch["latents"])
        return self.inner(batch)
