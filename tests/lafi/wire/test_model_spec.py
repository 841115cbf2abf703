import pytest
from google.protobuf import text_format
from hypothesis import given, settings
from hypothesis import strategies as st
from tritonclient.grpc import model_config_pb2 as pb

from lafi.model.info import ModelInfo
from lafi.wire.model_spec import (
    ModelSpec,
    TensorSpec,
    config_pbtxt,
    enrolment_spec,
    served_models,
)

DTYPES = ["BYTES", "FP32", "INT32", "INT64"]
# What versions wrote that put the text together by hand.
ENROLMENT_BEFORE = r"""
name: "identity_enrolment"
backend: "python"
max_batch_size: 0
input [ { name: "ACTION", data_type: TYPE_STRING, dims: [ 1 ] } ]
input [ { name: "CHARACTER", data_type: TYPE_STRING, dims: [ 1 ] } ]
input [ { name: "IMAGES", data_type: TYPE_STRING, dims: [ -1 ] } ]
input [ { name: "DESCRIPTION", data_type: TYPE_STRING, dims: [ 1 ], optional: true } ]
output [ { name: "PICTURES", data_type: TYPE_INT64, dims: [ 1 ] } ]
instance_group [ { kind: KIND_CPU, count: 1 } ]
parameters { key: "a", value: { string_value: "\345\245\263\012\042q\042 \134" } }
parameters { key: "b", value: { string_value: "x" } }
"""
DECODER_BEFORE = """
name: "decoder"
backend: "tensorrt"
max_batch_size: 8
input [ { name: "LATENT", data_type: TYPE_FP32, dims: [ 4, -1, -1 ] } ]
output [ { name: "IMAGE", data_type: TYPE_FP32, dims: [ 3, -1, -1 ] } ]
instance_group [ { kind: KIND_GPU, count: 1 } ]
model_transaction_policy { decoupled: true }
dynamic_batching { max_queue_delay_microseconds: 7 }
"""


def read_back(text: str) -> pb.ModelConfig:
    return text_format.Parse(text, pb.ModelConfig())


def data_type(spec: TensorSpec) -> int:
    number: int = pb.DataType.Value("TYPE_" + {"BYTES": "STRING"}.get(spec.dtype, spec.dtype))
    return number


TENSORS = st.lists(
    st.builds(
        TensorSpec,
        name=st.text("ABCabc_", min_size=1, max_size=8),
        dtype=st.sampled_from(DTYPES),
        shape=st.lists(st.integers(-1, 4096).filter(bool), min_size=1, max_size=4).map(tuple),
    ),
    min_size=1,
    max_size=3,
).map(tuple)
PARAMETERS = st.dictionaries(st.text(min_size=1, max_size=9), st.text(max_size=20), max_size=3)


@settings(deadline=None, max_examples=50)
@given(
    st.builds(
        ModelSpec,
        name=st.text("abc_", min_size=1, max_size=8),
        inputs=TENSORS,
        outputs=TENSORS,
        max_batch_size=st.integers(0, 64),
        decoupled=st.booleans(),
        dynamic_batching=st.booleans(),
    ),
    PARAMETERS,
)
def test_config_says_what_the_spec_says(spec: ModelSpec, parameters: dict[str, str]) -> None:
    config = read_back(config_pbtxt(spec, parameters=parameters))
    assert (config.name, config.backend) == (spec.name, "python")
    assert config.max_batch_size == spec.max_batch_size
    for read, written in ((config.input, spec.inputs), (config.output, spec.outputs)):
        expected = [(t.name, data_type(t), t.shape) for t in written]
        assert [(t.name, t.data_type, tuple(t.dims)) for t in read] == expected
    assert config.model_transaction_policy.decoupled == spec.decoupled
    assert config.HasField("dynamic_batching") == spec.dynamic_batching
    (group,) = config.instance_group
    assert (group.kind, group.count) == (pb.ModelInstanceGroup.KIND_CPU, 1)
    assert {key: value.string_value for key, value in config.parameters.items()} == parameters


def test_a_config_means_what_it_meant_before() -> None:
    parameters = {"b": "x", "a": '女\n"q" \\'}
    enrolment = config_pbtxt(enrolment_spec(), parameters=parameters)
    assert read_back(enrolment) == read_back(ENROLMENT_BEFORE)
    latent, image = (
        TensorSpec("LATENT", "FP32", (4, -1, -1)),
        TensorSpec("IMAGE", "FP32", (3, -1, -1)),
    )
    spec = ModelSpec("decoder", (latent,), (image,), 8, decoupled=True, dynamic_batching=True)
    decoder = config_pbtxt(spec, backend="tensorrt", max_queue_delay_us=7, kind="KIND_GPU")
    assert read_back(decoder) == read_back(DECODER_BEFORE)
    assert enrolment.isascii()


def test_options_of_a_config(small_model: ModelInfo) -> None:
    *_, decoder = served_models(small_model)
    config = read_back(config_pbtxt(decoder, backend="onnxruntime", max_queue_delay_us=7))
    assert config.backend == "onnxruntime"
    assert config.dynamic_batching.max_queue_delay_microseconds == 7


def test_an_instance_on_a_gpu(small_model: ModelInfo) -> None:
    *_, decoder = served_models(small_model)
    config = read_back(config_pbtxt(decoder, backend="tensorrt", kind="KIND_GPU"))
    (group,) = config.instance_group
    assert (group.kind, group.count) == (pb.ModelInstanceGroup.KIND_GPU, 1)


def test_the_served_models(small_model: ModelInfo) -> None:
    storyboard, text, encoder, decoder = served_models(small_model)
    assert (storyboard.max_batch_size, storyboard.decoupled) == (0, True)
    for spec in (text, encoder, decoder):
        assert spec.max_batch_size > 0
        assert spec.dynamic_batching
        assert not spec.decoupled
    assert text.inputs == (TensorSpec("TOKEN_IDS", "INT64", (48,)),)
    skipping = served_models(small_model.model_copy(update={"most_clip_skip": 2}))[1]
    assert skipping.inputs[1:] == (TensorSpec("CLIP_SKIP", "INT64", (1,), optional=True),)
    assert text.outputs == (TensorSpec("TEXT", "FP32", (48, 64)),)
    assert encoder.inputs == decoder.outputs == (TensorSpec("IMAGE", "FP32", (3, -1, -1)),)
    assert encoder.outputs == decoder.inputs == (TensorSpec("LATENT", "FP32", (4, -1, -1)),)


def test_the_denoiser_is_optional_and_has_the_engines_own_inputs(small_model: ModelInfo) -> None:
    denoiser = served_models(small_model, with_denoiser=True)[-1]
    names = ["latents", "timesteps", "text", "routes", "bias", "mask", "region", "words"]
    assert [tensor.name for tensor in denoiser.inputs] == names
    assert denoiser.inputs[3] == TensorSpec("routes", "INT32", (3, -1, -1))
    assert denoiser.max_batch_size == 0


def test_a_variant_is_served_by_the_models_own_but_for_its_texts(small_model: ModelInfo) -> None:
    vae = ("vae_encoder.onnx", "vae_decoder.onnx")
    style, words = (
        small_model.model_copy(update={"variant": name, "shared": (*vae, file)})
        for name, file in (("ink", "text_encoder.onnx"), ("mia", "denoiser.onnx"))
    )
    specs = served_models(small_model, (style, words), with_denoiser=True)
    assert [spec.name for spec in specs] == [
        "storyboard",
        "text_encoder",
        "text_encoder_mia",
        "vae_encoder",
        "vae_decoder",
        "denoiser",
    ]
    config = read_back(config_pbtxt(specs[2]))
    assert (config.name, config.max_batch_size) == ("text_encoder_mia", specs[1].max_batch_size)
    assert specs[2].inputs == specs[1].inputs


def test_a_model_with_two_text_encoders_has_more_inputs_and_outputs(
    small_model: ModelInfo,
) -> None:
    model = small_model.model_copy(update={"pooled_width": 20})
    specs = served_models(model, with_denoiser=True)
    text, denoiser = specs[1], specs[-1]
    assert text.inputs == (TensorSpec("TOKEN_IDS", "INT64", (2, 48)),)
    assert text.outputs[1:] == (TensorSpec("POOLED", "FP32", (20,)),)
    assert denoiser.inputs[-2:] == (
        TensorSpec("pooled", "FP32", (-1, 20)),
        TensorSpec("time_ids", "FP32", (-1, 6)),
    )


@pytest.mark.parametrize("value", ['a "b" \\ c', "line\nbreak", "女孩\x00\x7f", "/a/b c"])
def test_parameters_may_hold_any_text(small_model: ModelInfo, value: str) -> None:
    config = read_back(config_pbtxt(served_models(small_model)[0], parameters={"key": value}))
    assert config.parameters["key"].string_value == value
