"""Answers for the served model `text_encoder`. Knows arrays and a graph, not Triton Server."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from lafi.model.info import ModelInfo
from lafi.serving.batched_engine import Answer, Array, BatchedEngine, Check, InputError
from lafi.wire.model_spec import CLIP_SKIP, TOKEN_IDS, text_encoder_spec

Run = Callable[[Mapping[str, Array]], tuple[Array, ...]]


class TextEngine:
    """Answers many requests with one call, whatever layers each of them skips."""

    def __init__(self, info: ModelInfo, run: Run, check: Check) -> None:
        """run: the exported graph. check: of TOKEN_IDS."""
        self.spec = text_encoder_spec(info)
        self._run = run
        self._check = check
        self._most = info.most_clip_skip
        self._engine = BatchedEngine(self.spec, self._encoded)

    def answer(self, requests: Sequence[Mapping[str, Array]]) -> list[Answer]:
        """Inputs by name for each request -> its outputs or an error, in order."""
        answers: list[Answer] = [InputError("not answered") for _ in requests]
        rows: dict[int, Array] = {}
        for index, inputs in enumerate(requests):
            try:
                rows[index] = self._packed(inputs)
            except InputError as error:
                answers[index] = error
        for index, answer in zip(rows, self._engine.answer([*rows.values()]), strict=True):
            answers[index] = answer
        return answers

    def _packed(self, inputs: Mapping[str, Array]) -> Array:
        """TOKEN_IDS (B, ..., T) with CLIP_SKIP as one more of the last axis, (B, ..., 1 + T)."""
        ids = inputs[TOKEN_IDS]
        self._check(ids)
        skipped = inputs.get(CLIP_SKIP, np.zeros((len(ids), 1), np.int64))
        for skip in skipped.reshape(-1):
            if not 0 <= skip <= self._most:
                raise InputError(f"{CLIP_SKIP}: got {skip}, allowed: 0 to {self._most}")
        column = skipped.reshape(len(ids), *(1 for _ in ids.shape[1:]))
        return np.concatenate([np.broadcast_to(column, (*ids.shape[:-1], 1)), ids], axis=-1)

    def _encoded(self, rows: Array) -> tuple[Array, ...]:
        feed = {TOKEN_IDS.lower(): np.ascontiguousarray(rows[..., 1:])}
        if self._most:
            feed[CLIP_SKIP.lower()] = rows.reshape(len(rows), -1)[:, :1].copy()
        return self._run(feed)
