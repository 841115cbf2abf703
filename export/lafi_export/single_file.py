"""Checkpoints in one file, or with parts in files of their own, as diffusers folders.

Weights are read by diffusers' `from_single_file`, with configs that are known here and never
fetched. Knows which published models a file can be, not how they are drawn.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, cast

import torch
import transformers
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.loaders.single_file_utils import create_diffusers_clip_model_from_ldm
from torch import Tensor, nn
from transformers import CLIPTokenizer

from lafi.model.architectures.registry import ArchitectureName, architecture
from lafi.model.checkpoint import CheckpointError
from lafi.model.info import PREDICTION_TYPES
from lafi_export.bare_pipeline import quiet_libraries
from lafi_export.clip_tokenizer import FIRST_TOKEN, clip_tokenizer
from lafi_export.tensor_reading import read_tensors, some

Part = Literal["unet", "transformer", "vae", "text_encoder", "text_encoder_2", "text_encoder_3"]
SINGLE_FILE_PARTS: Final[tuple[Part, ...]] = ("unet", "vae", "text_encoder", "text_encoder_2")
"""Those of the models that are published as single files."""
_UNET: Final = "model.diffusion_model."
_VAES: Final = ("first_stage_model.", "vae.")
_TEXTS: Final[Mapping[ArchitectureName, Mapping[str, str]]] = {
    "sd15": {"text_encoder": "cond_stage_model.transformer."},
    "sd21": {"text_encoder": "cond_stage_model.model."},
    "sdxl": {
        "text_encoder": "conditioner.embedders.0.transformer.",
        "text_encoder_2": "conditioner.embedders.1.model.",
    },
}
"""Architecture -> text encoder -> what its names begin with in a single file."""
_OTHER: Final = {
    "edm_mean": "Playground 2.5, which is trained with EDM noise",
    "v_pred": "SDXL with v-prediction; allowed with --prediction v_prediction",
    "conditioner.embedders.0.model.text_projection": "SDXL's refiner",
    "control_model.time_embed.0.weight": "a control network",
    "model.diffusion_model.joint_blocks.0.x_block.attn.qkv.weight": "SD3",
    "model.diffusion_model.double_blocks.0.img_attn.qkv.weight": "FLUX",
}
"""Tensors that tell of other models."""
_PADS: Final = {("sd21", "tokenizer"): FIRST_TOKEN, ("sdxl", "tokenizer_2"): FIRST_TOKEN}


@dataclass(frozen=True, slots=True)
class SingleFile:
    """What a checkpoint is made of that is no diffusers folder, or not alone.

    checkpoint  a file with everything, or a folder; None where every part has its own
    parts       part -> its file; these replace the parts of `checkpoint`; of a folder GGUF files
    config      a diffusers folder whose configs count; None: those of the published models
    tokenizer   a folder with CLIP's tokenizer; None: the shipped vocabulary
    prediction  of the denoiser, for models that tensors do not tell apart
    """

    checkpoint: Path | None
    parts: Mapping[Part, Path] = field(default_factory=dict)
    config: Path | None = None
    tokenizer: Path | None = None
    prediction: str | None = None


def write_folder(given: SingleFile, folder: Path) -> ArchitectureName:
    """Writes a diffusers folder of the model and returns which published one it is.

    Raises CheckpointError for another model, a part without weights, weights that do not fit, and
    for SD2.1 without a prediction, which its tensors do not tell; TensorFileError for a damaged
    file.
    """
    tensors = {} if given.checkpoint is None else read_tensors(given.checkpoint)[0]
    apart = {part: read_tensors(path)[0] for part, path in given.parts.items()}
    kind = _kind(given, tensors, apart)
    _write_configs(given, kind, folder)
    for part in ("unet", "vae", *_TEXTS[kind]):
        source = given.parts.get(cast(Part, part), given.checkpoint)
        if source is None:
            raise CheckpointError(f"{part}: got no file; allowed: --{part.replace('_', '-')} FILE")
        found = apart.get(cast(Part, part)) or _of_part(tensors, kind, part)
        if not found:
            raise CheckpointError(f"{source}: has no weights of {part}")
        _check_count(source, part, found, folder)
        try:
            with quiet_libraries():
                module = _module(kind, part, found, folder)
        except Exception as error:
            # What foreign tensors make of diffusers' converters is not foreseeable.
            lines = [line.strip()[:200] for line in str(error).splitlines() if line.strip()]
            raise CheckpointError(
                f"{source}: diffusers cannot read {part}: {some(lines) or type(error).__name__}"
            ) from error
        _check_whole(source, part, module)
        module.save_pretrained(folder / part)  # type: ignore[operator]
        _without_paths(folder / part / "config.json")
    return kind


def kind_of(names: Mapping[str, object]) -> ArchitectureName | None:
    """Which published model tensors with these names are of; None for none of them."""
    if any(name.startswith("conditioner.embedders.1.model.") for name in names):
        return "sdxl"
    if any(name.startswith("cond_stage_model.model.") for name in names):
        return "sd21"
    return "sd15" if any(name.startswith("cond_stage_model.") for name in names) else None


def other_model(names: Mapping[str, object], prediction: str | None = None) -> str | None:
    """What tensors with these names are of, if it is a model that cannot be drawn."""
    for key, said in _OTHER.items():
        if key in names and not (key == "v_pred" and prediction):
            return said
    return None


def _kind(
    given: SingleFile, tensors: Mapping[str, Tensor], apart: Mapping[Part, Mapping[str, Tensor]]
) -> ArchitectureName:
    where = given.checkpoint or next(iter(given.parts.values()))
    said = other_model(tensors, given.prediction)
    if said is not None:
        raise CheckpointError(f"{where}: got {said}; allowed SD1.5, SD2.1 and SDXL base")
    unet = apart.get("unet") or _of_part(tensors, "sd15", "unet")
    kind = kind_of(tensors) or _kind_of_unet(unet, given.config)
    if kind is None:
        raise CheckpointError(
            f"{where}: got {some(tensors or next(iter(apart.values())))}; allowed a whole SD1.5, "
            "SD2.1 or SDXL in original names, or --unet, --vae and --text-encoder files"
        )
    first = unet.get("input_blocks.0.0.weight", unet.get("conv_in.weight"))
    if first is not None and first.shape[1] != 4:
        raise CheckpointError(
            f"{where}: got a denoiser with {first.shape[1]} input channels (inpainting, depth or "
            "editing), allowed 4"
        )
    if given.prediction is not None and given.prediction not in PREDICTION_TYPES:
        allowed = ", ".join(PREDICTION_TYPES)
        raise CheckpointError(f"--prediction: got {given.prediction!r}, allowed {allowed}")
    if kind == "sd21" and given.prediction is None:
        raise CheckpointError(
            f"{where}: is SD2, whose tensors do not tell what it predicts; allowed: --prediction "
            "v_prediction (768 px models) or --prediction epsilon (512 px base models)"
        )
    return kind


def _kind_of_unet(unet: Mapping[str, Tensor], config: Path | None) -> ArchitectureName | None:
    """By the width of the text that it reads, or as the configs say."""
    if any(name.startswith(("label_emb.", "add_embedding.")) for name in unet):
        return "sdxl"
    if unet and config is not None:
        activation = _read_json(config / "text_encoder" / "config.json").get("hidden_act")
        return "sd21" if activation == "gelu" else "sd15"
    widths = {value.shape[-1] for name, value in unet.items() if name.endswith("attn2.to_k.weight")}
    known: dict[int, ArchitectureName] = {768: "sd15", 1024: "sd21"}
    return known.get(max(widths, default=0))


def _of_part(tensors: Mapping[str, Tensor], kind: ArchitectureName, part: str) -> dict[str, Tensor]:
    """A part's tensors without what their names begin with."""
    begins = {"unet": (_UNET,), "vae": _VAES}.get(part) or (_TEXTS[kind].get(part, "?"),)
    return {
        name.removeprefix(begin): value
        for begin in begins
        for name, value in tensors.items()
        if name.startswith(begin)
    }


def _write_configs(given: SingleFile, kind: ArchitectureName, folder: Path) -> None:
    """Everything but weights."""
    chosen = architecture(kind)
    classes = {part: list(where) for part, where in chosen.classes.items()}
    index: dict[str, Any] = {"_class_name": chosen.pipeline, **classes, **chosen.index}
    scheduler = dict(chosen.scheduler)
    configs = {part: dict(config) for part, config in chosen.configs.items()}
    if given.config is not None:
        index = _read_json(given.config / "model_index.json")
        scheduler = _read_json(given.config / "scheduler" / "scheduler_config.json")
        configs = {part: _read_json(given.config / part / "config.json") for part in configs}
    if given.prediction is not None:
        scheduler["prediction_type"] = given.prediction
    _write_json(folder / "model_index.json", index)
    _write_json(folder / "scheduler" / "scheduler_config.json", scheduler)
    for part, config in configs.items():
        _write_json(folder / part / "config.json", config)
    for part in chosen.tokenizers:
        own = None if given.config is None else given.config / part
        if given.tokenizer is not None:
            tokenizer = CLIPTokenizer.from_pretrained(given.tokenizer)
        elif own is not None and own.is_dir():
            tokenizer = CLIPTokenizer.from_pretrained(own)
        else:
            tokenizer = clip_tokenizer(
                **{"pad": _PADS[kind, part]} if (kind, part) in _PADS else {}
            )
        tokenizer.save_pretrained(folder / part)


def _module(
    kind: ArchitectureName, part: str, tensors: Mapping[str, Tensor], folder: Path
) -> nn.Module:
    dtypes = {value.dtype for value in tensors.values() if value.is_floating_point()}
    dtype = dtypes.pop() if len(dtypes) == 1 else torch.float32
    if dtype not in (torch.float16, torch.bfloat16):
        dtype = torch.float32
    if part in ("unet", "vae"):
        reader = UNet2DConditionModel if part == "unet" else AutoencoderKL
        begin = _UNET if part == "unet" else ""
        named = any(name.startswith((begin or "?", "down_blocks.")) for name in tensors)
        prefix = "" if named or _is_diffusers(tensors) else begin
        module: nn.Module = reader.from_single_file(
            {f"{prefix}{name}": value for name, value in tensors.items()},
            config=str(folder),
            subfolder=part,
            torch_dtype=dtype,
            local_files_only=True,
        )
        return module
    index = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
    encoder: nn.Module = create_diffusers_clip_model_from_ldm(
        getattr(transformers, index[part][1]),
        checkpoint=_as_in_a_file(kind, part, tensors),
        config=str(folder),
        subfolder=part,
        torch_dtype=dtype,
        local_files_only=True,
    )
    return encoder


def _is_diffusers(tensors: Mapping[str, Tensor]) -> bool:
    return "conv_in.weight" in tensors or "encoder.conv_in.bias" in tensors


def _as_in_a_file(
    kind: ArchitectureName, part: str, tensors: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """A text encoder's tensors under the names of a single file, as diffusers' reader wants."""
    begin = _TEXTS[kind][part]
    if any(name.startswith("text_model.") for name in tensors):
        # transformers' names, which single files have for OpenAI's encoder alone.
        begin = _TEXTS["sd15"]["text_encoder"]
    return {name if name.startswith(begin) else f"{begin}{name}": v for name, v in tensors.items()}


def _check_count(source: Path, part: str, tensors: Mapping[str, Tensor], folder: Path) -> None:
    """Of the denoiser and the VAE, whose tensors are one to one in both spellings."""
    if part not in ("unet", "vae"):
        return
    reader = UNet2DConditionModel if part == "unet" else AutoencoderKL
    with torch.device("meta"):
        places = len(reader.from_config(reader.load_config(folder / part)).state_dict())
    if len(tensors) != places:
        raise CheckpointError(
            f"{source}: {part}: got {len(tensors)} tensors, allowed {places}, as many as have a "
            "place; allowed: a whole file of SD1.5, SD2.1 or SDXL, or its configs by --config"
        )


def _check_whole(source: Path, part: str, module: nn.Module) -> None:
    empty = [name for name, value in module.state_dict().items() if value.is_meta]
    if empty:
        raise CheckpointError(f"{source}: {part} has no {some(empty)}")


def _without_paths(config: Path) -> None:
    """The same checkpoint gives the same bytes, wherever it lies."""
    content = _read_json(config)
    content.pop("_name_or_path", None)
    _write_json(config, content)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: {error}") from error
    return content


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
