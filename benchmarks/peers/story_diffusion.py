"""The method of StoryDiffusion (arXiv:2405.01434): panels read random tokens of each other.

In every up-block layer a panel reads its own tokens, a random half of those of every other panel
of its branch, and a random half of the reference's. The half is drawn anew for every step and
layer, and is the same for all reading rows. Left out: the paper's random plain attention at some
steps, which is for drawing a story in parts.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.peers.rows import LayerReads, Reads, Rows
from lafi.model.info import AttentionSite


@dataclass(frozen=True, slots=True)
class StoryDiffusion:
    """Layers from `first` on; `share` of the others' tokens, drawn from `seed`."""

    first: int
    share: float = 0.5
    seed: int = 0

    def reads(
        self,
        step: int,
        steps: int,
        rows: Rows,
        layers: Sequence[AttentionSite],
        tokens: Sequence[int],
    ) -> Reads | None:
        """The reads of every row; the reference row reads only itself."""
        if self.first >= len(layers):
            return None
        sources = self._sources(rows)
        return [
            LayerReads(sources, self._keep(rows, sources, tokens[i], (step, i)))
            if i >= self.first
            else None
            for i in range(len(layers))
        ]

    def _sources(self, rows: Rows) -> Tensor:
        """(B, panels + 1): the row itself, the others of its branch, the reference."""
        listed = [
            [row, *(other for other in rows.branch_of(row) if other != row), rows.reference]
            for row in range(rows.reference)
        ]
        listed.append([rows.reference] * (rows.panels + 1))
        return torch.tensor(listed)

    def _keep(self, rows: Rows, sources: Tensor, tokens: int, place: tuple[int, int]) -> Tensor:
        """(B, panels + 1, tokens): all of its own, a random half of the others."""
        step, layer = place
        seed = (self.seed * 1_000 + step) * 1_000 + layer
        draws = torch.rand(rows.total, tokens, generator=torch.Generator().manual_seed(seed))
        keep = (draws < self.share)[sources]
        keep[rows.reference] = False
        keep[:, 0] = True
        return keep
