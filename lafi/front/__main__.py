"""The front's process. Started by the supervisor; ends when its standard input does."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys

import uvloop

from lafi.front.control import FrontSettings
from lafi.front.process import serve

_LINE = (
    "%(levelname).1s%(asctime)s.%(msecs)03d000 %(process)d %(module)s.py:%(lineno)d] %(message)s"
)
"""As Triton Server writes its log, so that the supervisor shows our lines as it shows those."""

if __name__ == "__main__":
    # Ctrl-C in a terminal reaches the supervisor, which decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.basicConfig(format=_LINE, datefmt="%m%d %H:%M:%S", level=logging.WARNING)
    settings = FrontSettings.model_validate_json(sys.argv[1])
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(settings))
