"""The method of MasaCtrl (arXiv:2304.08465): keys and values are replaced by the reference's.

From a start layer and a start step on, a panel's queries read only the reference's tokens. The
paper starts at step 4 of 50 and at layer 10 of SD1.5's 16, which is where our preset `balanced`
starts. Left out: its second variant with masks made from cross-attention. The paper inverts a real
picture by DDIM; here the reference is noised anew as in all methods, unless an inverted path is
chosen.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from benchmarks.peers.rows import LayerReads, Reads, Rows
from lafi.model.info import AttentionSite
from lafi.sampling.window import in_window


@dataclass(frozen=True, slots=True)
class MasaCtrl:
    """Layers from `first` on read the reference only, from step / steps = `start` on."""

    first: int
    start: float = 0.08

    def reads(
        self,
        step: int,
        steps: int,
        rows: Rows,
        layers: Sequence[AttentionSite],
        tokens: Sequence[int],
    ) -> Reads | None:
        """The reads of every row: all rows read the reference row."""
        if self.first >= len(layers) or not in_window(step, steps, self.start, 1.0):
            return None
        sources = torch.full((rows.total, 1), rows.reference)
        return [LayerReads(sources) if i >= self.first else None for i in range(len(layers))]
