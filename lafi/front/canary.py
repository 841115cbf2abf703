"""The smallest storyboard, drawn now and then by an idle server so that it is known to draw."""

from __future__ import annotations

import json
from pathlib import Path

from tritonclient.grpc import service_pb2
from tritonclient.utils import serialize_byte_tensor

from lafi.board.limits import MIN_SIDE
from lafi.model.info import ModelInfo, ModelInfoError, load_model_info
from lafi.wire.model_spec import EVENT, REFERENCES, STORYBOARD, bytes_tensor, storyboard_spec


def canary_request(artifacts: Path) -> bytes | None:
    """A storyboard of one panel, one step and the model's least side.

    artifacts: the folder that `lafi export` wrote. None where it holds no model of ours.
    """
    try:
        side = least_side(load_model_info(artifacts))
    except ModelInfoError:
        return None
    story = {
        "width": side,
        "height": side,
        "sampling": {"steps": 1},
        "panels": [{"prompt": "a canary"}],
    }
    request = service_pb2.ModelInferRequest(model_name=storyboard_spec().name, id="canary")
    tensors = {STORYBOARD: json.dumps(story).encode(), REFERENCES: b""}
    for name, element in tensors.items():
        request.inputs.add(name=name, datatype="BYTES", shape=[1])
        request.raw_input_contents.append(serialize_byte_tensor(bytes_tensor(element)).item())
    return bytes(request.SerializeToString())


def least_side(info: ModelInfo) -> int:
    """The least side of a square panel in pixels that the model draws in any precision."""
    return -(-MIN_SIDE // (2 * info.side_multiple)) * 2 * info.side_multiple


def outcome_of(answers: list[bytes]) -> str | None:
    """What the answers to the canary say: "" drawn, None refused or unknown, else what failed."""
    for answer in answers:
        response = service_pb2.ModelStreamInferResponse.FromString(answer).infer_response
        for output, raw in zip(response.outputs, response.raw_output_contents, strict=True):
            event = json.loads(raw[4:]) if output.name == EVENT else {}
            if event.get("kind") == "failed":
                return str(event.get("error"))
            if event.get("kind") == "panel":
                return ""
    return None
