"""Answers for the served model `upscaler`. Knows tensors and an `Upscaler`, not Triton Server."""

from collections.abc import Mapping, Sequence

from lafi.board.limits import MAX_SIDE, UPSCALES
from lafi.engine.onnx.upscaler import SMALLEST_SIDE
from lafi.ports.upscaler import Upscaler
from lafi.serving.batched_engine import Answer, Array, BatchedEngine, Engine, InputError
from lafi.wire.model_spec import FACTOR, IMAGE, upscaler_spec


class UpscalerEngine:
    """Answers many requests with one call of the upscaler for each factor and size."""

    def __init__(self, upscaler: Upscaler) -> None:
        self.spec = upscaler_spec()
        self._factors = upscaler.info.factors(UPSCALES)
        self._engines = {
            factor: BatchedEngine(self.spec, _by(upscaler, factor), _check_sides)
            for factor in self._factors
        }

    def answer(self, requests: Sequence[Mapping[str, Array]]) -> list[Answer]:
        """Inputs by name for each request -> its ENLARGED or an error, in order."""
        answers: list[Answer] = [InputError("not answered") for _ in requests]
        by_factor: dict[int, list[int]] = {}
        for index, inputs in enumerate(requests):
            try:
                by_factor.setdefault(self._factor(inputs[FACTOR]), []).append(index)
            except InputError as error:
                answers[index] = error
        for factor, indices in by_factor.items():
            given = [requests[index][IMAGE] for index in indices]
            for index, answer in zip(indices, self._engines[factor].answer(given), strict=True):
                answers[index] = answer
        return answers

    def _factor(self, array: Array) -> int:
        """FACTOR (B, 1) as one number."""
        found = sorted({int(factor) for factor in array.reshape(-1)})
        if len(found) != 1:
            raise InputError(f"{FACTOR}: got {found}, allowed: one factor for a whole request")
        if found[0] not in self._factors:
            allowed = ", ".join(map(str, self._factors))
            raise InputError(f"{FACTOR}: got {found[0]}, allowed: {allowed}")
        return found[0]


def _by(upscaler: Upscaler, factor: int) -> Engine:
    return lambda rows: (upscaler(rows, factor),)


def _check_sides(array: Array) -> None:
    """IMAGE (B, H, W, 3) uint8."""
    for axis, side in zip(("height", "width"), array.shape[1:3], strict=True):
        if not SMALLEST_SIDE <= side <= MAX_SIDE:
            raise InputError(f"{IMAGE}: got {axis} {side}, allowed: {SMALLEST_SIDE} to {MAX_SIDE}")
