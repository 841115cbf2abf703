"""Embeddings centred, and weighted by how little they vary within one character.

Within-class covariance normalisation (Hatch, Kajarekar, Stolcke, Interspeech 2006, there of
speakers): what changes from picture to picture of one character, such as view and light, counts
less in the cosine. Fitted on training characters after the training; no weight of a network moves.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from lafi_tiny.hand.attributes import Identity, random_identity
from lafi_tiny.who.open_set import (
    CALIBRATION_SEED,
    Embed,
    any_picture,
    embed_all,
    pairs_of,
    portrait,
    portraits,
    unseen_characters,
)
from lafi_tiny.who.recogniser import shows_everything
from lafi_tiny.who.verification import Array, equal_error_rate

SHRINKAGES: Final = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)
"""Of the covariance's mean variance, that is added to each: the more, the less it is weighted."""
CHARACTERS, IMAGES = 500, 4
"""Training characters on which it is fitted, and pictures of each, in any view and framing."""
CALIBRATED, PICTURES = 64, 3
"""Held-out characters that decide the shrinkage, and pictures of each of two kinds."""
_SEED: Final = 303


@dataclass(frozen=True, slots=True, eq=False)
class Whitening:
    """Unit embeddings z (N, D) -> unit rows of (z - mean) @ matrix; mean (D,), matrix (D, D)."""

    mean: Array
    matrix: Array
    shrinkage: float

    def __call__(self, embeddings: Array) -> Array:
        """(..., D) -> (..., D)."""
        moved = (embeddings - self.mean) @ self.matrix
        lengths = np.linalg.norm(moved, axis=-1, keepdims=True)
        whitened: Array = moved / lengths
        return whitened


def fit(embedded: Array, shrinkage: float) -> Whitening:
    """From embeddings of several pictures of each character (N, P, D), P 2 or more."""
    count, each, width = embedded.shape
    within = (embedded - embedded.mean(axis=1, keepdims=True)).reshape(-1, width)
    covariance = within.T @ within / (count * (each - 1))
    covariance += shrinkage * np.trace(covariance) / width * np.eye(width)
    matrix = np.linalg.inv(np.linalg.cholesky(covariance)).T
    return Whitening(embedded.reshape(-1, width).mean(axis=0), matrix, shrinkage)


def best(embedded: Array, others: Sequence[Array]) -> Whitening:
    """That of SHRINKAGES with the least mean of the equal errors on others, each (N, P, D)."""

    def error(whitening: Whitening) -> float:
        return sum(equal_error_rate(*pairs_of(whitening(each)))[0] for each in others)

    return min((fit(embedded, shrinkage) for shrinkage in SHRINKAGES), key=error)


def fitted(embed: Embed, characters: int = CHARACTERS, calibrated: int = CALIBRATED) -> Whitening:
    """Draw training characters and those that neither training nor the benchmarks use, and fit."""
    rng = np.random.default_rng([_SEED, 1])
    trained = [[any_picture(who, rng) for _ in range(IMAGES)] for who in _trained(characters)]
    unseen = unseen_characters(calibrated, CALIBRATION_SEED)
    others = [
        embed_all(embed, portraits(unseen, PICTURES, CALIBRATION_SEED, draw))
        for draw in (portrait, any_picture)
    ]
    return best(embed_all(embed, np.array(trained)), others)


def _trained(count: int) -> list[Identity]:
    """Training identities without hair under a cap."""
    rng = np.random.default_rng([_SEED, 0])
    found: list[Identity] = []
    while len(found) < count:
        identity = random_identity(rng, held_out=False)
        if shows_everything(identity):
            found.append(identity)
    return found


def whiten_file(path: Path, whitening: Whitening) -> None:
    """Give a network's only output (B, D) as it is after whitening; the file is replaced."""
    model = onnx.load(path)
    (output,) = model.graph.output
    plain = f"{output.name}.plain"
    for node in model.graph.node:
        node.output[:] = [plain if name == output.name else name for name in node.output]
        node.input[:] = [plain if name == output.name else name for name in node.input]
    constants: dict[str, NDArray[Any]] = {
        "whitening.mean": whitening.mean.astype(np.float32),
        "whitening.matrix": whitening.matrix.astype(np.float32),
        "whitening.axes": np.array([1], np.int64),
    }
    model.graph.initializer.extend(
        numpy_helper.from_array(value, name) for name, value in constants.items()
    )
    model.graph.node.extend(
        [
            helper.make_node("Sub", [plain, "whitening.mean"], ["whitening.centred"]),
            helper.make_node("MatMul", ["whitening.centred", "whitening.matrix"], ["whitening.z"]),
            helper.make_node("ReduceL2", ["whitening.z", "whitening.axes"], ["whitening.length"]),
            helper.make_node("Div", ["whitening.z", "whitening.length"], [output.name]),
        ]
    )
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, path)
