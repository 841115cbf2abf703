"""`TensorSpec` and `ModelSpec`: the served models' tensors, and their config.pbtxt."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from lafi.model.artifacts import TEXT_ENCODER, VAE_DECODER, VAE_ENCODER
from lafi.model.families.registry import input_ports, text_stack_of
from lafi.model.info import ModelInfo, RecogniserInfo
from lafi.model.input_port import Axis, InputPort

STORYBOARD, REFERENCES, EVENT, IMAGE = "STORYBOARD", "REFERENCES", "EVENT", "IMAGE"
FACTOR, ENLARGED = "FACTOR", "ENLARGED"
TOKEN_IDS, CLIP_SKIP = "TOKEN_IDS", "CLIP_SKIP"
EMBEDDING, CHARACTER, SCORE = "EMBEDDING", "CHARACTER", "SCORE"
ACTION, IMAGES, PICTURES, DESCRIPTION = "ACTION", "IMAGES", "PICTURES", "DESCRIPTION"
ANY = -1
"""A dimension of any size."""
InstanceKind = Literal["KIND_CPU", "KIND_GPU"]
"""The device that an instance of a served model runs on."""
MAX_QUEUE_DELAY_US = 2000
"""How long dynamic batching may delay a request, microseconds."""


def bytes_tensor(*elements: bytes) -> npt.NDArray[np.object_]:
    """A BYTES tensor of shape (n,).

    Of plain bytes: tritonclient sends the text of an object of any class derived from them.
    """
    tensor = np.empty(len(elements), dtype=object)
    tensor[:] = [bytes(element) for element in elements]
    return tensor


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One tensor: `dtype` in KServe's names (BYTES, FP32, UINT8 ...), `shape` without batch."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    optional: bool = False
    """Whether a request may leave this input out."""


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """One served model. `max_batch_size` 0: Triton Server does not batch; shapes are complete."""

    name: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    max_batch_size: int = 0
    decoupled: bool = False
    dynamic_batching: bool = False


def storyboard_spec() -> ModelSpec:
    """A storyboard in, a stream of events out."""
    return ModelSpec(
        name="storyboard",
        inputs=(TensorSpec(STORYBOARD, "BYTES", (1,)), TensorSpec(REFERENCES, "BYTES", (ANY,))),
        outputs=(TensorSpec(EVENT, "BYTES", (1,)), TensorSpec(IMAGE, "BYTES", (1,))),
        decoupled=True,
    )


def _batched(name: str, given: TensorSpec, made: TensorSpec, max_batch_size: int) -> ModelSpec:
    return ModelSpec(name, (given,), (made,), max_batch_size, dynamic_batching=True)


def _served_name(name: str, file: str, model: ModelInfo) -> str:
    """Of the served model that runs a file: with the variant's name where it has its own."""
    own = bool(model.variant) and file not in model.shared
    return f"{name}_{model.variant}" if own else name


def text_encoder_spec(model: ModelInfo, max_batch_size: int = 16) -> ModelSpec:
    """TOKEN_IDS INT64 -> what the model's text stack gives, such as TEXT FP32 (T, D).

    With one CLIP encoder TOKEN_IDS is (T); with two it is (2, T), and POOLED FP32 (P) is a second
    output. CLIP_SKIP INT64 (1), which may be left out, is 0 to `most_clip_skip`; models without
    layers to skip do not have it. A variant with its own text encoder has its own served model,
    `text_encoder_<variant>`.
    """
    stack = text_stack_of(model)
    outputs = tuple(
        TensorSpec(output.port.upper(), "FP32", _sizes(output.shape))
        for output in stack.outputs(model)
    )
    skip = (TensorSpec(CLIP_SKIP, "INT64", (1,), optional=True),) if model.most_clip_skip else ()
    return ModelSpec(
        name=_served_name("text_encoder", TEXT_ENCODER, model),
        inputs=(TensorSpec(TOKEN_IDS, "INT64", _sizes(stack.ids(model))), *skip),
        outputs=outputs,
        max_batch_size=max_batch_size,
        dynamic_batching=True,
    )


def vae_encoder_spec(model: ModelInfo, max_batch_size: int = 8) -> ModelSpec:
    """IMAGE FP32 (3, H, W) in [-1, 1] -> LATENT FP32 (C, h, w), the scaled mean.

    A model beside has its own, `vae_encoder_<name>`.
    """
    return _batched(
        _served_name("vae_encoder", VAE_ENCODER, model),
        TensorSpec(IMAGE, "FP32", (3, ANY, ANY)),
        TensorSpec("LATENT", "FP32", (model.latent_channels, ANY, ANY)),
        max_batch_size,
    )


def vae_decoder_spec(model: ModelInfo, max_batch_size: int = 8) -> ModelSpec:
    """LATENT FP32 (C, h, w), scaled -> IMAGE FP32 (3, H, W) in [-1, 1].

    A model beside has its own, `vae_decoder_<name>`.
    """
    return _batched(
        _served_name("vae_decoder", VAE_DECODER, model),
        TensorSpec("LATENT", "FP32", (model.latent_channels, ANY, ANY)),
        TensorSpec(IMAGE, "FP32", (3, ANY, ANY)),
        max_batch_size,
    )


def upscaler_spec(max_batch_size: int = 8) -> ModelSpec:
    """IMAGE UINT8 (H, W, 3), RGB, FACTOR INT32 (1) -> ENLARGED UINT8 (FACTOR * H, FACTOR * W, 3).

    All pictures of a request have one factor.
    """
    return ModelSpec(
        name="upscaler",
        inputs=(TensorSpec(IMAGE, "UINT8", (ANY, ANY, 3)), TensorSpec(FACTOR, "INT32", (1,))),
        outputs=(TensorSpec(ENLARGED, "UINT8", (ANY, ANY, 3)),),
        max_batch_size=max_batch_size,
        dynamic_batching=True,
    )


def safety_spec(max_batch_size: int = 16) -> ModelSpec:
    """IMAGE UINT8 (224, 224, 3), RGB -> SCORE FP32 (1), 0 to 1: how likely not safe for work."""
    return ModelSpec(
        name="safety",
        inputs=(TensorSpec(IMAGE, "UINT8", (224, 224, 3)),),
        outputs=(TensorSpec(SCORE, "FP32", (1,)),),
        max_batch_size=max_batch_size,
        dynamic_batching=True,
    )


def identity_spec(recogniser: RecogniserInfo, max_batch_size: int = 16) -> ModelSpec:
    """IMAGE BYTES (1), an image file -> EMBEDDING FP32 (D), CHARACTER BYTES (1), SCORE FP32 (1).

    CHARACTER is empty if unknown; SCORE is still the cosine to the nearest picture, or -1 if no
    character is enrolled.
    """
    return ModelSpec(
        name="identity",
        inputs=(TensorSpec(IMAGE, "BYTES", (1,)),),
        outputs=(
            TensorSpec(EMBEDDING, "FP32", (recogniser.width,)),
            TensorSpec(CHARACTER, "BYTES", (1,)),
            TensorSpec(SCORE, "FP32", (1,)),
        ),
        max_batch_size=max_batch_size,
        dynamic_batching=True,
    )


def enrolment_spec() -> ModelSpec:
    """ACTION, CHARACTER BYTES (1), IMAGES BYTES (n), image files -> PICTURES INT64 (1).

    PICTURES is the number of the character's pictures: after `enrol` how many it has now, after
    `forget` (with one empty image) how many it had. DESCRIPTION BYTES (1) may be missing or empty.
    """
    return ModelSpec(
        name="identity_enrolment",
        inputs=(
            TensorSpec(ACTION, "BYTES", (1,)),
            TensorSpec(CHARACTER, "BYTES", (1,)),
            TensorSpec(IMAGES, "BYTES", (ANY,)),
            TensorSpec(DESCRIPTION, "BYTES", (1,), optional=True),
        ),
        outputs=(TensorSpec(PICTURES, "INT64", (1,)),),
    )


def denoiser_spec(model: ModelInfo) -> ModelSpec:
    """The inputs of the denoiser engine. Shapes include the batch, as `routes` is (L, B, R).

    Without the bank's inputs, because clients have no bank.
    """
    sides = (ANY, model.latent_channels, ANY, ANY)
    return ModelSpec(
        name="denoiser",
        inputs=tuple(_of_port(port) for port in input_ports(model)),
        outputs=(TensorSpec("noise_pred", "FP32", sides),),
    )


def _of_port(port: InputPort) -> TensorSpec:
    return TensorSpec(port.name, port.dtype, _sizes(port.axes))


def _sizes(axes: Sequence[Axis | int]) -> tuple[int, ...]:
    return tuple(ANY if isinstance(axis, str) else axis for axis in axes)


def served_models(
    model: ModelInfo, variants: Sequence[ModelInfo] = (), *, with_denoiser: bool = False
) -> tuple[ModelSpec, ...]:
    """The specs of all served models of an export but `upscaler` and `safety`, which a repository
    may get later.

    The model `denoiser` is optional.

    Each name appears once. Variants share the model's own served models, except for text encoders
    that differ; models beside share none. A variant's denoiser runs only in the model `storyboard`.
    """
    of_files = (text_encoder_spec, vae_encoder_spec, vae_decoder_spec)
    made = [spec(info) for spec in of_files for info in (model, *variants)]
    named = {spec.name: spec for spec in made}
    specs = (storyboard_spec(), *named.values(), *identity_specs(model))
    return (*specs, denoiser_spec(model)) if with_denoiser else specs


def identity_specs(model: ModelInfo) -> tuple[ModelSpec, ...]:
    """The specs for the recogniser; none if the model has none."""
    if model.recogniser is None:
        return ()
    return identity_spec(model.recogniser), enrolment_spec()


def config_pbtxt(
    spec: ModelSpec,
    *,
    backend: str = "python",
    parameters: Mapping[str, str] | None = None,
    max_queue_delay_us: int = MAX_QUEUE_DELAY_US,
    kind: InstanceKind = "KIND_CPU",
) -> str:
    """The text of a config.pbtxt for Triton Server: one instance, of the given kind.

    `parameters` become the model's string parameters, sorted by name.
    """
    # Imported here: loading protobuf and gRPC takes 0.2 s, and only the export needs them.
    from google.protobuf import text_format
    from tritonclient.grpc import model_config_pb2 as pb

    config = pb.ModelConfig(
        name=spec.name,
        backend=backend,
        max_batch_size=spec.max_batch_size,
        input=[_fields(tensor) for tensor in spec.inputs],
        output=[_fields(tensor) for tensor in spec.outputs],
        instance_group=[{"kind": kind, "count": 1}],
    )
    if spec.decoupled:
        config.model_transaction_policy.decoupled = True
    if spec.dynamic_batching:
        config.dynamic_batching.max_queue_delay_microseconds = max_queue_delay_us
    for key, value in (parameters or {}).items():
        config.parameters[key].string_value = value
    text: str = text_format.MessageToString(config, as_utf8=False)
    return text


def _fields(tensor: TensorSpec) -> dict[str, Any]:
    """The fields of ModelInput and ModelOutput; only inputs may be optional."""
    kind = "STRING" if tensor.dtype == "BYTES" else tensor.dtype
    fields = {"name": tensor.name, "data_type": f"TYPE_{kind}", "dims": tensor.shape}
    return {**fields, "optional": True} if tensor.optional else fields
