"""Edits the PTX of a Triton-lang kernel so that it can be launched without Triton-lang.

Triton-lang appends two pointers to every kernel: scratch memory for the grid and for a profiler.
Its own launcher passes them; TensorRT passes only the declared arguments. Knows the text of PTX,
not what the kernel computes.
"""

import re
from typing import Final

SCRATCH_POINTERS: Final = 2

_ENTRY: Final = re.compile(r"(?P<head>\.entry\s+(?P<name>[\w$]+)\s*\()(?P<params>[^)]*)(?P<end>\))")
_REQUIRED_THREADS: Final = re.compile(r"\.reqntid\s+(\d+)(?:\s*,\s*(\d+))?(?:\s*,\s*(\d+))?")


class PtxError(ValueError):
    """PTX that cannot be launched with the declared arguments; the text says why."""


def without_scratch_pointers(ptx: str, kernel: str, arguments: int) -> str:
    """The PTX without the kernel's last two parameters.

    kernel: name of its entry. arguments: number of parameters that the kernel declares, without
    constants. Raises PtxError if the PTX does not have `arguments` + 2 parameters, if the last two
    are not pointers, or if the kernel reads them.
    """
    entry = _entry(ptx, kernel)
    params = _parameters(entry)
    if len(params) != arguments + SCRATCH_POINTERS:
        raise PtxError(
            f"{kernel}: got {len(params)} parameters, allowed {arguments} of its own and "
            f"{SCRATCH_POINTERS} scratch pointers"
        )
    for param in params[arguments:]:
        name = param.split()[-1]
        if not param.startswith(".param .u64"):
            raise PtxError(f"{kernel}: got {param!r} among the last two, allowed a pointer")
        if re.search(rf"\[\s*{re.escape(name)}\b", ptx):
            raise PtxError(f"{kernel}: reads {name}, its scratch memory, which nobody would pass")
    kept = ",".join(f"\n\t{param}" for param in params[:arguments]) + "\n"
    return ptx[: entry.start("params")] + kept + ptx[entry.end("params") :]


def parameter_count(ptx: str, kernel: str) -> int:
    """Number of parameters of the kernel's entry. Raises PtxError if there is no such entry."""
    return len(_parameters(_entry(ptx, kernel)))


def required_threads(ptx: str) -> int:
    """Threads per block that the PTX requires. Raises PtxError if it states none.

    A warp-specialised kernel requires more than `num_warps` says.
    """
    match = _REQUIRED_THREADS.search(ptx)
    if match is None:
        raise PtxError(".reqntid: the PTX does not say how many threads a block has")
    threads = 1
    for size in match.groups():
        threads *= int(size or 1)
    return threads


def _entry(ptx: str, kernel: str) -> re.Match[str]:
    for match in _ENTRY.finditer(ptx):
        if match["name"] == kernel:
            return match
    raise PtxError(f"{kernel}: the PTX has no entry of this name")


def _parameters(entry: re.Match[str]) -> list[str]:
    return [param.strip() for param in entry["params"].split(",") if param.strip()]
