"""The answers of the served model `upscaler`, and the upscaler that calls it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from lafi.model.upscaler_files import UpscalerInfo, UpscalerNetwork
from lafi.serving.batched_engine import InputError
from lafi.serving.remote_upscaler import RemoteUpscaler
from lafi.serving.upscaler_engine import UpscalerEngine


def info(*factors: int) -> UpscalerInfo:
    digest = "ab" * 32
    return UpscalerInfo(
        networks=tuple(
            UpscalerNetwork(name="n", factor=f, reach=0, sha256=digest, weights_sha256=digest)
            for f in factors
        )
    )


class Nearest:
    """Enlarges by repeating pixels; notes the batches that it gets."""

    def __init__(self, *factors: int) -> None:
        self.info = info(*factors)
        self.calls: list[tuple[int, int]] = []

    def __call__(self, pictures: np.ndarray, factor: int) -> np.ndarray:
        self.calls.append((len(pictures), factor))
        return pictures.repeat(factor, axis=1).repeat(factor, axis=2)


def request(rows: int, factor: int, height: int = 8, seed: int = 0) -> dict[str, np.ndarray]:
    pixels = np.random.default_rng(seed).integers(0, 256, (rows, height, 12, 3), dtype=np.uint8)
    return {"IMAGE": pixels, "FACTOR": np.full((rows, 1), factor, np.int32)}


def test_one_call_for_each_factor_and_size() -> None:
    upscaler = Nearest(4)
    requests = [request(1, 2), request(2, 4), request(1, 2, seed=1), request(1, 2, height=16)]
    answers = UpscalerEngine(upscaler).answer(requests)
    assert sorted(upscaler.calls) == [(1, 2), (2, 2), (2, 4)]
    for given, answer in zip(requests, answers, strict=True):
        assert isinstance(answer, tuple)
        factor = int(given["FACTOR"][0, 0])
        expected = given["IMAGE"].repeat(factor, axis=1).repeat(factor, axis=2)
        np.testing.assert_array_equal(answer[0], expected)


BAD: Mapping[str, tuple[dict[str, Any], str]] = {
    "factor": (request(1, 5), "FACTOR: got 5, allowed: 2, 3, 4"),
    "one": (request(1, 1), "FACTOR: got 1, allowed: 2, 3, 4"),
    "two": (
        {**request(2, 2), "FACTOR": np.array([[2], [3]], np.int32)},
        r"FACTOR: got \[2, 3\], allowed: one factor for a whole request",
    ),
    "small": (request(1, 2, height=4), "IMAGE: got height 4, allowed: 8 to 2048"),
    "large": (request(1, 2, height=2049), "IMAGE: got height 2049, allowed: 8 to 2048"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_request_fails_alone(name: str) -> None:
    given, text = BAD[name]
    bad, good = UpscalerEngine(Nearest(4)).answer([given, request(1, 2)])
    assert isinstance(good, tuple)
    with pytest.raises(InputError, match=text):
        raise bad if isinstance(bad, Exception) else AssertionError(bad)


def test_factors_beyond_the_networks_are_refused() -> None:
    (answer,) = UpscalerEngine(Nearest(2)).answer([request(1, 4)])
    assert str(answer) == "FACTOR: got 4, allowed: 2"


def test_the_remote_upscaler_sends_no_more_than_a_call_takes() -> None:
    local = Nearest(4)
    engine = UpscalerEngine(local)

    def call(model: str, inputs: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        assert model == "upscaler"
        (answer,) = engine.answer([inputs])
        assert isinstance(answer, tuple)
        return {"ENLARGED": answer[0]}

    pictures = request(11, 3)["IMAGE"]
    made = RemoteUpscaler(local.info, call)(pictures, 3)
    np.testing.assert_array_equal(made, pictures.repeat(3, axis=1).repeat(3, axis=2))
    assert local.calls == [(8, 3), (3, 3)]
