"""Which published model the tensors of single files are of, by their names and shapes.

Needs no values: the header of a file is enough.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final, Protocol, TypeVar

import torch

from lafi.model.architectures.registry import ArchitectureName
from lafi.model.checkpoint import CheckpointError
from lafi.model.tensor_file import is_float
from lafi_export.file_markers import MARKERS, other_model
from lafi_export.tensor_reading import some
from lafi_export.text_encoder_names import BEGINS

UNET: Final = "model.diffusion_model."
VAES: Final = ("first_stage_model.", "vae.")
_TRAINING: Final = ("loss.", "model_ema.")
"""How names begin in a VAE's training checkpoint of what its loss and its average were."""
_WIDTHS: Final[Mapping[int, ArchitectureName]] = {768: "sd15", 1024: "sd21"}
"""Channels of the text that a denoiser reads."""


class Shaped(Protocol):
    """A tensor, or its entry in a file's header."""

    @property
    def shape(self) -> tuple[int, ...]: ...


T = TypeVar("T", bound=Shaped)


def kind_of(names: Mapping[str, object]) -> ArchitectureName | None:
    """Which published model tensors with these names are of; None for none of them."""
    if any(name.startswith("conditioner.embedders.1.model.") for name in names):
        return "sdxl"
    if any(name.startswith("cond_stage_model.model.") for name in names):
        return "sd21"
    return "sd15" if any(name.startswith("cond_stage_model.") for name in names) else None


def kind_of_unet(
    unet: Mapping[str, Shaped], activation: str | None = None
) -> ArchitectureName | None:
    """By the width of the text that it reads. activation: of the text encoder, where it is known.

    None for tensors of something else.
    """
    if any(name.startswith(("label_emb.", "add_embedding.")) for name in unet):
        return "sdxl"
    if unet and activation is not None:
        return "sd21" if activation == "gelu" else "sd15"
    widths = {value.shape[-1] for name, value in unet.items() if name.endswith("attn2.to_k.weight")}
    return _WIDTHS.get(max(widths, default=0))


def parts_of(kind: ArchitectureName) -> tuple[str, ...]:
    """Those that have weights."""
    return "unet", "vae", *BEGINS[kind]


def of_part(tensors: Mapping[str, T], kind: ArchitectureName, part: str) -> dict[str, T]:
    """A part's tensors out of a whole file, without what their names begin with."""
    begins = {"unet": (UNET,), "vae": VAES}.get(part) or (BEGINS[kind].get(part, "?"),)
    return {
        name.removeprefix(begin): value
        for begin in begins
        for name, value in tensors.items()
        if name.startswith(begin)
    }


def check_numbers(where: Path, part: str, tensors: Mapping[str, Shaped]) -> None:
    """Raises CheckpointError for quantized weights, which diffusers' reader would take as they are.

    tensors: of a part, or their entries in a header.
    """
    whole = [n for n, v in tensors.items() if not (_floats(v) or n.endswith("position_ids"))]
    if whole:
        raise CheckpointError(
            f"{where}: {part}: got whole numbers in {some(whole)}; allowed: weights as "
            "floating-point numbers"
        )


def _floats(value: object) -> bool:
    dtype = getattr(value, "dtype", None)
    if isinstance(dtype, torch.dtype):
        return dtype.is_floating_point
    return is_float(str(dtype))


def check_one_vae(where: Path, tensors: Mapping[str, object]) -> None:
    """Raises CheckpointError for a file with two VAEs, of which only one could be drawn with."""
    begins = [begin for begin in VAES if any(name.startswith(begin) for name in tensors)]
    if len(begins) > 1:
        raise CheckpointError(
            f"{where}: got two VAEs, with names that begin with {' and '.join(begins)}; allowed: "
            "one, or another one by --vae FILE"
        )


def in_own_file(tensors: Mapping[str, T], part: str) -> dict[str, T]:
    """A part's tensors out of its own file, which may be a whole one.

    Without markers, and without what training leaves in a VAE's.
    """
    whole = of_part(tensors, "sd15", part) if part in ("unet", "vae") else {}
    kept = {name: value for name, value in tensors.items() if name not in MARKERS}
    if part == "vae" and not whole:
        return {k: value for k, value in kept.items() if not k.startswith(_TRAINING)}
    return whole or kept


def checked_kind(
    where: Path,
    tensors: Mapping[str, Shaped],
    unet: Mapping[str, Shaped],
    activation: str | None = None,
) -> ArchitectureName:
    """Which published model it is. Raises CheckpointError for what cannot be drawn.

    tensors: of the whole file, or of the denoiser's. unet: the denoiser's.
    """
    said = other_model([*tensors, *unet])
    if said is not None:
        raise CheckpointError(f"{where}: got {said}; allowed SD1.5, SD2.1 and SDXL base")
    kind = kind_of(tensors) or kind_of_unet(unet, activation)
    if kind is None:
        raise CheckpointError(
            f"{where}: got {some(tensors)}; allowed a whole SD1.5, SD2.1 or SDXL in original "
            "names, or --unet, --vae and --text-encoder files"
        )
    first = unet.get("input_blocks.0.0.weight", unet.get("conv_in.weight"))
    if first is not None and first.shape[1] != 4:
        raise CheckpointError(
            f"{where}: got a denoiser with {first.shape[1]} input channels (inpainting, depth or "
            "editing), allowed 4"
        )
    return kind


def check_prediction(where: Path, kind: ArchitectureName, prediction: str | None) -> None:
    """Raises CheckpointError for SD2 without a prediction."""
    if kind == "sd21" and prediction is None:
        raise CheckpointError(
            f"{where}: is SD2, whose tensors do not tell what it predicts; allowed: --prediction "
            "v_prediction (768 px models) or --prediction epsilon (512 px base models)"
        )


def missing_parts(tensors: Mapping[str, Shaped], kind: ArchitectureName) -> list[str]:
    """Parts of the model that a whole file does not have."""
    return [part for part in parts_of(kind) if not of_part(tensors, kind, part)]
