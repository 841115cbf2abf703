from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tritonclient.utils import InferenceServerException

from lafi.engine.onnx.engines import load_onnx_engines
from lafi.ports.engines import DenoiserBatch, Engines

TOKENS = np.ones((2, 48), np.int64)
IMAGE = np.linspace(-1, 1, 3 * 32 * 32, dtype=np.float32).reshape(1, 3, 32, 32)
LATENT = np.linspace(-2, 2, 4 * 8 * 8, dtype=np.float32).reshape(1, 4, 8, 8)


@pytest.fixture(scope="session")
def engines(served_repository: Path) -> Engines:
    return load_onnx_engines(served_repository / "artifacts", "onnxruntime", "f32", 1)


def test_each_served_engine_gives_what_the_engine_gives(caller: Any, engines: Engines) -> None:
    answer = caller.infer("text_encoder", {"TOKEN_IDS": TOKENS})
    expected = engines.text_encoder(torch.from_numpy(TOKENS))["text"]
    np.testing.assert_array_equal(answer["TEXT"], expected.numpy())
    skips = np.array([[1], [0]])
    mixed = caller.infer("text_encoder", {"TOKEN_IDS": TOKENS, "CLIP_SKIP": skips})["TEXT"]
    skipping = engines.text_encoder(torch.from_numpy(TOKENS), 1)["text"].numpy()
    np.testing.assert_allclose(mixed[0], skipping[0], atol=1e-5)
    np.testing.assert_allclose(mixed[1], expected[1].numpy(), atol=1e-5)
    assert not np.allclose(mixed[0], mixed[1], atol=1e-2)
    calls = [
        ("vae_encoder", "IMAGE", IMAGE, engines.vae_encoder, "LATENT"),
        ("vae_decoder", "LATENT", LATENT, engines.vae_decoder, "IMAGE"),
    ]
    for model, given, array, engine, made in calls:
        answer = caller.infer(model, {given: array})
        np.testing.assert_array_equal(answer[made], engine(torch.from_numpy(array)).numpy())


def test_the_served_denoiser_gives_what_the_engine_gives(caller: Any, engines: Engines) -> None:
    inputs = denoiser_inputs(engines)
    tensors = {name: torch.from_numpy(array) for name, array in inputs.items()}
    batch = DenoiserBatch(tensors)
    answer = caller.infer("denoiser", inputs)
    np.testing.assert_array_equal(answer["noise_pred"], engines.denoiser(batch).numpy())


def test_a_route_to_a_row_that_is_not_there_is_refused(caller: Any, engines: Engines) -> None:
    inputs = denoiser_inputs(engines)
    inputs["routes"] += 5
    with pytest.raises(
        InferenceServerException, match=r"routes: got 7, allowed: -1 \(nothing\) to 2"
    ):
        caller.infer("denoiser", inputs)


def test_callers_at_the_same_time_each_get_their_own_answer(caller: Any, engines: Engines) -> None:
    latents = [LATENT * np.float32(scale) for scale in np.linspace(0.1, 1, 12)]
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda x: caller.infer("vae_decoder", {"LATENT": x}), latents))
    for latent, answer in zip(latents, answers, strict=True):
        expected = engines.vae_decoder(torch.from_numpy(latent)).numpy()
        np.testing.assert_allclose(answer["IMAGE"], expected, atol=1e-5)


BAD: Mapping[str, tuple[str, dict[str, np.ndarray], str]] = {
    "token too large": ("text_encoder", {"TOKEN_IDS": TOKENS * 10**6}, "TOKEN_IDS: got 1000000"),
    "a layer that is not there": (
        "text_encoder",
        {"TOKEN_IDS": TOKENS, "CLIP_SKIP": np.full((2, 1), 40)},
        "CLIP_SKIP: got 40, allowed: 0 to",
    ),
    "token below zero": ("text_encoder", {"TOKEN_IDS": -TOKENS}, "TOKEN_IDS: got -1, allowed: 0"),
    "prompt too short": (
        "text_encoder",
        {"TOKEN_IDS": TOKENS[:, :5]},
        r"TOKEN_IDS: got shape \[2, 5\], allowed: \[-1, 48\]",
    ),
    "too many rows": (
        "text_encoder",
        {"TOKEN_IDS": np.ones((17, 48), np.int64)},
        "allowed: a batch of at most 16",
    ),
    "wrong dtype": (
        "vae_decoder",
        {"LATENT": LATENT.astype(np.int64)},
        "LATENT: got datatype 'INT64', allowed: FP32",
    ),
    "NaN": ("vae_decoder", {"LATENT": LATENT * np.float32("nan")}, "LATENT: got nan, allowed: fin"),
    "infinity": ("vae_encoder", {"IMAGE": IMAGE * np.float32("inf")}, "IMAGE: got -?inf, allowed"),
    "bytes of pixels": ("vae_encoder", {"IMAGE": IMAGE * 255}, "IMAGE: got the value 255, allowed"),
    "odd size": (
        "vae_encoder",
        {"IMAGE": IMAGE[..., :30]},
        "IMAGE: got width 30, allowed: multiples of 16 from 16 to 2048",
    ),
    "two channels": (
        "vae_encoder",
        {"IMAGE": IMAGE[:, :2]},
        r"IMAGE: got shape \[1, 2, 32, 32\], allowed: \[-1, 3, -1, -1\]",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_input_gets_a_clear_error_and_the_model_still_answers(caller: Any, name: str) -> None:
    model, tensors, text = BAD[name]
    with pytest.raises(InferenceServerException, match=text):
        caller.infer(model, tensors)
    assert caller.infer("vae_decoder", {"LATENT": LATENT})["IMAGE"].shape == (1, 3, 32, 32)


def denoiser_inputs(engines: Engines) -> dict[str, np.ndarray]:
    """Three rows; the first two read the third in every layer."""
    rng = np.random.default_rng(0)
    info = engines.info
    routes = np.full((len(info.layers), 3, 1), -1, np.int32)
    routes[:, :2] = 2
    return {
        "latents": rng.standard_normal((3, info.latent_channels, 8, 8), np.float32),
        "timesteps": np.array([10, 500, 900], np.float32),
        "text": rng.standard_normal((3, info.text_length, info.text_width), np.float32),
        "routes": routes,
        "bias": np.zeros((3, 1), np.float32),
        "mask": np.ones((3, 8, 8), np.float32),
        "region": np.tri(8, dtype=np.float32) * np.ones((3, 1, 1, 1), np.float32),
        "words": np.full((3, info.text_length), -1, np.int32)
        + np.eye(3, info.text_length, 1, np.int32),
        "text_mask": np.ones((3, info.text_length), np.float32),
    }
