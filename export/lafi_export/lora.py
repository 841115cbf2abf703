"""LoRA files as low-rank changes of a checkpoint's weights (arXiv:2106.09685).

Reads the layouts of diffusers (`unet.<module>.lora_A.weight`, also `lora.down`) and of kohya
(`lora_unet_<module with _ for .>.lora_down.weight`, `.alpha`), with diffusers' or the original
repository's block names. Knows names and shapes of weights, not networks.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from lafi_export.original_names import diffusers_block_name

Shapes = Mapping[str, Mapping[str, tuple[int, ...]]]
"""Part of a checkpoint (`unet`, `text_encoder` ...) -> weight name -> shape."""

_PREFIXES: Final = {
    "lora_unet_": "unet",
    "lora_te1_": "text_encoder",
    "lora_te2_": "text_encoder_2",
    "lora_te_": "text_encoder",
    "unet.": "unet",
    "text_encoder.": "text_encoder",
    "text_encoder_2.": "text_encoder_2",
}
_ROLE: Final = re.compile(
    r"^(?P<module>.+?)[._]"
    r"(?:(?P<down>lora_A|lora\.down|lora_down|lora_linear_layer\.down)(?:\.default)?\.weight"
    r"|(?P<up>lora_B|lora\.up|lora_up|lora_linear_layer\.up)(?:\.default)?\.weight"
    r"|(?P<alpha>alpha))$"
)
_NAMED: Final = 5
"""How many keys an error lists; the others are only counted."""


class LoraError(ValueError):
    """A LoRA file cannot be read or does not fit; the text names the keys."""


@dataclass(frozen=True, slots=True)
class LowRank:
    """A change `scale * up @ down` of one weight.

    down   (r, in) or (r, in, kh, kw) float32
    up     (out, r) or (out, r, 1, 1) float32
    scale  alpha / r from the file; 1 without an alpha
    """

    down: Tensor
    up: Tensor
    scale: float

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the weight that it changes."""
        return (self.up.shape[0], *self.down.shape[1:])

    def matrix(self) -> Tensor:
        """The change, float32, of `shape`."""
        product = self.up.flatten(1) @ self.down.flatten(1)
        return (self.scale * product).reshape(self.shape)


@dataclass(frozen=True, slots=True)
class Lora:
    """The changes in one file: part -> module name with `_` for `.` -> change."""

    path: Path
    changes: Mapping[str, Mapping[str, LowRank]]


def read_lora(path: Path) -> Lora:
    """Reads a safetensors LoRA file.

    Raises LoraError for another kind of file, for keys that are not LoRA factors of a UNet or a
    text encoder (such as DoRA, LoHa, LoKr), and for a factor without its partner.
    """
    found: dict[tuple[str, str], dict[str, Tensor]] = {}
    unknown = []
    for key, tensor in _tensors(path).items():
        address = _address(key)
        if address is None:
            unknown.append(key)
        else:
            part, module, role = address
            found.setdefault((part, module), {})[role] = tensor
    if unknown or not found:
        named = some(unknown) if unknown else "no tensors"
        raise LoraError(f"{path}: {named}; allowed: LoRA keys as diffusers or kohya write them")
    changes: dict[str, dict[str, LowRank]] = {}
    for (part, module), factors in found.items():
        changes.setdefault(part, {})[module] = _low_rank(path, f"{part}.{module}", factors)
    return Lora(path, changes)


def is_lora_key(key: str) -> bool:
    """Whether a tensor of this name is a LoRA factor that this module can read."""
    return _address(key) is not None


def fit(lora: Lora, shapes: Shapes) -> dict[str, dict[str, LowRank]]:
    """Part -> weight name -> change, matched to the checkpoint's weights.

    Changes of linear layers fit 1 x 1 convolutions, and the reverse.
    Raises LoraError, which names every module whose weight is missing or has another shape.
    """
    fitted: dict[str, dict[str, LowRank]] = {}
    wrong = []
    for part, modules in lora.changes.items():
        names = _flat_names(part, shapes.get(part, {}))
        for module, change in modules.items():
            name = names.get(module) or names.get(f"{module}_0")
            if name is None:
                wrong.append(f"{part}.{module} (no such module)")
                continue
            shape = tuple(shapes[part][name])
            if _squeezed(shape) != _squeezed(change.shape):
                wrong.append(f"{part}.{module} (is for {list(change.shape)}, not {list(shape)})")
                continue
            fitted.setdefault(part, {})[name] = change
    if wrong:
        raise LoraError(f"{lora.path}: does not fit the checkpoint: {some(wrong)}")
    return fitted


def merged(weight: Tensor, changes: Iterable[tuple[LowRank, float]]) -> Tensor:
    """`weight` plus the changes times their strengths; summed in float32, in the weight's dtype."""
    total = weight.float()
    for change, strength in changes:
        total = total + strength * change.matrix().reshape(weight.shape)
    return total.to(weight.dtype)


def some(keys: list[str]) -> str:
    """The first few of `keys`, and the number of the others."""
    rest = len(keys) - _NAMED
    return ", ".join(keys[:_NAMED]) + (f" and {rest} more" if rest > 0 else "")


def _tensors(path: Path) -> dict[str, Tensor]:
    try:
        with safe_open(path, framework="pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise LoraError(f"{path}: {error}; allowed: a safetensors file") from error


def _address(key: str) -> tuple[str, str, str] | None:
    """(part, flat module name, role) of a LoRA factor; None for any other tensor."""
    for prefix, part in _PREFIXES.items():
        if key.startswith(prefix):
            match = _ROLE.match(key.removeprefix(prefix))
            if match is None or match.lastgroup is None:
                return None
            module = _flat(match["module"].replace(".processor", "").removesuffix("_lora"))
            return part, _canonical(part, module), match.lastgroup
    return None


def _low_rank(path: Path, module: str, factors: Mapping[str, Tensor]) -> LowRank:
    missing = [role for role in ("down", "up") if role not in factors]
    if missing:
        raise LoraError(f"{path}: {module} has no {missing[0]} factor; the file is not whole")
    down, up = factors["down"].float(), factors["up"].float()
    rank = down.shape[0]
    if down.ndim < 2 or up.ndim < 2 or up[0].numel() != rank:
        raise LoraError(
            f"{path}: {module}: factors {list(up.shape)} and {list(down.shape)} do not multiply"
        )
    alpha = factors.get("alpha")
    scale = 1.0 if alpha is None else float(alpha) / rank
    if not (torch.isfinite(down).all() and torch.isfinite(up).all()):
        raise LoraError(f"{path}: {module} holds values that are not finite")
    return LowRank(down, up, scale)


def _flat_names(part: str, names: Iterable[str]) -> dict[str, str]:
    weights = [name for name in names if name.endswith(".weight")]
    return {_canonical(part, _flat(name.removesuffix(".weight"))): name for name in weights}


def _canonical(part: str, module: str) -> str:
    """A normalised flat module name; files have text encoders with and without their prefix."""
    if part == "unet":
        return diffusers_block_name(module)
    return module.removeprefix("text_model_")


def _flat(module: str) -> str:
    return module.replace(".", "_")


def _squeezed(shape: tuple[int, ...]) -> tuple[int, ...]:
    return shape[:2] if shape[2:] == (1, 1) else shape
