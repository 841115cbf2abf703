"""The process that decodes pictures: image files come in by stdin, pixels go out by stdout.

A request is the file's length as 8 bytes and the file; 0 bytes are a file too. An answer is one
byte: `P`, then width and height as 4 bytes each and RGBA pixels; or `R`, then a length as 8 bytes
and JSON, `[got, allowed]` of an `ImageFileError`. The process ends when stdin does.
"""

import json
import resource
import struct
import sys
from typing import BinaryIO, Final

from lafi.board.image_file import ImageFileError, decode

MEMORY_BYTES: Final = 2**30
"""Address space of the process. The largest pictures take 0.44 GiB, those with a colour profile."""
CPU_SECONDS: Final = 20
"""For one picture; the largest take about 2."""
LENGTH: Final = struct.Struct(">Q")
SIZE: Final = struct.Struct(">II")


def main() -> None:
    """Decode until there is nothing more."""
    limit(resource.RLIMIT_AS, MEMORY_BYTES)
    limit(resource.RLIMIT_FSIZE, 0)
    limit(resource.RLIMIT_CORE, 0)
    given, answers = sys.stdin.buffer, sys.stdout.buffer
    while header := given.read(LENGTH.size):
        _allow_seconds(CPU_SECONDS)
        answer(given.read(*LENGTH.unpack(header)), answers)
        answers.flush()


def answer(data: bytes, answers: BinaryIO) -> None:
    """Write the answer to one file."""
    try:
        image = decode(data)
        pixels = image.tobytes()
    except ImageFileError as refused:
        _refuse([refused.got, refused.allowed], answers)
    except MemoryError:
        most = f"an image that is decoded in {MEMORY_BYTES >> 20} MiB of memory"
        _refuse(["an image that takes more memory", most], answers)
    else:
        answers.write(b"P" + SIZE.pack(*image.size))
        answers.write(pixels)


def _refuse(why: list[str], answers: BinaryIO) -> None:
    text = json.dumps(why).encode()
    answers.write(b"R" + LENGTH.pack(len(text)) + text)


def limit(kind: int, most: int) -> None:
    """Lower a limit of this process for good, unless it is lower already."""
    hard = resource.getrlimit(kind)[1]
    if hard == resource.RLIM_INFINITY or hard > most:
        resource.setrlimit(kind, (most, most))


def _allow_seconds(more: int) -> None:
    """The process is ended if it computes for longer from now on."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    soon = int(used.ru_utime + used.ru_stime) + more
    resource.setrlimit(resource.RLIMIT_CPU, (soon, resource.getrlimit(resource.RLIMIT_CPU)[1]))


if __name__ == "__main__":
    main()
