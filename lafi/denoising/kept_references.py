"""What references at a fixed level give, computed once and kept in the bank.

Knows references and the bank, neither panels nor who reads what.
"""

from collections.abc import Sequence, Set
from typing import Final

from lafi.conditioning.reference import Source
from lafi.denoising.bank import Bank, BankKey
from lafi.denoising.denoiser_batch import build_reference_batch
from lafi.model.info import ModelInfo
from lafi.ports.bank_entry import BankEntry, BankInputs, stack_bank
from lafi.ports.engines import ReferenceReader
from lafi.sampling.noise_model import NoiseModel

MAX_PACKS: Final = 4
"""Packs that are kept, the newest: one for each size that is drawn, and for a cast that changes."""


class KeptReferences:
    """Keys and values of references, from the bank where it has them.

    What panels in flight read is held here besides, so that a bank that is too small costs time
    when a reference comes again, and never a run at every step. For one thread.
    """

    def __init__(
        self, reader: ReferenceReader, bank: Bank, process: NoiseModel, info: ModelInfo
    ) -> None:
        self._reader = reader
        self._bank = bank
        self._process = process
        self._info = info
        self._held: dict[Source, BankEntry] = {}
        self._packs: dict[tuple[Source, ...], BankInputs] = {}

    def bank(self, sources: Sequence[Source]) -> BankInputs | None:
        """What the sources of one call give, packed in their order; None for none of them.

        Those of one call have one latent size. A pack is made once, and read by every later call
        of the same sources.
        """
        if not sources:
            return None
        entries = self._entries(sources)
        order = tuple(sources)
        if order not in self._packs:
            while len(self._packs) >= MAX_PACKS:
                del self._packs[next(iter(self._packs))]
            self._packs[order] = stack_bank([entries[source] for source in sources])
        return self._packs[order]

    def _entries(self, sources: Sequence[Source]) -> dict[Source, BankEntry]:
        for source in sources:
            if source not in self._held:
                entry = self._bank.get(self._key(source))
                if entry is not None:
                    self._held[source] = entry
        self._read([source for source in sources if source not in self._held])
        return {source: self._held[source] for source in sources}

    def release(self, still_read: Set[Source]) -> None:
        """Drop what no panel in flight reads any more."""
        for source in [source for source in self._held if source not in still_read]:
            del self._held[source]
        for order in [order for order in self._packs if not still_read >= {*order}]:
            del self._packs[order]

    def _read(self, missing: Sequence[Source]) -> None:
        if not missing:
            return
        batch = build_reference_batch(missing, self._process, self._info)
        for source, entry in zip(missing, self._reader(batch), strict=True):
            self._held[source] = entry
            self._bank.put(self._key(source), entry)

    def _key(self, source: Source) -> BankKey:
        content, caption, reading, size = source.reference.key
        return BankKey(
            image_sha256=content,
            caption=caption,
            reading=reading,
            timestep=source.timestep,
            size=size,
            weights=self._info.weights_sha256,
            engine=f"{self._info.engine} {self._info.precision}",
            variant=self._info.variant,
        )
