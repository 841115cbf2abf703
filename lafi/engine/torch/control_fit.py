"""Folders of control networks and adapters as diffusers saves them: whether they fit a model.

Knows configs, not how a network runs; reads no weights.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import ControlNetModel, T2IAdapter, UNet2DConditionModel

from lafi.model.checkpoint import CheckpointError, files_sha256, weight_files
from lafi.model.config_problems import Config
from lafi.model.control_fit import adapter_problems, control_problems, with_controls
from lafi.model.control_info import ControlInfo, FeaturePlace
from lafi.model.info import ModelInfo


def with_torch_controls(
    info: ModelInfo, checkpoint: Path, folders: Mapping[str, Path]
) -> ModelInfo:
    """The facts of a checkpoint with the control networks and adapters in these folders, by name.

    info: its facts without. Raises CheckpointError for a folder that is neither, or one for another
    model; the text says of each what does not fit.
    """
    if not folders:
        return info
    if info.family != "unet":
        raise CheckpointError(
            f"control: got {', '.join(folders)} for {info.name} of the family {info.family}, "
            "allowed with the UNets of SD1.5, SD2.1 and SDXL"
        )
    unet = complete_config(UNet2DConditionModel, Path(checkpoint) / "unet")
    problems = [
        f"control {name}: {folder}: {line}"
        for name, folder in folders.items()
        for line in folder_problems(folder, unet, info)
    ]
    if problems:
        raise CheckpointError("; ".join(problems))
    return with_controls(info, unet, [_facts(*each, info) for each in folders.items()])


def folder_problems(folder: Path, unet: Config, info: ModelInfo) -> list[str]:
    """One line for each value of a network's or an adapter's config that does not fit.

    unet: the complete config of the model's. Raises CheckpointError for a folder of neither.
    """
    if is_adapter(folder):
        adapter = without_weights(T2IAdapter, folder)
        return adapter_problems(adapter.config, _features(adapter, folder, info), unet, info)
    return control_problems(complete_config(ControlNetModel, folder), unet, info)


def is_adapter(folder: Path) -> bool:
    """Whether it is a T2I-Adapter and no control network. Raises CheckpointError for neither."""
    kind = _class_name(folder, "ControlNetModel or T2IAdapter")
    if kind not in (ControlNetModel.__name__, T2IAdapter.__name__):
        raise CheckpointError(f"{folder}: got a {kind}, allowed a ControlNetModel or a T2IAdapter")
    return bool(kind == T2IAdapter.__name__)


def complete_config(kind: Any, folder: Path) -> Config:
    """The config of a part's folder, with the defaults of its class in diffusers.

    Raises CheckpointError for a folder of another class.
    """
    return dict(without_weights(kind, folder).config)


def without_weights(kind: Any, folder: Path) -> Any:
    """A module of diffusers' class `kind`, its tensors without memory. Raises CheckpointError."""
    found = _class_name(folder, kind.__name__)
    if found != kind.__name__:
        raise CheckpointError(f"{folder}: got a {found}, allowed a {kind.__name__}")
    try:
        with torch.device("meta"):
            return kind.from_config(kind.load_config(folder, local_files_only=True))
    # What wrong values in a config make a module raise is not listed anywhere.
    except Exception as error:
        raise CheckpointError(f"{folder}: no {kind.__name__} has this config: {error}") from error


def _class_name(folder: Path, wanted: str) -> str | None:
    """Of diffusers, as the folder's config says. Raises CheckpointError where it has none."""
    try:
        config = ControlNetModel.load_config(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{folder}: has no config of a {wanted}: {error}") from error
    name: str | None = config.get("_class_name")
    return name


def _features(adapter: T2IAdapter, folder: Path, info: ModelInfo) -> list[FeaturePlace]:
    """An adapter's features, each with pixels of its picture for one of its cells."""
    side = 4 * info.side_multiple
    try:
        made = adapter(torch.zeros(1, adapter.config.in_channels, side, side, device="meta"))
    except RuntimeError as error:
        raise CheckpointError(
            f"{folder}: downscale_factor: got {adapter.config.downscale_factor}, allowed one by "
            f"which a side of {side} pixels can be divided ({error})"
        ) from error
    return [FeaturePlace(feature.shape[1], side // feature.shape[-1]) for feature in made]


def _facts(name: str, folder: Path, info: ModelInfo) -> ControlInfo:
    """Of a network or an adapter that fits the model."""
    facts = ControlInfo(name=name, weights_sha256=files_sha256(folder, weight_files(folder)))
    if not is_adapter(folder):
        return facts
    adapter = without_weights(T2IAdapter, folder)
    features = len(_features(adapter, folder, info))
    return facts.model_copy(update={"features": features, "channels": adapter.config.in_channels})
