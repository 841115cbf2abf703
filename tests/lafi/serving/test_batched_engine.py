import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lafi.model.families.registry import input_ports
from lafi.model.info import ModelInfo
from lafi.model.tokenizer_files import vocabulary_size
from lafi.serving.batched_engine import (
    BatchedEngine,
    InputError,
    check_denoiser_inputs,
    check_images,
    check_latents,
    check_token_ids,
)
from lafi.wire.model_spec import ModelSpec, TensorSpec

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


def double(rows: np.ndarray) -> tuple[np.ndarray, ...]:
    if bool((rows == 13).any()):
        raise RuntimeError("thirteen")
    return rows * 2, rows.sum(axis=1)


def rows(count: int, start: float = 0.0) -> np.ndarray:
    return np.arange(2 * count, dtype=np.float32).reshape(count, 2) + np.float32(start)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.integers(1, 4), max_size=5))
def test_requests_answered_together_get_what_they_get_alone(sizes: list[int]) -> None:
    requests = [rows(size, 100.0 * index) for index, size in enumerate(sizes)]
    answers = BatchedEngine(SPEC, double, no_check).answer(requests)
    for request, answer in zip(requests, answers, strict=True):
        assert isinstance(answer, tuple)
        np.testing.assert_array_equal(answer[0], request * 2)
        np.testing.assert_array_equal(answer[1], request.sum(axis=1))


def test_requests_of_different_shapes_are_not_joined() -> None:
    calls: list[tuple[int, ...]] = []

    def engine(batch: np.ndarray) -> tuple[np.ndarray]:
        calls.append(tuple(batch.shape))
        return (batch,)

    wide = np.zeros((1, 4), np.float32)
    BatchedEngine(SPEC, engine, no_check).answer([rows(1), wide, rows(2)])
    assert calls == [(3, 2), (1, 4)]


def test_a_request_that_fails_leaves_the_others_their_answers() -> None:
    bad = np.full((1, 2), 13, np.float32)
    first, failed, last = BatchedEngine(SPEC, double, no_check).answer([rows(1), bad, rows(2)])
    assert isinstance(first, tuple)
    assert isinstance(last, tuple)
    np.testing.assert_array_equal(first[0], rows(1) * 2)
    np.testing.assert_array_equal(last[0], rows(2) * 2)
    assert str(failed) == "thirteen"


def test_a_request_that_is_refused_leaves_the_others_their_answers() -> None:
    latent = np.zeros((1, 4, 2, 2), np.float32)
    wrong = np.full_like(latent, np.nan)
    engine = BatchedEngine(SPEC, lambda batch: (batch,), check_latents(2, 8))
    good, refused = engine.answer([latent, wrong])
    assert isinstance(good, tuple)
    np.testing.assert_array_equal(good[0], latent)
    assert isinstance(refused, InputError)
    assert str(refused) == "LATENT: got nan, allowed: finite numbers"


DENOISER = {
    "latents": np.zeros((2, 4, 8, 8), np.float32),
    "timesteps": np.zeros(2, np.float32),
    "text": np.zeros((2, 3, 5), np.float32),
    "routes": np.full((6, 2, 1), -1, np.int32),
    "bias": np.zeros((2, 1), np.float32),
    "mask": np.zeros((2, 8, 8), np.float32),
    "region": np.zeros((2, 1, 8, 8), np.float32),
    "words": np.zeros((2, 3), np.int32),
}


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({}, None),
        ({"timesteps": np.zeros(3)}, "timesteps: got rows 3, allowed: 2, as in latents"),
        ({"routes": np.full((6, 3, 1), -1)}, "routes: got rows 3, allowed: 2, as in latents"),
        ({"bias": np.zeros((2, 2))}, "bias: got references 2, allowed: 1, as in routes"),
        ({"mask": np.zeros((2, 8, 4))}, "mask: got width 4, allowed: 8, as in latents"),
        ({"region": np.zeros((2, 1, 4, 8))}, "region: got height 4, allowed: 8, as in latents"),
        ({"routes": np.full((6, 2, 1), 2)}, "routes: got 2, allowed: -1 (nothing) to 1"),
        ({"routes": np.full((6, 2, 1), -2)}, "routes: got -2, allowed: -1 (nothing) to 1"),
        ({"words": np.full((3, 3), -1)}, "words: got rows 3, allowed: 2, as in latents"),
        ({"words": np.full((2, 3), 1)}, "words: got 1, allowed: -1 (everywhere) to 0"),
        ({"bias": np.full((2, 1), np.nan)}, "bias: got nan, allowed: finite numbers"),
    ],
)
def test_the_inputs_of_the_denoiser_must_agree(
    small_model: ModelInfo, wrong: dict[str, np.ndarray], text: str | None
) -> None:
    sizes = {"layers": small_model.layers * 2, "text_length": 3, "text_width": 5}
    ports = input_ports(small_model.model_copy(update=sizes))
    if text is None:
        check_denoiser_inputs(DENOISER, ports)
        return
    with pytest.raises(InputError) as refused:
        check_denoiser_inputs(DENOISER | wrong, ports)
    assert str(refused.value) == text


def test_the_vocabulary_is_read_from_either_form_of_a_tokenizer(tmp_path: Path) -> None:
    (tmp_path / "vocab.json").write_text(json.dumps({"a": 0, "b": 6}))
    (tmp_path / "merges.txt").touch()
    assert vocabulary_size(tmp_path) == 7
    whole = {"model": {"vocab": {"a": 0, "b": 6}}, "added_tokens": [{"id": 9}]}
    (tmp_path / "tokenizer.json").write_text(json.dumps(whole))
    assert vocabulary_size(tmp_path) == 10


@pytest.mark.parametrize(
    ("check", "array", "text"),
    [
        (check_token_ids(9), np.array([[1, 9]]), "TOKEN_IDS: got 9, allowed: 0 to 8"),
        (check_token_ids(9), np.array([[-1, 2]]), "TOKEN_IDS: got -1, allowed: 0 to 8"),
        (check_token_ids(9, 5), np.array([[[8, 0], [4, 5]]]), "TOKEN_IDS: got 5, allowed: 0 to 4"),
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
