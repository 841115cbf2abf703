"""Embeddings centred and weighted: on numbers with known covariance, and in an ONNX file."""

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lafi_tiny.onnx_file import trace_to_onnx
from lafi_tiny.who.open_set import pairs_of
from lafi_tiny.who.verification import Array, equal_error_rate
from lafi_tiny.who.whitening import SHRINKAGES, Whitening, best, fit, fitted, whiten_file

WIDTH = 12


def unit(rows: Array) -> Array:
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def pictures_of(characters: int, seed: int, images: int = 4) -> Array:
    """Unit rows (N, P, WIDTH): characters differ in the second half, pictures mostly in the first,
    and all have something in common."""
    rng = np.random.default_rng(seed)
    common, spread = np.ones(WIDTH), np.array([3.0] * (WIDTH // 2) + [0.3] * (WIDTH // 2))
    who = rng.normal(size=(characters, 1, WIDTH)) * spread[::-1] / 3
    return unit(3 * common + who + rng.normal(size=(characters, images, WIDTH)) * spread)


def error(rows: Array) -> float:
    return equal_error_rate(*pairs_of(rows))[0]


def test_what_varies_within_a_character_counts_less() -> None:
    found = best(pictures_of(200, 0), [pictures_of(40, 1)])
    unseen = pictures_of(80, 2)
    assert found.shrinkage in SHRINKAGES
    assert error(found(unseen)) < 0.6 * error(unseen)
    _, strangers = pairs_of(found(unseen))
    assert abs(strangers.mean()) < 0.05 < pairs_of(unseen)[1].mean()


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(SHRINKAGES))
def test_rows_have_unit_length_and_what_varies_becomes_even(seed: int, shrinkage: float) -> None:
    rows = pictures_of(100, seed)
    found = fit(rows, shrinkage)
    np.testing.assert_allclose(np.linalg.norm(found(rows), axis=-1), 1)
    moved = (rows - found.mean) @ found.matrix
    within = (moved - moved.mean(axis=1, keepdims=True)).reshape(-1, WIDTH)
    variances = np.linalg.eigvalsh(within.T @ within / (100 * 3))
    assert variances.max() <= 1 + 1e-9
    if shrinkage == SHRINKAGES[0]:
        assert variances.min() > 0.5


@pytest.mark.parametrize("count", [1, 5])
def test_a_file_gives_what_the_whitening_gives(tmp_path: Path, count: int) -> None:
    torch.manual_seed(0)

    class Network(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = torch.nn.Linear(6, WIDTH)

        def forward(self, given: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.normalize(self.linear(given), dim=1)

    network, path = Network(), tmp_path / "network.onnx"
    trace_to_onnx(network, "given", torch.zeros(2, 6), path, half=False)
    given = torch.randn(count, 6)
    plain = network(given).detach().numpy().astype(np.float64)
    rng = np.random.default_rng(0)
    whitening = Whitening(rng.normal(size=WIDTH), rng.normal(size=(WIDTH, WIDTH)), 1.0)
    whiten_file(path, whitening)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert [each.name for each in session.get_outputs()] == ["embedding"]
    (got,) = session.run(None, {"given": given.numpy()})
    np.testing.assert_allclose(got, whitening(plain), atol=1e-5)


def test_it_is_fitted_on_drawn_characters() -> None:
    def embed(pixels: Array) -> Array:
        """The colours of the picture's corners and middle."""
        small = pixels[:, 8::37, 8::37].reshape(len(pixels), -1)[:, :WIDTH]
        return unit(small.astype(np.float64) + 1)

    found = fitted(embed, characters=12, calibrated=4)
    assert found.mean.shape == (WIDTH,)
    assert found.matrix.shape == (WIDTH, WIDTH)
    np.testing.assert_allclose(found.mean, fitted(embed, characters=12, calibrated=4).mean)
