"""The reference row: one fixed noise, a mask, and its timestep."""

import hashlib
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lafi.board.image_file import sha256_hex
from lafi.conditioning.reference import (
    Reference,
    fixed_noise,
    latent_mask,
    noise_seed,
    reference_timestep,
)
from lafi.sampling.noise_model import noise_model_of

PROCESS = noise_model_of({"num_train_timesteps": 1000, "beta_schedule": "scaled_linear"})
SHAPE = (4, 3, 5)


def reference(data: bytes = b"picture") -> Reference:
    return Reference(
        content=hashlib.sha256(data).hexdigest(),
        caption="a girl",
        latents=torch.ones(SHAPE),
        noise=fixed_noise(noise_seed(sha256_hex(data)), SHAPE),
        mask=torch.ones(SHAPE[1:]),
        text={"text": torch.zeros(2, 3)},
    )


@settings(max_examples=20, deadline=None)
@given(st.binary(max_size=50))
def test_the_noise_is_a_function_of_the_files_bytes(data: bytes) -> None:
    seed = noise_seed(sha256_hex(data))
    assert seed == int(hashlib.sha256(data).hexdigest()[:16], 16)
    assert torch.equal(fixed_noise(seed, SHAPE), fixed_noise(seed, SHAPE))
    other = noise_seed(sha256_hex(data + b"x"))
    assert not torch.equal(fixed_noise(seed, SHAPE), fixed_noise(other, SHAPE))


def test_the_same_noise_is_there_at_every_timestep() -> None:
    row = reference()
    for timestep in (10.0, 400.0, 990.0):
        signal = PROCESS.noised(torch.ones(1), torch.zeros(1), timestep)
        amount = PROCESS.noised(torch.zeros(1), torch.ones(1), timestep)
        expected = signal * row.latents + amount * row.noise
        torch.testing.assert_close(row.at(timestep, PROCESS), expected)


@pytest.mark.parametrize(
    ("setting", "timestep"),
    [("panel", 123.5), (0.0, 0.0), (0.1, 100.0), (1.0, 999.0)],
)
def test_the_timestep_is_the_panels_or_a_fixed_one(setting: str | float, timestep: float) -> None:
    assert reference_timestep(setting, 123.5, PROCESS) == timestep


def test_a_mask_is_averaged_to_latent_cells() -> None:
    mask = torch.zeros(4, 8)
    mask[:, :3] = 1.0
    assert latent_mask(mask, 4).tolist() == [[0.75, 0.0]]


def test_it_is_the_same_reference_whichever_storyboard_brought_it() -> None:
    assert reference() == reference()
    assert hash(reference()) == hash(reference())
    others = [
        reference(b"another picture"),
        replace(reference(), caption="a boy"),
        replace(reference(), latents=torch.ones(4, 5, 3)),
    ]
    assert len({reference(), *others}) == 4
