"""The search for a fast tile takes the fastest one. Timed for real only on a GPU."""

import os
import subprocess
import sys

import pytest
import torch

from lafi_kernels.tuning import fastest_tile

# The interpreter stands in for the GPU, the order of the calls for time: the second is the fastest.
SEARCH = """
import torch
from lafi_kernels.tiles import Tile
from lafi_kernels.tuning import fastest_tile

x, w, calls = torch.ones(1, 3, 16), torch.ones(1, 3), []

def benchmark(call, quantiles):
    call()
    calls.append(call)
    return [abs(len(calls) - 2)] * 3

tensors = (x, x, x, x[:0], x[:0], torch.zeros(1, 1).int(), w[:, :1], w, w[:0], w[:, None])
tiles = [Tile(16, 16, 4, 1), Tile(32, 16, 2, 3), Tile(16, 32, 4, 1)]
best = fastest_tile(*tensors, heads=1, candidates=tiles, benchmark=benchmark)
print(best == tiles[1], len(calls))
"""


def test_the_fastest_candidate_is_returned_as_it_was_given() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", SEARCH],
        env=os.environ | {"TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
    )
    assert (ran.stdout.strip(), ran.stderr) == ("True 3", "")


def test_no_candidates_are_refused() -> None:
    with pytest.raises(ValueError, match="candidates: got none, allowed one tile or more"):
        fastest_tile(torch.ones(1, 3, 16), heads=1, candidates=())
