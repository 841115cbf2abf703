"""What names and notes in a file say of a model: which one it is, and how it was trained.

Knows names, shapes and notes, never the values of weights.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from lafi.model.checkpoint import CheckpointError
from lafi.model.info import PREDICTION_TYPES
from lafi_export.tensor_reading import some

_V_PREDICTION: Final = "v_pred"
_ZERO_SNR: Final = "ztsnr"
MARKERS: Final = (_V_PREDICTION, _ZERO_SNR)
"""Empty tensors that ComfyUI and other programs write and read beside the weights; those of models
that cannot be drawn are in `_OTHER`. diffusers reads none of them."""
_NOTES: Final = ("modelspec.prediction_type", "modelspec.predict_key")
"""Notes of the header with the prediction: of the model metadata standard, and of ComfyUI."""
_NOTED: Final = {"v": "v_prediction", "v_prediction": "v_prediction", "epsilon": "epsilon"}
_OTHER: Final = {
    "edm_mean": "Playground 2.5, which is trained with EDM noise",
    "edm_std": "Playground 2.5, which is trained with EDM noise",
    "edm_vpred.": "CosXL or another model that is trained with EDM noise",
    "conditioner.embedders.0.model.text_projection": "SDXL's refiner",
    "control_model.": "a control network",
    "controlnet_cond_embedding.": "a control network",
    "controlnet_down_blocks.": "a control network",
    "input_hint_block.": "a control network",
    "adapter.body.": "a T2I-Adapter",
    "ip_adapter.": "an IP-Adapter",
    "image_proj.": "an IP-Adapter",
    "embedder.": "an unCLIP model, which draws from a picture's embedding",
    "noise_augmentor.": "an unCLIP model, which draws from a picture's embedding",
    "depth_model.": "a model that draws from a depth map",
    "model.diffusion_model.joint_blocks.": "SD3",
    "joint_blocks.": "SD3's transformer",
    "model.diffusion_model.double_blocks.": "FLUX",
    "double_blocks.": "FLUX's transformer",
    "cap_embedder.": "Z-Image's transformer",
}
"""How names begin that tell of other models."""
_SCALES: Final = (
    "scaled_fp8",
    ".scale_weight",
    ".weight_scale",
    ".weight_scale_2",
    ".comfy_quant",
    ".absmax",
    ".quant_map",
)
"""How names end of what weights of few bits are multiplied by."""


class FileMarks(NamedTuple):
    """prediction: of the denoiser, None where nothing says it. zero_snr: the noise's last level
    holds no signal (arXiv:2305.08891)."""

    prediction: str | None = None
    zero_snr: bool = False


def other_model(names: Iterable[str]) -> str | None:
    """What tensors with these names are of, if it is a model that cannot be drawn."""
    every = list(names)
    for begin, said in _OTHER.items():
        if any(name.startswith(begin) for name in every):
            return said
    scales = [name for name in every if name.endswith(_SCALES)]
    if scales:
        return f"weights of few bits with scales beside them, {some(scales)}"
    return None


def read_marks(
    where: Path, names: Iterable[str], notes: Mapping[str, str], asked: str | None
) -> FileMarks:
    """What the file says of its training, and `asked`, which is what --prediction says.

    Raises CheckpointError where they contradict each other, and where only a note of the header
    says v-prediction: notes outlive merges, so they are no proof.
    """
    marked, noted = set(MARKERS) & set(names), _noted(notes)
    if asked is not None and asked not in PREDICTION_TYPES:
        allowed = ", ".join(PREDICTION_TYPES)
        raise CheckpointError(f"--prediction: got {asked!r}, allowed {allowed}")
    if _V_PREDICTION in marked and asked == "epsilon":
        raise CheckpointError(
            f"--prediction: got 'epsilon' for {where}, whose tensor {_V_PREDICTION} says "
            "v_prediction; allowed: v_prediction, or nothing"
        )
    if asked is None and noted == "v_prediction" and _V_PREDICTION not in marked:
        raise CheckpointError(
            f"{where}: its header says v-prediction, its tensors do not; allowed: --prediction "
            "v_prediction, or --prediction epsilon where the header is wrong"
        )
    prediction = "v_prediction" if _V_PREDICTION in marked else asked
    return FileMarks(prediction, _ZERO_SNR in marked)


def _noted(notes: Mapping[str, str]) -> str | None:
    return next((_NOTED[notes[name]] for name in _NOTES if notes.get(name) in _NOTED), None)
