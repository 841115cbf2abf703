"""Requests that no client of ours would send: mutated gRPC, damaged pictures, any JSON."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Iterator, Sequence
from typing import Any

import grpc
import numpy as np
from PIL import Image
from tritonclient.grpc import service_pb2, service_pb2_grpc

from benchmarks.faults.attempt import Attempt, Bench, rng_of
from benchmarks.faults.drawing import OPTIONS, board, document_request
from lafi_client.wire import storyboard_request

SECONDS = 30.0
STREAM, INFER = "ModelStreamInfer", "ModelInfer"
MODELS = ("storyboard", "vae_decoder", "identity", "storyboard_control", "nobody", "")
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "TIFF", "AVIF")


class _Fuzz:
    """Tries on one server, which must be alive after each of them."""

    name: str
    at_once: int

    def attempts(self, bench: Bench, numbers: Sequence[int]) -> Iterator[Attempt]:
        """Every answer is an answer: an error of a known kind, or events."""
        with bench.serve() as served:
            restarts = served.restarts()
            for number in numbers:
                rng = rng_of(self.name, number)
                with grpc.insecure_channel(served.url, OPTIONS) as channel:
                    wrong = [line for _ in range(self.at_once) if (line := self.one(channel, rng))]
                wrong += served.harm_since(restarts)
                yield Attempt("; ".join(wrong[:3]))

    def one(self, channel: grpc.Channel, rng: random.Random) -> str:
        """Send one; what is wrong with the answer."""
        raise NotImplementedError


class FuzzRequests(_Fuzz):
    """A try is 100 mutated requests, as bytes and as messages, to any method."""

    name = "fuzz of gRPC requests"
    demand = "20,000 mutated gRPC requests through the front: 0 crashes, 0 hangs"
    full, short = 200, 3
    at_once = 100

    def one(self, channel: grpc.Channel, rng: random.Random) -> str:
        """A mutated request to one of the two methods that infer."""
        request = storyboard_request(board(rng.randrange(10**6), panels=1, steps=1))
        raw = _mutated_bytes(request, rng) if rng.random() < 0.5 else _mutated(request, rng)
        if rng.random() < 0.7:
            call = channel.stream_stream(f"/inference.GRPCInferenceService/{STREAM}")
            return _answered(lambda: [*call(iter([raw]), timeout=SECONDS)])
        unary = channel.unary_unary(f"/inference.GRPCInferenceService/{INFER}")
        return _answered(lambda: unary(raw, timeout=SECONDS))


class FuzzImages(_Fuzz):
    """A try is 50 damaged pictures as references."""

    name = "fuzz of pictures"
    demand = "5,000 images: 0 crashes, 0 hangs"
    full, short = 100, 2
    at_once = 50

    def one(self, channel: grpc.Channel, rng: random.Random) -> str:
        """A storyboard with a damaged picture."""
        document = {
            "width": 32,
            "height": 32,
            "sampling": {"steps": 1},
            "characters": [{"name": "mia", "prompt": "a child", "reference": 0}],
            "panels": [{"prompt": "{mia}", "seed": rng.randrange(10**6)}],
        }
        return _answers_to(channel, json.dumps(document).encode(), _damaged_picture(rng))


class FuzzDocuments(_Fuzz):
    """A try is 100 storyboards with fields of any value."""

    name = "fuzz of storyboards"
    demand = "schema fuzz: 0 crashes, 0 hangs, no INTERNAL"
    full, short = 100, 2
    at_once = 100

    def one(self, channel: grpc.Channel, rng: random.Random) -> str:
        """A document that is nearly a storyboard."""
        document = json.loads(board(1, panels=1, steps=1).model_dump_json(exclude_defaults=True))
        for _ in range(rng.randint(1, 4)):
            document = _changed(document, rng)
        text = json.dumps(document).encode("utf-8", "surrogatepass")
        return _answers_to(channel, text, about=text[:200])


def _answers_to(
    channel: grpc.Channel, document: bytes, picture: bytes = b"", about: bytes = b""
) -> str:
    """What is wrong with the answers to a storyboard as JSON."""
    stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
    request = document_request(document, picture)
    return _answered(lambda: [*stub.ModelStreamInfer(iter([request]), timeout=SECONDS)], about)


def _answered(ask: Any, about: bytes = b"") -> str:
    """What is wrong with an answer: a hang, a lost server, or an error that is ours."""
    try:
        answers = ask()
    except grpc.RpcError as error:
        code = error.code()
        said = f"{code.name}: {error.details()}"
        # What is no message at all is gRPC's own INTERNAL.
        ours = code is grpc.StatusCode.INTERNAL and "request " in str(error.details())
        lost = code in (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNKNOWN)
        gone = code is grpc.StatusCode.UNAVAILABLE and "try again later" not in said
        return f"{said} {about!r}" if ours or lost or gone else ""
    if not isinstance(answers, list):
        return ""
    bad = [answer.error_message for answer in answers if isinstance(answer, _Answer)]
    return next((f"{text} {about!r}" for text in bad if text.startswith("INTERNAL")), "")


_Answer = service_pb2.ModelStreamInferResponse


def _mutated_bytes(request: service_pb2.ModelInferRequest, rng: random.Random) -> bytes:
    data = bytearray(request.SerializeToString())
    for _ in range(rng.randint(1, 8)):
        place = rng.randrange(len(data))
        match rng.randrange(4):
            case 0:
                data[place] ^= 1 << rng.randrange(8)
            case 1:
                del data[place : place + rng.randint(1, 20)]
            case 2:
                data[place:place] = rng.randbytes(rng.randint(1, 20))
            case _:
                data[place:place] = data[: rng.randint(1, len(data))]
        if not data:
            data = bytearray(b"\0")
    return bytes(data)


def _mutated(request: service_pb2.ModelInferRequest, rng: random.Random) -> bytes:
    """The message with fields that mean something to Triton Server."""
    for _ in range(rng.randint(1, 3)):
        tensor = rng.choice(request.inputs)
        match rng.randrange(9):
            case 0:
                request.model_name = rng.choice(MODELS)
            case 1:
                tensor.shape[:] = [rng.choice([-1, 0, 1, 2, 2**31, 2**62]) for _ in range(3)]
            case 2:
                tensor.datatype = rng.choice(["FP32", "BYTES", "INT64", "BF16", "", "X"])
            case 3:
                tensor.name = rng.choice(["STORYBOARD", "REFERENCES", "", "\0", "x" * 300])
            case 4:
                name = rng.choice(["sequence_id", "priority", "timeout", "binary_data", "lafi_key"])
                request.parameters[name].int64_param = rng.choice([0, 1, -1, 2**63 - 1])
            case 5:
                output = request.outputs.add(name=rng.choice(["EVENT", "IMAGE", "NOBODY", ""]))
                output.parameters["classification"].int64_param = rng.randint(-1, 3)
            case 6:
                request.raw_input_contents.append(rng.randbytes(rng.randint(0, 40)))
            case 7:
                del request.raw_input_contents[rng.randrange(len(request.raw_input_contents)) :]
                request.raw_input_contents.append(b"\xff\xff\xff\x7f")
            case _:
                region = rng.choice(["", "x", "/dev/shm/x"])
                tensor.parameters["shared_memory_region"].string_param = region
    return bytes(request.SerializeToString())


def _damaged_picture(rng: random.Random) -> bytes:
    size = (rng.randint(8, 64), rng.randint(8, 64))
    pixels = np.frombuffer(rng.randbytes(3 * size[0] * size[1]), dtype=np.uint8)
    buffer = io.BytesIO()
    image = Image.fromarray(pixels.reshape(size[1], size[0], 3), mode="RGB")
    image.save(buffer, format=rng.choice(FORMATS))
    data = bytearray(buffer.getvalue())
    for _ in range(rng.randint(0, 6)):
        data[rng.randrange(len(data))] = rng.randrange(256)
    if rng.random() < 0.3:
        del data[rng.randrange(len(data)) :]
    return bytes(data)


def _changed(document: Any, rng: random.Random) -> Any:
    """The document with one value, somewhere, replaced, removed or moved."""
    if isinstance(document, dict) and document and rng.random() < 0.8:
        key = rng.choice(sorted(document))
        if rng.random() < 0.15:
            return {name: value for name, value in document.items() if name != key}
        if rng.random() < 0.1:
            return {**document, rng.choice(["x", "\ud800", "panels", "seed"]): document[key]}
        return {**document, key: _changed(document[key], rng)}
    if isinstance(document, list) and document and rng.random() < 0.8:
        place = rng.randrange(len(document))
        changed = _changed(document[place], rng)
        return [*document[:place], changed, *document[place + 1 :]]
    values: list[Any] = [
        None,
        True,
        -1,
        0,
        1,
        2**70,
        1e308,
        -0.0,
        "",
        "\0",
        "x" * 3000,
        [],
        {},
        [[]],
        "{mia}",
    ]
    return rng.choice(values)
