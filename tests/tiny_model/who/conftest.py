"""An autoencoder of hardly any weights."""

import pytest
import torch
from diffusers import AutoencoderKL

from lafi_tiny.stages.blueprint import Blueprint, build_autoencoder


@pytest.fixture
def vae() -> AutoencoderKL:
    """With random weights, 4 channels, factor 8."""
    torch.manual_seed(0)
    plan = Blueprint(latent_channels=4, vae_widths=(8, 8, 8, 16))
    return build_autoencoder(plan).eval().requires_grad_(False)
