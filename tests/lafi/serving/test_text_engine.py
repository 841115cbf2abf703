"""The served text encoder: one call for requests that skip different layers."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lafi.model.info import ModelInfo
from lafi.serving.batched_engine import InputError, check_token_ids
from lafi.serving.text_engine import TextEngine
from model_infos import model_info

MOST, WORDS = 3, 100
Arrays = dict[str, np.ndarray[Any, Any]]


class Encoder:
    """The sum of a row's ids and a thousand times what it skips, and the calls so far."""

    def __init__(self) -> None:
        self.calls: list[Arrays] = []

    def __call__(self, feed: Mapping[str, np.ndarray[Any, Any]]) -> tuple[np.ndarray[Any, Any]]:
        self.calls.append(dict(feed))
        ids = feed["token_ids"]
        skips = feed.get("clip_skip", np.zeros((len(ids), 1), np.int64))
        return (ids.reshape(len(ids), -1).sum(1, keepdims=True) + 1000 * skips,)


def engine_of(encoder: Encoder, encoders: int = 1, most: int = MOST) -> TextEngine:
    info: ModelInfo = model_info(most_clip_skip=most, pooled_width=4 if encoders > 1 else 0)
    return TextEngine(info, encoder, check_token_ids(*[WORDS] * encoders))


def request(encoders: int, rows: list[int], skips: list[int] | None) -> Arrays:
    shape = (len(rows), 5) if encoders == 1 else (len(rows), encoders, 5)
    ids = np.broadcast_to(np.reshape(rows, (-1, *[1] * (len(shape) - 1))), shape).astype(np.int64)
    return {"TOKEN_IDS": ids} | ({} if skips is None else {"CLIP_SKIP": np.array(skips)[:, None]})


@settings(deadline=None, max_examples=30)
@given(st.data(), st.sampled_from([1, 2]))
def test_each_row_skips_its_own_layers_in_one_call(data: st.DataObject, encoders: int) -> None:
    rows = st.lists(st.integers(0, WORDS - 1), min_size=1, max_size=3)
    requests, expected = [], []
    for ids in data.draw(st.lists(rows, min_size=1, max_size=4)):
        count = len(ids)
        skips = data.draw(
            st.none() | st.lists(st.integers(0, MOST), min_size=count, max_size=count)
        )
        requests.append(request(encoders, ids, skips))
        given_skips = [0] * count if skips is None else skips
        expected.append(
            [5 * encoders * a + 1000 * b for a, b in zip(ids, given_skips, strict=True)]
        )
    encoder = Encoder()
    answers = engine_of(encoder, encoders).answer(requests)
    assert [answer[0][:, 0].tolist() for answer in answers] == expected  # type: ignore[index]
    assert len(encoder.calls) == 1


@pytest.mark.parametrize("skip", [-1, MOST + 1])
def test_a_bad_request_does_not_touch_the_others(skip: int) -> None:
    bad, good = request(1, [1, 2], [0, skip]), request(1, [3], [1])
    engine = engine_of(Encoder())
    refused, answered, outside = engine.answer([bad, good, request(1, [WORDS], None)])
    assert isinstance(refused, InputError)
    assert str(refused) == f"CLIP_SKIP: got {skip}, allowed: 0 to {MOST}"
    assert isinstance(outside, InputError)
    assert not isinstance(answered, Exception)
    assert answered[0].tolist() == [[1015]]


def test_a_graph_without_layers_to_skip_gets_token_ids_alone() -> None:
    encoder = Encoder()
    engine_of(encoder, most=0).answer([request(1, [1], None)])
    assert encoder.calls[0].keys() == {"token_ids"}
