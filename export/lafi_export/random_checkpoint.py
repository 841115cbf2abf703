"""A diffusers folder of a published architecture, filled with seeded random weights.

For exports and tests at full size without trained weights. Written tensor by tensor, so memory
holds one tensor at a time, never a whole model. Knows configs and files, not drawing.
"""

import argparse
import importlib
import json
import math
import zlib
from pathlib import Path
from typing import Any, Final, get_args

import torch
from torch import Tensor, nn

from lafi.model.architectures.architecture import Architecture, Size
from lafi.model.architectures.registry import ArchitectureName, architecture
from lafi_export.random_tokenizers import random_tokenizer
from lafi_export.weights_file import TensorLayout, write_weights

_STORED: Final = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"}

_T5_TABLE_AGAIN: Final = "encoder.embed_tokens.weight"
"""The same tensor as `shared.weight`, under which T5's checkpoints store it."""


def random_checkpoint(
    name: ArchitectureName,
    folder: Path,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
    size: Size = "full",
) -> Architecture:
    """`write_checkpoint` of a published architecture; returns its facts."""
    chosen = architecture(name, size)
    write_checkpoint(chosen, folder, seed, dtype)
    return chosen


def write_checkpoint(
    chosen: Architecture, folder: Path, seed: int = 0, dtype: torch.dtype = torch.float32
) -> None:
    """Writes the folder of an architecture.

    Each tensor depends on the seed, its part and its name alone. Weights of layers are normal with
    variance 1 / inputs, norms near 1, so activations stay finite at any depth and in float16.
    The tokenizers are valid, with one token per byte or letter of a word.
    Raises ValueError for a dtype other than float32, float16 and bfloat16.
    """
    if dtype not in _STORED:
        allowed = ", ".join(str(one) for one in _STORED)
        raise ValueError(f"dtype: got {dtype}, allowed {allowed}")
    folder.mkdir(parents=True, exist_ok=True)
    for part in chosen.configs:
        _write_part(chosen, part, folder / part, seed, dtype)
    for part in chosen.tokenizers:
        random_tokenizer(chosen, part).save_pretrained(folder / part)
    _write_json(folder / "scheduler" / "scheduler_config.json", chosen.scheduler)
    classes = {part: list(where) for part, where in chosen.classes.items()}
    index = {"_class_name": chosen.pipeline, **classes, **chosen.index}
    _write_json(folder / "model_index.json", index)


def meta_module(chosen: Architecture, part: str) -> nn.Module:
    """A part's module without weights, on torch's meta device."""
    config = dict(chosen.configs[part])
    library, class_name = chosen.classes[part]
    kind: Any = getattr(importlib.import_module(library), class_name)
    with torch.device("meta"):
        made: nn.Module
        if library == "transformers":
            made = kind(kind.config_class(**config))
        else:
            made = kind.from_config(config)
        return made


def _write_part(
    chosen: Architecture, part: str, folder: Path, seed: int, dtype: torch.dtype
) -> None:
    config = dict(chosen.configs[part])
    library, class_name = chosen.classes[part]
    text, clip = library == "transformers", class_name.startswith("CLIP")
    if text:
        # transformers loads in this dtype; diffusers loads in float32 by default.
        config["dtype"] = "float32"
    _write_json(folder / "config.json", config)
    layouts = {
        _stored_name(name) if clip else name: TensorLayout(_STORED[dtype], tuple(value.shape))
        for name, value in meta_module(chosen, part).state_dict().items()
        if not (class_name == "T5EncoderModel" and name == _T5_TABLE_AGAIN)
    }

    def values(name: str) -> Tensor:
        return _values(f"{part}.{name}", layouts[name].shape, seed).to(dtype)

    file = "model.safetensors" if text else "diffusion_pytorch_model.safetensors"
    write_weights(folder / file, layouts, values)


def _stored_name(name: str) -> str:
    """The name in the checkpoint: CLIP's names always begin with the tower's name there."""
    if name.startswith(("text_model.", "text_projection.")):
        return name
    return f"text_model.{name}"


def _values(name: str, shape: tuple[int, ...], seed: int) -> Tensor:
    # torch's CPU generator uses only 32 bits of a seed.
    generator = torch.Generator().manual_seed(zlib.crc32(f"{seed}.{name}".encode()))
    values = torch.empty(shape).normal_(generator=generator)
    if len(shape) > 1:
        scale = 0.5 if _is_table(name) else 1.0 / math.sqrt(math.prod(shape[1:]))
        return values.mul_(scale)
    values.mul_(0.05)
    return values.add_(1.0) if _is_norm_scale(name) else values


def _is_table(name: str) -> bool:
    return name.endswith(
        (
            "token_embedding.weight",
            "position_embedding.weight",
            "shared.weight",
            "pos_embed.pos_embed",
        )
    )


def _is_norm_scale(name: str) -> bool:
    *_, module, kind = name.split(".")
    return kind == "weight" and "norm" in module.lower()


def main() -> None:
    """`python -m lafi_export.random_checkpoint sdxl FOLDER --dtype float16`."""
    parser = argparse.ArgumentParser(description="Write a checkpoint with random weights.")
    parser.add_argument("architecture", choices=get_args(ArchitectureName))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--dtype", choices=[str(x)[6:] for x in _STORED], default="float16")
    parser.add_argument("--size", choices=get_args(Size), default="full")
    given = parser.parse_args()
    dtype = getattr(torch, given.dtype)
    random_checkpoint(given.architecture, given.folder, given.seed, dtype, given.size)


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
