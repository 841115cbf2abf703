"""An engine on both sides of the wire: served as a model, and called as one.

`BatchedEngine` is what the models text_encoder, vae_encoder and vae_decoder run: many requests, one
call. `RemoteEngine` is an engine whose calls are answered by such a model; the pipeline cannot tell
it from one in its own process. Both know arrays and a `ModelSpec`, not Triton Server.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lafi.contract import ModelSpec
from lafi.engine.base import DenoiserBatch

Array = npt.NDArray[Any]
Infer = Callable[[str, Mapping[str, Array]], Mapping[str, Array]]
Check = Callable[[Array], None]
Engine = Callable[[Tensor], Tensor]


class InputError(ValueError):
    """An input tensor that the engine cannot take; the text names tensor, value and allowed."""


class ServedModelError(RuntimeError):
    """A served model answered with an error. retryable: whether asking again may help."""

    def __init__(self, model: str, message: str) -> None:
        super().__init__(f"the model {model} failed: {message}")
        self.retryable = not message.startswith("INVALID_ARGUMENT")


class RemoteEngine:
    """Calls a served model with one input and one output, in batches that it allows."""

    def __init__(self, spec: ModelSpec, infer: Infer) -> None:
        self._spec = spec
        self._infer = infer

    def __call__(self, rows: Tensor) -> Tensor:
        """(B, ...) of the model's input -> (B, ...) of its output, any B of 1 or more."""
        chunks = rows.contiguous().split(self._spec.max_batch_size)
        return torch.cat([self._call(chunk) for chunk in chunks])

    def _call(self, rows: Tensor) -> Tensor:
        outputs = self._infer(self._spec.name, {self._spec.inputs[0].name: rows.numpy()})
        # A copy: the array may lie in memory that is given back when the response goes.
        return torch.from_numpy(np.array(outputs[self._spec.outputs[0].name]))


class BatchedEngine:
    """Answers many requests with as few engine calls as their shapes allow.

    A bad request gets its own error and does not touch the others.
    """

    def __init__(self, spec: ModelSpec, engine: Engine, check: Check) -> None:
        self.spec = spec
        self._engine = engine
        self._check = check

    def answer(self, requests: Sequence[Array]) -> list[Array | Exception]:
        """(B_i, ...) for each request -> an output (B_i, ...) or an error for each, in order."""
        answers: list[Array | Exception] = []
        groups: dict[tuple[int, ...], list[int]] = {}
        for index, array in enumerate(requests):
            answers.append(InputError("not answered"))
            try:
                self._check(array)
            except InputError as error:
                answers[index] = error
            else:
                groups.setdefault(array.shape[1:], []).append(index)
        for indices in groups.values():
            for index, answer in zip(
                indices, self._run([requests[i] for i in indices]), strict=True
            ):
                answers[index] = answer
        return answers

    def _run(self, arrays: list[Array]) -> list[Array | Exception]:
        """One call for all; if it fails, one for each, so that a failure stays with its request."""
        try:
            rows = torch.from_numpy(np.concatenate(arrays))
            output = self._engine(rows).contiguous().numpy()
        except Exception as error:
            if len(arrays) == 1:
                return [error]
            return [answer for array in arrays for answer in self._run([array])]
        ends = np.cumsum([len(array) for array in arrays])[:-1]
        return list(np.split(output, ends))


def check_token_ids(vocabulary: int) -> Check:
    """TOKEN_IDS (B, T) int64: each in [0, vocabulary)."""

    def check(array: Array) -> None:
        bad = array[(array < 0) | (array >= vocabulary)]
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


def denoiser_batch(arrays: Mapping[str, Array]) -> DenoiserBatch:
    """Inputs of the model `denoiser` by name -> one batch, checked; InputError otherwise."""
    latents, routes = arrays["latents"], arrays["routes"]
    rows = len(latents)
    for name, array in arrays.items():
        _check_equal(name, "rows", array.shape[1 if name == "routes" else 0], rows, "latents")
        if array.dtype.kind == "f":
            _check_finite(name, array)
    for name in ("bias", "region"):
        _check_equal(name, "references", arrays[name].shape[1], routes.shape[2], "routes")
    for name in ("mask", "region"):
        _check_equal(name, "height", arrays[name].shape[-2], latents.shape[-2], "latents")
        _check_equal(name, "width", arrays[name].shape[-1], latents.shape[-1], "latents")
    outside = routes[(routes < -1) | (routes >= rows)]
    if outside.size:
        raise InputError(f"routes: got {outside[0]}, allowed: -1 (nothing) to {rows - 1}")
    return DenoiserBatch(**{name: torch.from_numpy(array) for name, array in arrays.items()})


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
