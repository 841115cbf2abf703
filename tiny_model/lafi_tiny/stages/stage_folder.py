"""Where the stages keep their state, and how they go on after a stop."""

import os
import time
from pathlib import Path

TRAINING_VARIABLE = "LAFI_TRAINING"
RECOGNISER = "recogniser"
"""The stage of the recogniser, and the folder of its state."""


def training_folder() -> Path:
    """The folder named by the environment variable LAFI_TRAINING, else out/training."""
    return Path(os.environ.get(TRAINING_VARIABLE, "out/training"))


class SaveClock:
    """Says when it is time to save, in seconds since the last time."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.last = seconds, time.monotonic()

    def is_time(self) -> bool:
        """True once every `seconds`."""
        if time.monotonic() - self.last < self.seconds:
            return False
        self.last = time.monotonic()
        return True


def has_finished(folder: Path, stage: str) -> bool:
    """True if the stage has left its mark."""
    return (folder / f"{stage}.done").exists()


def mark_finished(folder: Path, stage: str) -> None:
    """Leave a mark, so that the next run goes on with the next stage."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{stage}.done").touch()
