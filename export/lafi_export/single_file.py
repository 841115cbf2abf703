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
from lafi_export.bare_pipeline import quiet_libraries
from lafi_export.clip_tokenizer import END_TOKEN, FIRST_TOKEN, clip_tokenizer
from lafi_export.file_markers import FileMarks, other_model, read_marks
from lafi_export.single_file_kind import (
    UNET,
    check_numbers,
    check_one_vae,
    check_prediction,
    checked_kind,
    in_own_file,
    of_part,
    parts_of,
)
from lafi_export.tensor_reading import read_tensors, some
from lafi_export.text_encoder_names import BEGINS, as_in_a_file, left_over

Part = Literal["unet", "transformer", "vae", "text_encoder", "text_encoder_2", "text_encoder_3"]
SINGLE_FILE_PARTS: Final[tuple[Part, ...]] = ("unet", "vae", "text_encoder", "text_encoder_2")
"""Those of the models that are published as single files."""
_PADS: Final = {("sd21", "tokenizer"): FIRST_TOKEN, ("sdxl", "tokenizer_2"): FIRST_TOKEN}


@dataclass(frozen=True, slots=True)
class SingleFile:
    """What a checkpoint is made of that is no diffusers folder, or not alone.

    checkpoint  a file with everything, or a folder; None where every part has its own
    parts       part -> its file; these replace the parts of `checkpoint`; of a folder GGUF files
    config      a diffusers folder whose configs count; None: those of the published models
    tokenizer   a folder with CLIP's tokenizer; None: the shipped vocabulary
    prediction  of the denoiser; None: as the file's marks say, or else its config
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
    tensors, notes = ({}, {}) if given.checkpoint is None else read_tensors(given.checkpoint)
    apart = {part: read_tensors(path) for part, path in given.parts.items()}
    # What the denoiser's own file says counts before what the whole one says.
    marked, noted = apart.get("unet", (tensors, notes))
    source = given.parts.get("unet", given.checkpoint)
    marks = read_marks(source or Path(), marked, noted, given.prediction)
    own = {part: in_own_file(found, part) for part, (found, _) in apart.items()}
    kind = _checked(given, tensors, own)
    check_prediction(source or Path(), kind, marks.prediction)
    _check_parts(given, kind)
    if "vae" in given.parts:
        check_one_vae(given.parts["vae"], apart["vae"][0])
    elif given.checkpoint is not None:
        check_one_vae(given.checkpoint, tensors)
    parts = cast(tuple[Part, ...], parts_of(kind))
    weights = {part: own.get(part) or of_part(tensors, kind, part) for part in parts}
    for part, found in weights.items():
        check_numbers(given.parts.get(part) or given.checkpoint or Path(), part, found)
    _write_configs(given, kind, marks, folder)
    for part, found in weights.items():
        source = given.parts.get(part, given.checkpoint)
        if source is None:
            raise CheckpointError(f"{part}: got no file; allowed: --{part.replace('_', '-')} FILE")
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
        _check_whole(kind, source, part, found, module)
        module.save_pretrained(folder / part)  # type: ignore[operator]
        _without_paths(folder / part / "config.json")
    return kind


def _checked(
    given: SingleFile, tensors: Mapping[str, Tensor], apart: Mapping[Part, Mapping[str, Tensor]]
) -> ArchitectureName:
    where = given.checkpoint or next(iter(given.parts.values()))
    activation = None
    if given.config is not None:
        content = _read_json(given.config / "text_encoder" / "config.json")
        activation = str(content.get("hidden_act"))
    unet = apart.get("unet") or of_part(tensors, "sd15", "unet")
    for part, found in apart.items():
        said = other_model(found)
        if said is not None:
            raise CheckpointError(f"{given.parts[part]}: got {said}; allowed the {part}")
    return checked_kind(where, tensors or next(iter(apart.values())), unet, activation)


def _check_parts(given: SingleFile, kind: ArchitectureName) -> None:
    """No file is left out without a word."""
    known = parts_of(kind)
    for part, path in given.parts.items():
        if part not in known:
            allowed = ", ".join(f"--{name.replace('_', '-')}" for name in known)
            raise CheckpointError(
                f"--{part.replace('_', '-')}: got {path} for {kind}, which has no such part; "
                f"allowed: {allowed}"
            )


def _write_configs(
    given: SingleFile, kind: ArchitectureName, marks: FileMarks, folder: Path
) -> None:
    """Everything but weights."""
    chosen = architecture(kind)
    classes = {part: list(where) for part, where in chosen.classes.items()}
    index: dict[str, Any] = {"_class_name": chosen.pipeline, **classes, **chosen.index}
    scheduler: dict[str, Any] = dict(chosen.scheduler)
    configs = {part: dict(config) for part, config in chosen.configs.items()}
    if given.config is not None:
        index = _read_json(given.config / "model_index.json")
        scheduler = _read_json(given.config / "scheduler" / "scheduler_config.json")
        configs = {part: _read_json(given.config / part / "config.json") for part in configs}
    scheduler = scheduler | _trained(marks, scheduler)
    _write_json(folder / "model_index.json", index)
    _write_json(folder / "scheduler" / "scheduler_config.json", scheduler)
    for part, config in configs.items():
        _write_json(folder / part / "config.json", config)
    for part in chosen.tokenizers:
        _tokenizer(given, kind, part).save_pretrained(folder / part)


def _trained(marks: FileMarks, scheduler: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of the scheduler config that a file's marks decide.

    Where timesteps are stays as the config says, `leading` for SDXL: published folders of models
    with both marks have it (such as those of NoobAI XL with v-prediction).
    """
    fields: dict[str, Any] = {}
    if marks.prediction is not None:
        fields["prediction_type"] = marks.prediction
    if marks.zero_snr:
        fields["rescale_betas_zero_snr"] = True
        predicts = marks.prediction or scheduler.get("prediction_type", "epsilon")
        if predicts != "v_prediction":
            raise CheckpointError(
                f"ztsnr: got this tensor, whose noise ends without any signal, with {predicts}; "
                "allowed with v-prediction: a tensor v_pred beside it, or --prediction v_prediction"
            )
    return fields


def _tokenizer(given: SingleFile, kind: ArchitectureName, part: str) -> CLIPTokenizer:
    own = None if given.config is None else given.config / part
    pad = _PADS.get((kind, part), END_TOKEN)
    if given.tokenizer is not None:
        # One folder is for all text encoders, which do not all pad with the same token.
        found = CLIPTokenizer.from_pretrained(given.tokenizer)
        if own is not None and own.is_dir():
            pad = str(CLIPTokenizer.from_pretrained(own).pad_token)
        if pad not in found.get_vocab():
            raise CheckpointError(
                f"--tokenizer: got {given.tokenizer} without the token {pad}, with which {part} of "
                f"{kind} pads texts; allowed: a CLIP tokenizer with it"
            )
        return CLIPTokenizer.from_pretrained(given.tokenizer, pad_token=pad)
    if own is not None and own.is_dir():
        return CLIPTokenizer.from_pretrained(own)
    return clip_tokenizer(pad)


def _module(
    kind: ArchitectureName, part: str, tensors: Mapping[str, Tensor], folder: Path
) -> nn.Module:
    dtypes = {value.dtype for value in tensors.values() if value.is_floating_point()}
    dtype = dtypes.pop() if len(dtypes) == 1 else torch.float32
    if dtype not in (torch.float16, torch.bfloat16):
        dtype = torch.float32
    if part in ("unet", "vae"):
        reader = UNet2DConditionModel if part == "unet" else AutoencoderKL
        begin = UNET if part == "unet" else ""
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
        checkpoint=as_in_a_file(kind, part, tensors),
        config=str(folder),
        subfolder=part,
        torch_dtype=dtype,
        local_files_only=True,
    )
    return encoder


def _is_diffusers(tensors: Mapping[str, Tensor]) -> bool:
    return "conv_in.weight" in tensors or "encoder.conv_in.bias" in tensors


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


def _check_whole(
    kind: ArchitectureName,
    source: Path,
    part: str,
    tensors: Mapping[str, Tensor],
    module: nn.Module,
) -> None:
    """Every place has a tensor, and of a text encoder every tensor has a place."""
    empty = [name for name, value in module.state_dict().items() if value.is_meta]
    if empty:
        raise CheckpointError(f"{source}: {part} has no {some(empty)}")
    if part in BEGINS[kind]:
        extra = left_over(as_in_a_file(kind, part, tensors), module)
        if extra:
            raise CheckpointError(
                f"{source}: {part}: got {some(extra)}, for which this text encoder has no place; "
                "allowed: the tensors of its layers, or another model's configs by --config"
            )


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
