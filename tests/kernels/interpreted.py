"""Run as `python interpreted.py FILE` with TRITON_INTERPRET=1: every case through the kernel.

A process of its own, because Triton-lang reads the variable once, when it is imported first, and
other tests compile. Writes the outputs, a list in the order of the table, to FILE.
"""

import sys
from pathlib import Path

import torch

from lafi_kernels.triton_lang import attention_triton_lang

sys.path.insert(0, str(Path(__file__).parent))
from cases import CASES, build

if __name__ == "__main__":
    torch.set_num_threads(1)
    outputs = []
    for case in CASES:
        arguments = build(case)
        outputs.append(attention_triton_lang(*arguments.values(), arguments.heads))
    torch.save(outputs, sys.argv[1])
