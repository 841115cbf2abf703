"""A thread's alternate signal stack, kept as it was where a library puts its own in place.

Knows the C library alone. OpenVINO's CPU plugin (2026.4) gives the thread that loads it a signal
stack of its own, and unmaps it with the plugin. If another thread lets the plugin go, the first one
is left with a stack that is gone, and the next signal with a Python handler ends the process with
SIGSEGV. Without such a stack a handler runs on the thread's own, which is what we want.
"""

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

SS_DISABLE: Final = 2
"""The flag of `sigaltstack(2)` for a thread that has no such stack."""


class SignalStack(ctypes.Structure):
    """`stack_t` of Linux."""

    _fields_ = [("sp", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t)]


def signal_stack() -> SignalStack:
    """This thread's, on Linux."""
    stack = SignalStack()
    ctypes.CDLL(None).sigaltstack(None, ctypes.byref(stack))
    return stack


@contextmanager
def kept_signal_stack() -> Iterator[None]:
    """This thread's signal stack is afterwards what it was before.

    Not inside a signal handler. On other systems than Linux nothing is done: OpenVINO changes
    nothing there.
    """
    if sys.platform != "linux":
        yield
        return
    before = signal_stack()
    try:
        yield
    finally:
        change = ctypes.CDLL(None).sigaltstack
        # Once a process may use AMX, Linux refuses a stack that is too small for its registers.
        if change(ctypes.byref(before), None) != 0:
            change(ctypes.byref(SignalStack(flags=SS_DISABLE)), None)
