from collections.abc import Mapping

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lafi.serving.remote_engine import RemoteEngine, RemoteTextEncoder
from lafi.wire.model_spec import ModelSpec, TensorSpec

SPEC = ModelSpec(
    name="doubler",
    inputs=(TensorSpec("X", "FP32", (2,)),),
    outputs=(TensorSpec("Y", "FP32", (2,)),),
    max_batch_size=3,
)


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 10))
def test_a_remote_engine_calls_its_model_in_batches_that_it_allows(count: int) -> None:
    sizes: list[int] = []

    def infer(name: str, inputs: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        assert name == "doubler"
        sizes.append(len(inputs["X"]))
        return {"Y": inputs["X"] * 2}

    rows = torch.arange(2.0 * count).reshape(count, 2)
    answer = RemoteEngine(SPEC, infer)(rows)
    np.testing.assert_array_equal(answer.numpy(), rows.numpy() * 2)
    assert sum(sizes) == count
    assert max(sizes) <= 3
    assert len(sizes) == -(-count // 3)


def test_a_remote_text_encoder_gives_all_that_its_model_gives() -> None:
    outputs = (TensorSpec("TEXT", "FP32", (2, 1)), TensorSpec("POOLED", "FP32", (2,)))
    spec = ModelSpec("text_encoder", (TensorSpec("TOKEN_IDS", "INT64", (2,)),), outputs, 2)

    def infer(name: str, inputs: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        ids = inputs["TOKEN_IDS"].astype(np.float32)
        return {"POOLED": ids + 1, "TEXT": ids[..., None]}

    ids = torch.arange(10).reshape(5, 2)
    text = RemoteTextEncoder(spec, infer, 0)(ids)
    assert torch.equal(text["text"], ids[..., None].float())
    assert text.keys() == {"text", "pooled"}
    assert torch.equal(text["pooled"], ids.float() + 1)
