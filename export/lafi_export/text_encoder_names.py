"""Names of CLIP text encoders' tensors in single files, as diffusers' reader wants and reads them.

Knows names, not what an encoder computes.
"""

from collections.abc import Mapping
from typing import Final

import torch
from diffusers.loaders.single_file_utils import (
    SD_2_TEXT_ENCODER_KEYS_TO_IGNORE,
    convert_ldm_clip_checkpoint,
    convert_open_clip_checkpoint,
)
from torch import Tensor, nn

from lafi.model.architectures.registry import ArchitectureName

BEGINS: Final[Mapping[ArchitectureName, Mapping[str, str]]] = {
    "sd15": {"text_encoder": "cond_stage_model.transformer."},
    "sd21": {"text_encoder": "cond_stage_model.model."},
    "sdxl": {
        "text_encoder": "conditioner.embedders.0.transformer.",
        "text_encoder_2": "conditioner.embedders.1.model.",
    },
}
"""Architecture -> text encoder -> what its names begin with in a single file."""
_TOWER: Final = "text_model."
_BODY: Final = ("embeddings.", "encoder.layers.", "final_layer_norm.")
"""How names begin in files of transformers before 4.0, which had no tower around them."""
_NOT_READ: Final = {
    "logit_scale": "weighs texts against pictures, which nobody compares here",
    "text_model.embeddings.position_ids": "the numbers 0 to 76, which transformers makes itself",
    "text_projection": "to CLIP's common space; only SDXL's second encoder has a place",
    "text_projection.weight": "the same in transformers' files",
    "visual.": "CLIP's encoder of pictures",
    "vision_model.": "the same in transformers' files",
    "visual_projection.": "the same in transformers' files",
}
"""Names without a place in the encoder, or how they begin, and why none is missed. diffusers and
transformers drop them as well."""


def as_in_a_file(
    kind: ArchitectureName, part: str, tensors: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """A text encoder's tensors under the names of a single file, as diffusers' reader wants."""
    named = {
        f"{_TOWER}{name}" if name.startswith(_BODY) else name: value
        for name, value in tensors.items()
    }
    begin = BEGINS[kind][part]
    if any(name.startswith(_TOWER) for name in named):
        # transformers' names, which single files have for OpenAI's encoder alone.
        begin = BEGINS["sd15"]["text_encoder"]
    return {name if name.startswith(begin) else f"{begin}{name}": v for name, v in named.items()}


def left_over(tensors: Mapping[str, Tensor], encoder: nn.Module) -> list[str]:
    """Names, as `as_in_a_file` gives them, that diffusers' reader finds no place for.

    Without those that no text encoder reads.
    """
    places = {name.removeprefix(_TOWER) for name in encoder.state_dict()}
    begins = sorted({begin for parts in BEGINS.values() for begin in parts.values()})
    found = []
    for name, value in tensors.items():
        begin = next((each for each in begins if name.startswith(each)), "")
        inner = name.removeprefix(begin)
        if name in SD_2_TEXT_ENCODER_KEYS_TO_IGNORE:
            continue
        one = {name: torch.empty_like(value, device="meta")}
        if begin.endswith("transformer."):
            read = convert_ldm_clip_checkpoint(one)
        else:
            read = convert_open_clip_checkpoint(encoder, one, prefix=begin)
        names = {each.removeprefix(_TOWER) for each in read}
        if not (names and names <= places) and not _unread(inner):
            found.append(inner)
    return found


def _unread(name: str) -> bool:
    return any(name == key or (key[-1] == "." and name.startswith(key)) for key in _NOT_READ)
