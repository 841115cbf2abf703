from collections.abc import Mapping

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lafi.contract import ModelSpec, TensorSpec
from lafi.served_engine import (
    BatchedEngine,
    InputError,
    RemoteEngine,
    check_images,
    check_latents,
    check_token_ids,
)

SPEC = ModelSpec(
    name="doubler",
    inputs=(TensorSpec("X", "FP32", (2,)),),
    outputs=(TensorSpec("Y", "FP32", (2,)),),
    max_batch_size=3,
    decoupled=False,
    dynamic_batching=True,
)


def no_check(array: np.ndarray) -> None:
    """Takes everything."""


def double(rows: torch.Tensor) -> torch.Tensor:
    if bool((rows == 13).any()):
        raise RuntimeError("thirteen")
    return rows * 2


def rows(count: int, start: float = 0.0) -> np.ndarray:
    return np.arange(2 * count, dtype=np.float32).reshape(count, 2) + np.float32(start)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(1, 4), max_size=5))
def test_requests_answered_together_get_what_they_get_alone(sizes: list[int]) -> None:
    requests = [rows(size, 100.0 * index) for index, size in enumerate(sizes)]
    answers = BatchedEngine(SPEC, double, no_check).answer(requests)
    for request, answer in zip(requests, answers, strict=True):
        np.testing.assert_array_equal(answer, request * 2)


def test_requests_of_different_shapes_are_not_joined() -> None:
    calls: list[tuple[int, ...]] = []

    def engine(batch: torch.Tensor) -> torch.Tensor:
        calls.append(tuple(batch.shape))
        return batch

    wide = np.zeros((1, 4), np.float32)
    BatchedEngine(SPEC, engine, no_check).answer([rows(1), wide, rows(2)])
    assert calls == [(3, 2), (1, 4)]


def test_a_request_that_fails_leaves_the_others_their_answers() -> None:
    bad = np.full((1, 2), 13, np.float32)
    first, failed, last = BatchedEngine(SPEC, double, no_check).answer([rows(1), bad, rows(2)])
    np.testing.assert_array_equal(first, rows(1) * 2)
    np.testing.assert_array_equal(last, rows(2) * 2)
    assert str(failed) == "thirteen"


def test_a_request_that_is_refused_leaves_the_others_their_answers() -> None:
    latent = np.zeros((1, 4, 2, 2), np.float32)
    wrong = np.full_like(latent, np.nan)
    engine = BatchedEngine(SPEC, lambda batch: batch, check_latents(2, 8))
    good, refused = engine.answer([latent, wrong])
    np.testing.assert_array_equal(good, latent)
    assert isinstance(refused, InputError)
    assert str(refused) == "LATENT: got nan, allowed: finite numbers"


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 10))
def test_a_remote_engine_calls_its_model_in_batches_that_it_allows(count: int) -> None:
    sizes: list[int] = []

    def infer(name: str, inputs: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        assert name == "doubler"
        sizes.append(len(inputs["X"]))
        return {"Y": inputs["X"] * 2}

    answer = RemoteEngine(SPEC, infer)(torch.from_numpy(rows(count)))
    np.testing.assert_array_equal(answer.numpy(), rows(count) * 2)
    assert sum(sizes) == count
    assert max(sizes) <= 3
    assert len(sizes) == -(-count // 3)


@pytest.mark.parametrize(
    ("check", "array", "text"),
    [
        (check_token_ids(9), np.array([[1, 9]]), "TOKEN_IDS: got 9, allowed: 0 to 8"),
        (check_token_ids(9), np.array([[-1, 2]]), "TOKEN_IDS: got -1, allowed: 0 to 8"),
        (
            check_images(8, 64),
            np.zeros((1, 3, 12, 8)),
            "IMAGE: got height 12, allowed: multiples of 8 from 8 to 64",
        ),
        (
            check_images(8, 64),
            np.zeros((1, 3, 8, 72)),
            "IMAGE: got width 72, allowed: multiples of 8 from 8 to 64",
        ),
        (check_images(8, 64), np.full((1, 3, 8, 8), np.inf), "IMAGE: got inf, allowed: finite"),
        (check_images(8, 64), np.full((1, 3, 8, 8), 255.0), "IMAGE: got the value 255, allowed"),
        (
            check_latents(2, 8),
            np.zeros((1, 4, 0, 2)),
            "LATENT: got height 0, allowed: multiples of 2 from 2 to 8",
        ),
    ],
)
def test_a_bad_input_is_named_with_what_is_allowed(
    check: object, array: np.ndarray, text: str
) -> None:
    assert callable(check)
    with pytest.raises(InputError) as refused:
        check(array)
    assert str(refused.value).startswith(text)
