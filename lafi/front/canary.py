"""The smallest storyboard, drawn now and then by an idle server so that it is known to draw."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy.typing as npt
from tritonclient.grpc import service_pb2
from tritonclient.utils import serialize_byte_tensor

from lafi.board.limits import MIN_SIDE
from lafi.model.info import ModelInfo, ModelInfoError, load_model_info
from lafi.wire.control import Command, command_to_tensors
from lafi.wire.model_spec import EVENT, REFERENCES, STORYBOARD, bytes_tensor, storyboard_spec


def canary_request(artifacts: Path, seed: int) -> bytes | None:
    """A storyboard of one panel, one step and the model's least side.

    artifacts: the folder that `lafi export` wrote. None where it holds no model of ours.
    seed: another one each time, since a panel that was drawn before comes from the store.
    """
    try:
        side = least_side(load_model_info(artifacts))
    except ModelInfoError:
        return None
    story = {
        "width": side,
        "height": side,
        "sampling": {"steps": 1},
        "panels": [{"prompt": "a canary", "seed": seed}],
    }
    return _request({STORYBOARD: bytes_tensor(json.dumps(story).encode())})


def acknowledgement(identifier: str) -> bytes:
    """The request that lets the canary's panel go."""
    command = Command(action="acknowledge", id=identifier, panels=(0,))
    return _request(command_to_tensors(command))


def _request(tensors: Mapping[str, npt.NDArray[Any]]) -> bytes:
    request = service_pb2.ModelInferRequest(model_name=storyboard_spec().name, id="canary")
    for name, elements in {REFERENCES: bytes_tensor(b""), **tensors}.items():
        request.inputs.add(name=name, datatype="BYTES", shape=[1])
        request.raw_input_contents.append(serialize_byte_tensor(elements).item())
    return bytes(request.SerializeToString())


def least_side(info: ModelInfo) -> int:
    """The least side of a square panel in pixels that the model draws in any precision."""
    return -(-MIN_SIDE // (2 * info.side_multiple)) * 2 * info.side_multiple


def outcome_of(answers: list[bytes]) -> str | None:
    """What the answers to the canary say: "" drawn, None refused or unknown, else what failed."""
    for event in _events(answers):
        if event.get("kind") == "failed":
            return str(event.get("error"))
        if event.get("kind") == "panel":
            return ""
    return None


def id_in(answers: list[bytes]) -> str:
    """The id under which the canary was accepted; "" if it was not."""
    accepted = (event for event in _events(answers) if event.get("kind") == "accepted")
    return str(next(accepted, {}).get("id", ""))


def _events(answers: list[bytes]) -> Iterator[dict[str, Any]]:
    for answer in answers:
        response = service_pb2.ModelStreamInferResponse.FromString(answer).infer_response
        for output, raw in zip(response.outputs, response.raw_output_contents, strict=True):
            if output.name == EVENT:
                yield json.loads(raw[4:])
