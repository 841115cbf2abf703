"""What passes to Triton Server: never more than a known model takes, and nothing silently less."""

import struct
from typing import Any

import grpc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tritonclient.grpc import model_config_pb2, service_pb2

from lafi.front.known_models import largest_request, spec_of
from lafi.front.request_check import CleanRequest, RequestRefused, clean, parse
from lafi.wire.model_spec import ANY, ModelSpec, TensorSpec, config_pbtxt, storyboard_spec

STORYBOARD = storyboard_spec()
DECODER = ModelSpec(
    "decoder",
    (TensorSpec("LATENT", "FP32", (2, ANY)), TensorSpec("SEED", "INT64", (1,), optional=True)),
    (TensorSpec("IMAGE", "FP32", (3, ANY)),),
    max_batch_size=4,
)
MODELS = {spec.name: spec for spec in (STORYBOARD, DECODER)}
LIMIT = 2**20


def raw_bytes(*elements: bytes) -> bytes:
    return b"".join(struct.pack("<I", len(element)) + element for element in elements)


def storyboard_request(**fields: Any) -> service_pb2.ModelInferRequest:
    request = service_pb2.ModelInferRequest(model_name="storyboard", **fields)
    for name in ("STORYBOARD", "REFERENCES"):
        request.inputs.add(name=name, datatype="BYTES", shape=[1])
        request.raw_input_contents.append(raw_bytes(b"{}"))
    return request


def latent_request(shape: list[int], data: bytes) -> service_pb2.ModelInferRequest:
    request = service_pb2.ModelInferRequest(model_name="decoder")
    request.inputs.add(name="LATENT", datatype="FP32", shape=shape)
    request.raw_input_contents.append(data)
    return request


def cleaned(request: service_pb2.ModelInferRequest) -> CleanRequest:
    return clean(request, MODELS, LIMIT)


def test_a_good_request_passes_as_it_is() -> None:
    request = storyboard_request(id="a")
    request.parameters["triton_enable_empty_final_response"].bool_param = True
    request.outputs.add(name="EVENT")
    found = cleaned(request)
    assert found.request == request
    assert found.spec == STORYBOARD
    assert found.ignored == ()


def test_what_no_model_takes_is_left_out_and_named() -> None:
    request = storyboard_request()
    request.outputs.add(name="EVENT").parameters["classification"].int64_param = 3
    request.inputs[0].parameters["colour"].string_param = "red"
    for name in ("sequence_id", "sequence_start", "priority", "timeout", "lafi_request"):
        request.parameters[name].int64_param = 7
    found = cleaned(request)
    expected = storyboard_request()
    expected.outputs.add(name="EVENT")
    assert found.request == expected
    assert sorted(found.ignored) == [
        "classification",
        "colour",
        "lafi_request",
        "priority",
        "sequence_id",
        "sequence_start",
        "timeout",
    ]


def test_elements_that_are_not_raw_pass_too() -> None:
    request = service_pb2.ModelInferRequest(model_name="decoder")
    tensor = request.inputs.add(name="LATENT", datatype="FP32", shape=[1, 2, 3])
    tensor.contents.fp32_contents.extend(range(6))
    assert cleaned(request).request == request
    tensor.contents.int_contents.append(1)
    with pytest.raises(RequestRefused, match="allowed: 6 and no other field"):
        cleaned(request)


def changed(change: str) -> service_pb2.ModelInferRequest:
    request = storyboard_request()
    match change:
        case "name":
            request.model_name = "storyboard\0"
        case "version":
            request.model_version = "2"
        case "id":
            request.id = "a\nb"
        case "missing":
            del request.inputs[1], request.raw_input_contents[1]
        case "unknown input":
            request.inputs[1].name = "REFERENCES\0"
        case "twice":
            request.inputs[1].name = "STORYBOARD"
        case "dtype":
            request.inputs[0].datatype = "FP32"
        case "shape":
            request.inputs[0].shape[0] = 2**40
        case "negative":
            request.inputs[1].shape[0] = -1
        case "dimensions":
            request.inputs[1].shape.append(1)
        case "many":
            request.inputs[1].shape[0] = 2**40
        case "raw":
            request.raw_input_contents[1] = struct.pack("<I", 2**31) + b"a"
        case "left over":
            request.raw_input_contents[1] = raw_bytes(b"a", b"b")
        case "no data":
            del request.raw_input_contents[:]
        case "one raw":
            del request.raw_input_contents[1]
        case "both":
            request.inputs[0].contents.bytes_contents.append(b"{}")
        case "output":
            request.outputs.add(name="SECRET")
        case "shared input":
            request.inputs[0].parameters["shared_memory_region"].string_param = "x"
        case "shared output":
            request.outputs.add(name="EVENT").parameters["shared_memory_offset"].int64_param = 1
        case "large":
            request.raw_input_contents[0] = raw_bytes(b"a" * LIMIT)
    return request


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ("name", r"unknown model: 'storyboard\\x00' is not found"),
        ("version", "model_version: got '2', allowed: 1 or none"),
        ("id", r"id: got 'a\\nb', allowed: up to 256 printable"),
        ("missing", "inputs: REFERENCES missing"),
        ("unknown input", r"inputs: got 'REFERENCES\\x00', allowed: STORYBOARD, REFERENCES"),
        ("twice", "inputs: got STORYBOARD 2 times, allowed: once"),
        ("dtype", "STORYBOARD: got datatype 'FP32', allowed: BYTES"),
        ("shape", r"STORYBOARD: got shape \[1099511627776\], allowed: \[1\]"),
        ("negative", r"REFERENCES: got shape \[-1\], allowed: \[-1\], where -1 is any number"),
        ("dimensions", r"REFERENCES: got shape \[1, 1\]"),
        ("many", "REFERENCES: got 1099511627776 elements, allowed: at most 4096"),
        ("raw", "REFERENCES: got bytes that are not 1 elements"),
        ("left over", "REFERENCES: got bytes that are not 1 elements"),
        ("no data", "STORYBOARD: got 0 elements in bytes_contents, allowed: 1"),
        ("one raw", "raw_input_contents: got 1 tensors, allowed: one for each of 2 inputs"),
        ("both", "STORYBOARD: got contents beside raw_input_contents"),
        ("output", "outputs: got 'SECRET', allowed: EVENT, IMAGE"),
        ("shared input", r"inputs\[STORYBOARD\]\.parameters\.shared_memory_region: shared memory"),
        ("shared output", "shared memory is closed to clients"),
        ("large", "the request: got .* bytes, larger than max"),
    ],
)
def test_what_a_model_does_not_take_is_refused_by_name(change: str, text: str) -> None:
    with pytest.raises(RequestRefused, match=text):
        cleaned(changed(change))


def test_an_unknown_model_is_not_found() -> None:
    with pytest.raises(RequestRefused) as refused:
        cleaned(changed("name"))
    assert refused.value.code is grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize(
    ("shape", "size", "text"),
    [
        ([5, 2, 3], 120, "a batch of at most 4"),
        ([1, 3, 3], 36, "got shape"),
        ([1, 2, 0], 0, "got shape"),
        ([1, 2, 3], 20, "got 20 bytes, allowed: 24"),
    ],
)
def test_numbers_must_fill_their_shape(shape: list[int], size: int, text: str) -> None:
    with pytest.raises(RequestRefused, match=text):
        cleaned(latent_request(shape, bytes(size)))
    assert cleaned(latent_request([4, 2, 3], bytes(96))).ignored == ()


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 400), st.integers(0, 255))
def test_any_bytes_are_refused_or_name_a_known_model(noise: bytes, place: int, value: int) -> None:
    good = bytearray(storyboard_request(id="x").SerializeToString())
    good[place % len(good)] = value
    for raw in (noise, bytes(good)):
        try:
            found = cleaned(parse(raw, service_pb2.ModelInferRequest))
        except RequestRefused as refused:
            assert str(refused)
        else:
            assert found.request.model_name in MODELS
            names = {tensor.name for tensor in found.request.inputs}
            assert names == {"STORYBOARD", "REFERENCES"}


def test_invalid_utf8_in_a_name_is_refused() -> None:
    raw = storyboard_request(id="abcd").SerializeToString().replace(b"abcd", b"ab\xff\xfe")
    with pytest.raises(RequestRefused, match="names in valid UTF-8"):
        parse(raw, service_pb2.ModelInferRequest)


@pytest.mark.parametrize("spec", [STORYBOARD, DECODER])
def test_a_spec_is_read_back_from_the_configuration(spec: ModelSpec) -> None:
    from google.protobuf import text_format

    config = text_format.Parse(config_pbtxt(spec), model_config_pb2.ModelConfig())
    assert spec_of(config) == spec


def test_a_request_is_no_larger_than_its_tensors_can_be() -> None:
    fixed = ModelSpec("ids", (TensorSpec("IDS", "INT64", (77,)),), (), max_batch_size=16)
    assert largest_request(fixed, LIMIT) == 77 * 8 * 16 + 64 * 2**10
    assert largest_request(fixed, 1000) == 1000
    assert largest_request(STORYBOARD, LIMIT) == LIMIT
