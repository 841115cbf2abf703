"""The front's process. Started by the supervisor; ends when its standard input does."""

from __future__ import annotations

import asyncio
import signal
import sys

from lafi.front.control import FrontSettings
from lafi.front.process import serve

if __name__ == "__main__":
    # Ctrl-C in a terminal reaches the supervisor, which decides.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asyncio.run(serve(FrontSettings.model_validate_json(sys.argv[1])))
