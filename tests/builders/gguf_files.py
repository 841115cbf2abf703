"""GGUF files as llama.cpp's tools and their relatives write them, of a small diffusers folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from gguf import (
    GGML_QUANT_SIZES,
    MODEL_ARCH,
    GGMLQuantizationType,
    GGUFWriter,
    get_tensor_name_map,
)
from gguf.quants import quantize
from safetensors.torch import load_file
from torch import Tensor

_ARCHES: Final = {"qwen3": MODEL_ARCH.QWEN3, "t5": MODEL_ARCH.T5, "t5encoder": MODEL_ARCH.T5}


def write_gguf(
    path: Path,
    tensors: Mapping[str, Tensor],
    architecture: str,
    kind: GGMLQuantizationType = GGMLQuantizationType.F32,
    facts: Mapping[str, Any] | None = None,
) -> Path:
    """kind: of matrices whose rows are whole blocks; everything else is float32."""
    writer = GGUFWriter(path, architecture)
    for name, value in (facts or {}).items():
        add = writer.add_float32 if isinstance(value, float) else writer.add_uint32
        add(f"{architecture}.{name}", value)
    for name, tensor in tensors.items():
        values = tensor.float().numpy()
        if tensor.ndim == 2 and tensor.shape[-1] % GGML_QUANT_SIZES[kind][0] == 0:
            writer.add_tensor(name, quantize(values, kind), raw_dtype=kind)
        else:
            writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def stored(folder: Path, part: str) -> dict[str, Tensor]:
    """The tensors of a part's only file."""
    (file,) = (folder / part).glob("*.safetensors")
    return load_file(file)


def zimage_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A Z-Image transformer's tensors by the names of the original repository."""
    found: dict[str, Tensor] = {}
    for name, value in tensors.items():
        if ".attention.to_q." in name:
            three = [tensors[name.replace("to_q", one)] for one in ("to_q", "to_k", "to_v")]
            found[name.replace("to_q", "qkv")] = torch.cat(three)
        elif ".attention.to_k." not in name and ".attention.to_v." not in name:
            for ours, theirs in (
                ("all_final_layer.2-1.", "final_layer."),
                ("all_x_embedder.2-1.", "x_embedder."),
                (".to_out.0.", ".out."),
                (".norm_k.", ".k_norm."),
                (".norm_q.", ".q_norm."),
            ):
                name = name.replace(ours, theirs)
            found[name] = value
    return found


def text_names(tensors: Mapping[str, Tensor], architecture: str) -> dict[str, Tensor]:
    """A text encoder's tensors by llama.cpp's names."""
    names = get_tensor_name_map(_ARCHES[architecture], 99)
    found: dict[str, Tensor] = {}
    for name, value in tensors.items():
        prefix = "model." if architecture == "qwen3" else ""
        new = names.get_name(f"{prefix}{name}", try_suffixes=(".weight", ".bias"))
        assert new, name
        found[new] = value
    return found
