"""Serves an engine as a model: answers many requests with one call, and checks their inputs.

Knows arrays and a `ModelSpec`, not Triton Server. Imports no torch, so that models start fast.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from lafi.board.image_file import DecodePicture, ImageFileError, decode
from lafi.model.input_port import REFERENCES, ROWS, InputPort
from lafi.ports.recogniser import letterboxed_row
from lafi.wire.model_spec import IMAGE, ModelSpec

Array = npt.NDArray[Any]
Check = Callable[[Array], None]
Prepare = Callable[[Array], Array]
"""A request's array -> the engine's input; raises InputError."""
Engine = Callable[[Array], tuple[Array, ...]]
"""A batched input -> all outputs of the model, with the same batch size."""
Answer = tuple[Array, ...] | Exception


class InputError(ValueError):
    """An input tensor is not allowed; the text names the tensor, its value and what is allowed."""


class BatchedEngine:
    """Answers many requests with one engine call for each shape of input.

    A bad request gets its own error and does not affect the others.
    """

    def __init__(
        self,
        spec: ModelSpec,
        engine: Engine,
        check: Check = lambda array: None,
        prepare: Prepare = lambda array: array,
    ) -> None:
        self.spec = spec
        self._engine = engine
        self._check = check
        self._prepare = prepare

    def answer(self, requests: Sequence[Array]) -> list[Answer]:
        """(B_i, ...) for each request -> its outputs (B_i, ...) or an error, in order."""
        answers: list[Answer] = []
        rows: dict[int, Array] = {}
        groups: dict[tuple[int, ...], list[int]] = {}
        for index, array in enumerate(requests):
            answers.append(InputError("not answered"))
            try:
                self._check(array)
                rows[index] = self._prepare(array)
            except InputError as error:
                answers[index] = error
            else:
                groups.setdefault(rows[index].shape[1:], []).append(index)
        for indices in groups.values():
            for index, answer in zip(indices, self._run([rows[i] for i in indices]), strict=True):
                answers[index] = answer
        return answers

    def _run(self, arrays: list[Array]) -> list[Answer]:
        """One call for all arrays; if it fails, one call each, so that only the bad one fails."""
        try:
            outputs = self._engine(np.concatenate(arrays))
        except Exception as error:
            if len(arrays) == 1:
                return [error]
            return [answer for array in arrays for answer in self._run([array])]
        ends = np.cumsum([len(array) for array in arrays])[:-1]
        return list(zip(*(np.split(output, ends) for output in outputs), strict=True))


def check_token_ids(*vocabularies: int) -> Check:
    """TOKEN_IDS int64 (B, T), or (B, n, T) for n encoders: each below its vocabulary's size."""

    def check(array: Array) -> None:
        per_encoder = array.reshape(len(array), len(vocabularies), -1)
        for encoder, vocabulary in enumerate(vocabularies):
            ids = per_encoder[:, encoder]
            bad = ids[(ids < 0) | (ids >= vocabulary)]
            if bad.size:
                raise InputError(f"TOKEN_IDS: got {bad[0]}, allowed: 0 to {vocabulary - 1}")

    return check


def check_images(side_multiple: int, largest: int) -> Check:
    """IMAGE (B, 3, H, W) float32: in [-1, 1], sides multiples of `side_multiple` pixels."""

    def check(array: Array) -> None:
        _check_sides("IMAGE", array, side_multiple, side_multiple, largest)
        _check_finite("IMAGE", array)
        worst = np.abs(array).max()
        if worst > 1:
            raise InputError(f"IMAGE: got the value {worst:.4g}, allowed: -1 to 1")

    return check


def check_latents(multiple: int, largest: int) -> Check:
    """LATENT (B, C, h, w) float32: finite, sides multiples of `multiple`, at most `largest`."""

    def check(array: Array) -> None:
        _check_sides("LATENT", array, multiple, multiple, largest)
        _check_finite("LATENT", array)

    return check


def image_rows(side: int, decode: DecodePicture = decode) -> Prepare:
    """IMAGE (B, 1), image files -> (B, 3, side, side) float32 in [-1, 1], letterboxed."""

    def prepare(array: Array) -> Array:
        try:
            return np.stack([letterboxed_row(data, side, decode) for data in array.reshape(-1)])
        except ImageFileError as refused:
            raise InputError(f"{IMAGE}: {refused}") from refused

    return prepare


def check_denoiser_inputs(arrays: Mapping[str, Array], ports: Sequence[InputPort]) -> None:
    """Checks the inputs of the model `denoiser`: equal sizes per axis, existing routes and slots.

    arrays: inputs by name. ports: the model's. Raises InputError.
    """
    sizes: dict[str, tuple[int, str]] = {}
    for port in ports:
        array = arrays[port.name]
        for axis, size in zip(port.axes, array.shape, strict=True):
            if isinstance(axis, str):
                expected, other = sizes.setdefault(axis, (size, port.name))
                _check_equal(port.name, axis, size, expected, other)
        if array.dtype.kind == "f":
            _check_finite(port.name, array)
    counts = {"route": ("nothing", ROWS), "slot": ("everywhere", REFERENCES)}
    for port in ports:
        if port.example in counts:
            nothing, counted = counts[port.example]
            _check_slots(port.name, arrays[port.name], nothing, sizes[counted][0])


def _check_slots(name: str, array: Array, nothing: str, count: int) -> None:
    outside = array[(array < -1) | (array >= count)]
    if outside.size:
        raise InputError(f"{name}: got {outside[0]}, allowed: -1 ({nothing}) to {count - 1}")


def _check_equal(name: str, what: str, found: int, expected: int, other: str) -> None:
    if found != expected:
        raise InputError(f"{name}: got {what} {found}, allowed: {expected}, as in {other}")


def _check_sides(name: str, array: Array, multiple: int, least: int, largest: int) -> None:
    for axis, side in zip(("height", "width"), array.shape[-2:], strict=True):
        if not least <= side <= largest or side % multiple:
            raise InputError(
                f"{name}: got {axis} {side}, allowed: multiples of {multiple} "
                f"from {least} to {largest}"
            )


def _check_finite(name: str, array: Array) -> None:
    finite = np.isfinite(array)
    if not finite.all():
        raise InputError(f"{name}: got {array[~finite][0]}, allowed: finite numbers")
