"""The served parts are for the server itself, unless it was said that clients may call them."""

from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from front_server import DECODER, FrontServer, front_server
from tritonclient.grpc import service_pb2

from lafi.front.door import OUTER


def decode(rows: int) -> Any:
    request = service_pb2.ModelInferRequest(model_name=DECODER.name)
    request.inputs.add(name="LATENT", datatype="FP32", shape=[rows, 2])
    request.raw_input_contents.append(np.zeros((rows, 2), np.float32).tobytes())
    return request


def status_of(front: FrontServer, rows: int, *, stream: bool = False) -> tuple[str, str]:
    stub = front.stub()
    try:
        if stream:
            answers = list(stub.ModelStreamInfer(iter([decode(rows)]), timeout=20))
            status, _, text = answers[0].error_message.partition(": ")
            return status, text
        stub.ModelInfer(decode(rows), timeout=20)
    except grpc.RpcError as error:
        return error.code().name, error.details()
    return "OK", ""


def test_clients_reach_what_is_for_them_alone(short_folder: Path) -> None:
    assert {*OUTER} == {"storyboard", "storyboard_control", "identity", "identity_enrolment"}
    with front_server(short_folder) as front:
        for stream in (False, True):
            status, text = status_of(front, 1, stream=stream)
            assert status == "PERMISSION_DENIED"
            assert "vae_decoder is a part of the server" in text
            assert "--open-parts" in text
        assert front.triton.received == []


def test_opened_they_take_as_many_rows_and_bytes_as_a_call_may_have(short_folder: Path) -> None:
    with front_server(short_folder, open_parts=True) as front:
        most = DECODER.max_batch_size
        assert status_of(front, most)[0] == "OK"
        status, text = status_of(front, most + 1)
        assert status == "INVALID_ARGUMENT"
        assert f"a batch of at most {most}" in text
        status, text = status_of(front, 2**16)
        assert status == "INVALID_ARGUMENT"
        assert "larger than max" in text
        assert len(front.triton.received) == 1


def test_questions_about_them_are_answered(short_folder: Path) -> None:
    with front_server(short_folder) as front:
        asked = service_pb2.ModelMetadataRequest(name=DECODER.name)
        assert front.stub().ModelMetadata(asked, timeout=20).name == DECODER.name
        with pytest.raises(grpc.RpcError, match="is not found"):
            front.stub().ModelMetadata(service_pb2.ModelMetadataRequest(name="x"), timeout=20)
