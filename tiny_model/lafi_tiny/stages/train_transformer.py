"""Stage `transformer`: a small transformer and its text encoder together, as a flow.

What it learns from, how it is helped and by which figures its best checkpoint is kept are the
denoiser's.
"""

from pathlib import Path

from lafi_tiny.stages.blueprint import Blueprint
from lafi_tiny.stages.text_to_flow import transformer_recipe
from lafi_tiny.stages.train_denoiser import DenoiserTraining, train_recipe
from lafi_tiny.stages.transformer_blueprint import TransformerBlueprint
from lafi_tiny.team import ALONE, Team

TRANSFORMER_TRAINING = DenoiserTraining(
    steps=15_000, decay_steps=3_500, seeded_steps=True, compiled=True
)


def train_transformer(
    plan: Blueprint,
    small: TransformerBlueprint,
    settings: DenoiserTraining,
    folder: Path,
    team: Team = ALONE,
) -> None:
    """`train_recipe` of the small transformer; `plan` is of the autoencoder."""
    train_recipe(transformer_recipe(plan, small), plan, settings, folder, team)
