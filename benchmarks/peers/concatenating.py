"""A range of layers reads a reference's keys and values beside its own.

With the layers from the first up-block layer on, this is LAFI as published, as a processor of
diffusers. With the layers before it, it is the reverse: the deep layers only.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.peers.rows import (
    LayerReads,
    Reads,
    Rows,
    all_but_the_reference_twice,
    with_reference,
)
from lafi.model.info import AttentionSite
from lafi.sampling.window import in_window


@dataclass(frozen=True, slots=True)
class Concatenating:
    """Layers first <= i < stop read the reference while start <= step / steps < end."""

    first: int
    stop: int
    start: float = 0.0
    end: float = 0.8

    def reads(
        self,
        step: int,
        steps: int,
        rows: Rows,
        layers: Sequence[AttentionSite],
        tokens: Sequence[int],
    ) -> Reads | None:
        """The reads of every row; the reference row reads only itself."""
        if self.first >= self.stop or not in_window(step, steps, self.start, self.end):
            return None
        sources = with_reference(rows)
        return [
            LayerReads(sources, all_but_the_reference_twice(rows, tokens[i]))
            if self.first <= i < self.stop
            else None
            for i in range(len(layers))
        ]
