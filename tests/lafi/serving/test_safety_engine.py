"""The answers of the served model `safety`, and the classifier that calls it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lafi.engine.onnx.classifier import INPUT, OnnxClassifier
from lafi.model.classifier_files import ClassifierInfo
from lafi.ports.classifier import classifier_row
from lafi.serving.remote_classifier import RemoteClassifier
from lafi.serving.safety_engine import safety_engine

INFO = ClassifierInfo(name="blue", threshold=0.5, sha256="ab" * 32)


def blue(inputs: Mapping[str, Any]) -> tuple[Any, ...]:
    """Shares by how blue a picture is: the first channel, less its mean."""
    share = (inputs[INPUT][..., 0].mean((1, 2)) + 104.0) / 255.0
    return (np.stack([1 - share, share], 1).astype(np.float32),)


@given(st.lists(st.tuples(st.integers(0, 255), st.integers(8, 40)), min_size=1, max_size=40))
def test_any_number_of_pictures_is_judged_in_calls_of_what_the_model_takes(
    pictures: list[tuple[int, int]],
) -> None:
    engine, calls = safety_engine(OnnxClassifier(blue, INFO)), []

    def call_model(name: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
        assert name == "safety"
        (answer,) = engine.answer([inputs["IMAGE"]])
        assert isinstance(answer, tuple)
        calls.append(len(inputs["IMAGE"]))
        return {"SCORE": answer[0]}

    pixels = [np.zeros((side, 2 * side, 3), np.uint8) for _, side in pictures]
    for picture, (shade, _) in zip(pixels, pictures, strict=True):
        picture[..., 2] = shade
    scores = RemoteClassifier(INFO, call_model)(pixels)
    assert max(calls) <= 16
    assert sum(calls) == len(pictures)
    np.testing.assert_allclose(scores, [shade / 255 for shade, _ in pictures], atol=0.02)


def test_the_network_sees_the_middle_of_a_picture() -> None:
    picture = np.zeros((256, 256, 3), np.uint8)
    picture[16:240, 16:240] = 255
    assert classifier_row(picture).shape == (224, 224, 3)
    assert classifier_row(picture).min() > 250


def test_a_network_that_gives_no_shares_is_an_error() -> None:
    wrong = OnnxClassifier(lambda inputs: (np.ones((len(inputs[INPUT]), 2), np.float32),), INFO)
    (answer,) = safety_engine(wrong).answer([np.zeros((1, 224, 224, 3), np.uint8)])
    with pytest.raises(ValueError, match="two shares"):
        raise answer if isinstance(answer, Exception) else AssertionError(answer)
