"""Transformers and text encoders from GGUF files, as parts of a diffusers folder.

Names and numbers are those of diffusers' and transformers' own GGUF loaders; the values are
written in float32, tensor by tensor. Knows file formats and names, not how a model is drawn.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol, cast

import torch
from diffusers.loaders.single_file_model import SINGLE_FILE_LOADABLE_CLASSES
from diffusers.models.model_loading_utils import load_gguf_checkpoint
from diffusers.quantizers.gguf.utils import GGUFParameter, dequantize_gguf_tensor
from gguf import GGUFReader
from gguf.quants import dequantize
from torch import Tensor, nn
from transformers.modeling_gguf_pytorch_utils import (
    TENSOR_PROCESSORS,
    TensorProcessor,
    get_gguf_hf_weights_map,
)
from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint as read_text_facts

from lafi.engine.torch.families.registry import torch_families
from lafi.model.checkpoint import CheckpointError, check_configs
from lafi_export.bare_pipeline import quiet_libraries
from lafi_export.tensor_reading import some
from lafi_export.weights_file import TensorLayout, write_weights

SUFFIX: Final = ".gguf"
TEXT_FILE: Final = "model.safetensors"
DENOISER_FILE: Final = "diffusion_pytorch_model.safetensors"
_TEXT_KINDS: Final[Mapping[str, tuple[str, ...]]] = {
    "qwen3": ("qwen3",),
    "t5": ("t5", "t5encoder"),
}
"""Kind of a text encoder as transformers names it -> as `general.architecture` of a file."""
_UNREAD: Final = ("dec.", "output.weight")
"""Begins of names that a whole language model has beside its encoder."""
_FACTS: Final = (
    "num_attention_heads",
    "num_heads",
    "num_key_value_heads",
    "rms_norm_eps",
    "layer_norm_epsilon",
    "rope_theta",
)
"""Values of a text encoder's config that decide what it computes, and that no shape tells."""
_CLOSE: Final = 1e-6
"""Relative; files hold float32."""

Shape = tuple[int, ...]


class StoredTensor(NamedTuple):
    """A tensor of a file: its shape, and what reads it, float32."""

    shape: Shape
    read: Callable[[], Tensor]


class PartReader(Protocol):
    """Reads a GGUF file as one kind of network."""

    def __call__(self, file: Path, module: nn.Module) -> Mapping[str, StoredTensor]:
        """The file's tensors by their names in the module, or by their own if it has none.

        module: without weights. Raises CheckpointError for a file of another kind.
        """


def is_gguf(file: Path) -> bool:
    """By its name."""
    return file.suffix.lower() == SUFFIX


_UNTRIED: Final = "UNet2DConditionModel"
"""Diffusers has a loader for it, which nothing here has been compared with."""


def weights_from_gguf(checkpoint: Path, files: Mapping[str, Path], folder: Path) -> None:
    """Writes the weights of parts, `folder/<part>/*.safetensors`, float32.

    checkpoint: a diffusers folder, whose configs count. files: part -> GGUF file.
    Raises CheckpointError for configs that do not fit together, as an encoder that the transformer
    cannot read; for a part that the pipeline lacks or that no GGUF loader reads, a damaged file,
    one of another kind of network, and one with missing or unknown tensors or other shapes than
    the config says; it names them.
    """
    family, parts = check_configs(checkpoint)
    torch_family = torch_families()[family.name]
    texts = tuple(part for part in family.text.encoders if part in parts)
    for part, file in files.items():
        if part not in (*texts, torch_family.part):
            raise CheckpointError(
                f"{_option(part)}: got {file}, but {parts['index']['_class_name']} has no {part}; "
                f"allowed: {', '.join(map(_option, (torch_family.part, *texts)))}"
            )
    for part, file in files.items():
        text = part in texts
        module = (
            torch_family.text.without_weights(checkpoint / part)
            if text
            else _without_weights(torch_family.module_class, checkpoint / part)
        )
        target = folder / part / (TEXT_FILE if text else DENOISER_FILE)
        _write(file, part, module, read_text_encoder if text else read_transformer, target)


def read_transformer(file: Path, module: nn.Module) -> Mapping[str, StoredTensor]:
    """As `PartReader`, of what diffusers' `from_single_file` reads.

    The file itself is held in memory, not its values. Source: diffusers' GGUFQuantizer, which
    computes a block's values in float16.
    """
    # Ours may be a subclass.
    kinds = [kind for kind in type(module).__mro__ if kind.__module__.startswith("diffusers.")]
    name = kinds[0].__name__
    known: Any = SINGLE_FILE_LOADABLE_CLASSES.get(name)
    if known is None or name == _UNTRIED:
        raise CheckpointError(f"{file}: no GGUF file of {name} is read, allowed safetensors")
    stored = load_gguf_checkpoint(str(file))
    places = module.state_dict()
    if stored.keys() != places.keys():
        left, config = dict(stored), cast(Any, module.config)
        try:
            # It takes what it knows out of `left`.
            renamed = known["checkpoint_mapping_fn"](checkpoint=left, config=dict(config))
        except Exception:
            # What foreign tensors make of diffusers' converters is not foreseeable; the file's
            # own names then tell what is wrong with it.
            renamed, left = stored, {}
        renamed = {**left, **renamed}
        stored = min(stored, renamed, key=lambda names: len(names.keys() ^ places.keys()))
    return {name: StoredTensor(_shape(value), _reader(value)) for name, value in stored.items()}


def read_text_encoder(file: Path, module: nn.Module) -> Mapping[str, StoredTensor]:
    """As `PartReader`, of what transformers' `from_pretrained(gguf_file=...)` reads.

    The file is mapped, not read. Source: transformers' `load_gguf_checkpoint`.
    """
    config = cast(Any, module.config)
    kind = str(config.model_type)
    if kind not in _TEXT_KINDS:
        allowed = ", ".join(_TEXT_KINDS)
        raise CheckpointError(
            f"{file}: the model's text encoder is {kind}; allowed as GGUF: {allowed}"
        )
    found = GGUFReader(file)
    field = found.fields.get("general.architecture")
    architecture = None if field is None else str(field.contents())
    if architecture not in _TEXT_KINDS[kind]:
        raise CheckpointError(
            f"{file}: general.architecture: got {architecture!r}, allowed "
            f"{' or '.join(_TEXT_KINDS[kind])}, as the model's text encoder is"
        )
    facts = read_text_facts(str(file))["config"]
    _check_facts(file, facts, config.to_dict())
    processor = TENSOR_PROCESSORS.get(architecture, TensorProcessor)(config=facts)
    names = get_gguf_hf_weights_map(module, processor)
    tied = getattr(module, "_tied_weights_keys", None) or {}
    return {
        tied.get(names.get(tensor.name), names.get(tensor.name, tensor.name)): StoredTensor(
            tuple(int(side) for side in reversed(tensor.shape)), _block_reader(tensor)
        )
        for tensor in found.tensors
        if not tensor.name.startswith(_UNREAD)
    }


def _write(file: Path, part: str, module: nn.Module, reader: PartReader, target: Path) -> None:
    try:
        with quiet_libraries():
            found = reader(file, module)
    except CheckpointError as error:
        raise CheckpointError(f"{_option(part)}: {error}") from error
    except Exception as error:
        # What a damaged file makes the libraries raise is not listed anywhere.
        raise CheckpointError(
            f"{_option(part)}: {file}: is damaged or no GGUF file that can be read ({error})"
        ) from error
    tied = getattr(module, "_tied_weights_keys", None) or {}
    shapes = {
        name: tuple(value.shape) for name, value in module.state_dict().items() if name not in tied
    }
    _check_fits(f"{_option(part)}: {file}", found, shapes)
    target.parent.mkdir(parents=True, exist_ok=True)
    layouts = {name: TensorLayout("F32", shape) for name, shape in shapes.items()}
    write_weights(target, layouts, lambda name: found[name].read().reshape(shapes[name]))


def _check_fits(where: str, found: Mapping[str, StoredTensor], shapes: Mapping[str, Shape]) -> None:
    problems = []
    if missing := [name for name in shapes if name not in found]:
        problems.append(f"has no {some(missing)}")
    if unknown := [name for name in found if name not in shapes]:
        problems.append(f"has {some(unknown)}, which the model has not")
    others = [
        f"{name}: got shape {list(found[name].shape)}, allowed {list(shape)}"
        for name, shape in shapes.items()
        if name in found and _long_sides(found[name].shape) != _long_sides(shape)
    ]
    if others:
        problems.append(some(others))
    if problems:
        raise CheckpointError(f"{where}: does not fit its config: {'; '.join(problems)}")


def _check_facts(file: Path, facts: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    wanted = {**config, **(config.get("rope_parameters") or {})}
    wrong = [
        f"{name}: got {facts[name]}, allowed {wanted[name]}"
        for name in _FACTS
        if isinstance(facts.get(name), int | float)
        and isinstance(wanted.get(name), int | float)
        and not math.isclose(facts[name], wanted[name], rel_tol=_CLOSE)
    ]
    if wrong:
        raise CheckpointError(f"{file}: does not fit its config: {'; '.join(wrong)}")


def _long_sides(shape: Iterable[int]) -> Shape:
    """Without sides of 1, which llama.cpp's tools leave out."""
    return tuple(side for side in shape if side != 1)


def _shape(value: Tensor) -> Shape:
    return tuple(value.quant_shape if isinstance(value, GGUFParameter) else value.shape)


def _reader(value: Tensor) -> Callable[[], Tensor]:
    def read() -> Tensor:
        values: Tensor = dequantize_gguf_tensor(value)
        return values.to(torch.float32)

    return read


def _block_reader(tensor: Any) -> Callable[[], Tensor]:
    def read() -> Tensor:
        values: Tensor = torch.from_numpy(dequantize(tensor.data, tensor.tensor_type).copy())
        return values.to(torch.float32)

    return read


def _without_weights(kind: Any, part: Path) -> nn.Module:
    with torch.device("meta"):
        made: nn.Module = kind.from_config(kind.load_config(part))
        return made


def _option(part: str) -> str:
    return f"--{part.replace('_', '-')}"
