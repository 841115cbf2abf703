# mypy: disable-error-code="import-untyped"
"""Reads the loops of the compiled attention kernel from its machine code.

Knows the text that NVIDIA's `nvdisasm` prints (it comes with Triton-lang), not what a GPU does in
which time: that is in `attention_prediction.py`.
"""

import re
import subprocess
import tempfile
from collections import Counter
from dataclasses import dataclass
from typing import Final

from triton import knobs

MATRIX: Final = ("HGMMA", "UTCHMMA", "HMMA")
"""Matrix instructions: of a warp group on sm_90, of a block on sm_100, of a warp before."""

_LABEL: Final = re.compile(r"^(\.L_x_\d+):", re.MULTILINE)
_INSTRUCTION: Final = re.compile(r"^\s*/\*([0-9a-f]{4,})\*/\s+(.*?)\s*;", re.MULTILINE)
_BRANCH: Final = re.compile(r"^(@!?U?P\d+\s+)?BRA(?:\.U)?\s+(!?U?P\d+,\s*)?.*`\((\.L_x_\d+)\)")
"""A branch; its condition stands before it or is its first operand."""
_SHAPE: Final = re.compile(r"HGMMA\.(\d+)x(\d+)x(\d+)")


@dataclass(frozen=True, slots=True)
class Loop:
    """One turn of a loop, as a warp executes it: instructions by their full name.

    Instructions that only some warps execute are counted for all of them.
    """

    instructions: Counter[str]

    @property
    def issued(self) -> int:
        """All instructions."""
        return self.instructions.total()

    def count(self, *names: str) -> int:
        """Instructions whose name begins with one of these."""
        return sum(n for name, n in self.instructions.items() if name.startswith(names))

    @property
    def matrix_flops(self) -> int | None:
        """Of one warp group, from the shapes in the names; None where names hold no shapes."""
        total = 0
        for name, times in self.instructions.items():
            if name.startswith(MATRIX):
                shape = _SHAPE.match(name)
                if shape is None:
                    return None
                m, n, k = map(int, shape.groups())
                total += 2 * m * n * k * times
        return total


def disassemble(cubin: bytes) -> str:
    """Raises CalledProcessError for what is no machine code of NVIDIA's."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        command = [knobs.nvidia.nvdisasm.path, "-c", file.name]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def matrix_loops(sass: str) -> list[Loop]:
    """The innermost loops that multiply matrices, in the order of the code.

    A loop is what lies between a label and a conditional branch back to it. A branch back that is
    not conditional only returns from code that waits out of line.
    """
    labels = {found[1]: found.start() for found in _LABEL.finditer(sass)}
    code = [(found.start(), found[2]) for found in _INSTRUCTION.finditer(sass)]
    spans = []
    for at, text in code:
        branch = _BRANCH.match(text)
        if branch and (branch[1] or branch[2]) and labels.get(branch[3], at) < at:
            spans.append((labels[branch[3]], at))
    found: list[tuple[int, Loop]] = []
    kept: list[tuple[int, int]] = []
    for start, end in sorted(spans, key=lambda span: span[1] - span[0]):
        names = Counter(_name(text) for at, text in code if start < at <= end)
        loop = Loop(names)
        around = any(start <= other < end for other, _ in kept)
        if loop.count(*MATRIX) and not around:
            kept.append((start, end))
            found.append((start, loop))
    return [loop for _, loop in sorted(found, key=lambda pair: pair[0])]


def _name(text: str) -> str:
    """`@P0 MUFU.EX2 R1, R2` -> `MUFU.EX2`."""
    return re.sub(r"^@!?U?P\w+\s+", "", text).split()[0]
