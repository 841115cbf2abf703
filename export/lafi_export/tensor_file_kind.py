"""What a file of tensors is, by names, shapes and notes: for `lafi check`.

Needs no repository and no values, and refuses what an export would refuse without one.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from gguf import GGUFReader
from torch import Tensor

from lafi.model.tensor_file import TensorFileError, is_safetensors, read_header
from lafi_export.control.adapter_source import is_control_adapter
from lafi_export.control.source import is_control_network
from lafi_export.file_markers import read_marks
from lafi_export.single_file_kind import (
    UNET,
    Shaped,
    check_numbers,
    check_one_vae,
    checked_kind,
    in_own_file,
    missing_parts,
    of_part,
    parts_of,
)
from lafi_export.tensor_reading import load_pickled, some
from lafi_export.text_encoder_names import BEGINS

_SECOND: Final = 1280
"""Channels of SDXL's second text encoder."""
_ADAPTER: Final = ("ip_adapter", "image_proj")
_LATENTS: Final = 4
_OTHER_CHANGES: Final = {
    ".on_input": "IA3",
    ".oft_blocks": "OFT",
    ".oft_diag": "OFT",
    ".oft_R.weight": "OFT",
    ".a1.weight": "GLoRA",
    ".diff": "whole differences of weights",
}
"""How a tensor's name ends in files that trainers name like LoRAs -> what they are."""


def named_tensors(file: Path) -> tuple[dict[str, Shaped], dict[str, str]]:
    """Names and shapes, and the notes of the header. Raises TensorFileError."""
    if is_safetensors(file):
        header = read_header(file)
        return dict(header.tensors), dict(header.metadata)
    content: Any = load_pickled(file)
    if isinstance(content, Tensor):
        return {"emb_params": content}, {}
    if not isinstance(content, Mapping):
        kind = type(content).__name__
        raise TensorFileError(f"{file}: got {kind}, allowed a mapping of tensors")
    inner = content.get("state_dict", content)
    return dict(_flat("", inner if isinstance(inner, Mapping) else content)), {}


def _flat(begin: str, content: Mapping[Any, Any]) -> Iterator[tuple[str, Tensor]]:
    for name, value in content.items():
        if isinstance(value, Tensor):
            yield f"{begin}{name}", value
        elif isinstance(value, Mapping):
            yield from _flat(f"{begin}{name}.", value)


def other_change(names: Mapping[str, object]) -> str | None:
    """What a file that is named like a LoRA is, if it is none."""
    for end, said in _OTHER_CHANGES.items():
        if any(name.endswith(end) for name in names):
            return said
    return None


def gguf_line(file: Path) -> str:
    """What a GGUF file is. Raises TensorFileError for a damaged one."""
    try:
        field = GGUFReader(file).fields["general.architecture"]
        architecture = str(field.contents())
    # What a damaged file makes the reader raise is not listed anywhere.
    except Exception as error:
        raise TensorFileError(f"{file}: is damaged or no GGUF file ({error})") from error
    return (
        f"a GGUF file, general.architecture {architecture}; with a diffusers folder as CHECKPOINT "
        "it replaces the part that --transformer, --text-encoder ... names"
    )


def model_lines(
    file: Path, tensors: Mapping[str, Shaped], notes: Mapping[str, str]
) -> Iterator[str]:
    """What a checkpoint, a part of one, a control network or an adapter is.

    Raises CheckpointError for a model that is not drawn, TensorFileError for anything else.
    """
    if is_control_network(tensors):
        yield "a control network, for --control NAME=FILE"
    elif is_control_adapter(tensors):
        yield "a T2I-Adapter, for --control NAME=FILE"
    elif any(name.startswith(_ADAPTER) for name in tensors):
        yield "an IP-Adapter, for --picture-prompts FILE with --image-encoder FOLDER"
    else:
        yield from _part_lines(file, tensors) or _whole_lines(file, tensors, notes)


def _whole_lines(
    file: Path, tensors: Mapping[str, Shaped], notes: Mapping[str, str]
) -> Iterator[str]:
    unet = of_part(tensors, "sd15", "unet") or in_own_file(tensors, "unet")
    kind = checked_kind(file, tensors, unet)
    check_one_vae(file, tensors)
    for part in parts_of(kind):
        check_numbers(file, part, of_part(tensors, kind, part))
    marks = read_marks(file, tensors, notes, None)
    named = f"{kind} with v-prediction" if marks.prediction else kind
    missing = missing_parts(tensors, kind)
    if {"vae", *BEGINS[kind]} <= set(missing):
        yield f"a denoiser alone, {named}, for --unet"
    elif missing:
        options = ", ".join(f"--{part.replace('_', '-')} FILE" for part in missing)
        yield f"a checkpoint in one file, {named}, without {some(missing)}: needs {options}"
    else:
        yield f"a checkpoint in one file, {named}"
    if marks.prediction is None and marks.zero_snr:
        yield "needs --prediction v_prediction, as its tensor ztsnr is of no other use"
    elif marks.prediction is None and kind == "sd21":
        yield (
            "needs --prediction v_prediction (768 px models) or --prediction epsilon (512 px base "
            "models), which its tensors do not tell"
        )


def _part_lines(file: Path, tensors: Mapping[str, Shaped]) -> list[str]:
    """Of a VAE or a text encoder in its own file; nothing for others."""
    if any(name.startswith((UNET, "input_blocks.", "down_blocks.")) for name in tensors):
        return []
    first = in_own_file(tensors, "vae").get("decoder.conv_in.weight")
    if first is not None and not any("cond_stage" in name for name in tensors):
        if first.shape[1] != _LATENTS:
            raise TensorFileError(
                f"{file}: got a VAE of {first.shape[1]} latent channels, allowed {_LATENTS}, as "
                "Stable Diffusion's have"
            )
        return ["a VAE alone, for --vae"]
    for name in ("embeddings.token_embedding.weight", "token_embedding.weight"):
        for begin in ("text_model.", ""):
            table = tensors.get(f"{begin}{name}")
            if table is not None:
                width = table.shape[-1]
                option = "--text-encoder-2" if width == _SECOND else "--text-encoder"
                return [f"a text encoder alone, {width} channels, for {option}"]
    return []


def unknown(tensors: Mapping[str, Shaped]) -> str:
    """What to say of tensors that are nothing known."""
    words = [name for name in tensors if "." not in name]
    tables = {value.shape[-1] for value in tensors.values() if 1 <= len(value.shape) <= 2}
    if len(words) == len(tensors) > 1 and len(tables) == 1:
        return f"got {len(words)} learnt words, {some(words)}; allowed one in a file"
    if {"clip_l", "clip_g"} <= set(tensors):
        return f"got a learnt word for {some(tensors)}; allowed for clip_l and clip_g, as in SDXL"
    return f"got tensors such as {some(tensors)}: no known kind of file"
