"""The storyboard that a checkpoint is probed with where none is given. Knows words only."""

from lafi.board.stages import Sampling, SamplingStage
from lafi.board.storyboard import Character, Panel, Storyboard


def probe_story(width: int, height: int, steps: int) -> Storyboard:
    """One character in two panels of that size, in plain words that most models know."""
    return Storyboard(
        title="probe",
        width=width,
        height=height,
        sampling=Sampling(stages=(SamplingStage(steps=steps),)),
        characters=(Character(name="mia", prompt="a girl with red hair and a blue striped top"),),
        panels=(
            Panel(prompt="{mia} is running on the beach", seed=2),
            Panel(prompt="{mia} is sitting in a room at night", seed=3),
        ),
    )
