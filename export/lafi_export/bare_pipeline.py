"""A diffusers pipeline whose networks have their shapes but take no memory.

diffusers' loaders put LoRA files and learnt words into it, so that a file is read and matched in
seconds, whatever the model's size. Knows diffusers' folder format.
"""

import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import diffusers
import torch
import transformers
from torch import nn
from transformers.utils import logging as transformers_logging

from lafi.model.checkpoint import CheckpointError

_LIBRARIES: Final = {"diffusers": diffusers, "transformers": transformers}
_CONFIG: Final = "config.json"


def bare_pipeline(checkpoint: Path) -> Any:
    """The pipeline of a diffusers folder with the networks that LoRA files can change.

    Each weight is one number, seen in the weight's shape. Everything else is None.
    Raises CheckpointError for a pipeline that takes no LoRA, or a config that fits no class.
    """
    index = json.loads((checkpoint / "model_index.json").read_text(encoding="utf-8"))
    pipeline: Any = getattr(diffusers, str(index.get("_class_name")), None)
    parts = getattr(pipeline, "_lora_loadable_modules", ())
    if not parts:
        raise CheckpointError(
            f"{checkpoint}: got {index.get('_class_name')}, for which diffusers loads no LoRA "
            "files and no learnt words"
        )
    networks = {part: _bare_part(checkpoint / part, index[part]) for part in parts}
    expected, optional = pipeline._get_signature_keys(pipeline)
    flags = {"requires_safety_checker": False} if "requires_safety_checker" in optional else {}
    with quiet_libraries():
        return pipeline(**(dict.fromkeys(expected) | networks | flags))


def networks(pipeline: Any) -> Mapping[str, nn.Module]:
    """The networks that LoRA files can change, by part."""
    return {part: getattr(pipeline, part) for part in pipeline._lora_loadable_modules}


def denoiser_part(pipeline: Any) -> str:
    """The part that predicts, among those that LoRA files can change."""
    return next(part for part in networks(pipeline) if not part.startswith("text_encoder"))


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Silences log lines, warnings and progress bars of diffusers, transformers and peft.

    Only for calls whose result is checked afterwards: what they would say is found out there.
    """
    logs = [logging.getLogger(name) for name in ("diffusers", "transformers", "peft")]
    levels = [log.level for log in logs]
    bar = transformers_logging.is_progress_bar_enabled()
    for log in logs:
        log.setLevel(logging.CRITICAL)
    transformers_logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for log, level in zip(logs, levels, strict=True):
            log.setLevel(level)
        if bar:
            transformers_logging.enable_progress_bar()


def _bare_part(folder: Path, where: list[str]) -> nn.Module:
    library, name = where
    kind = getattr(_LIBRARIES[library], name)
    with torch.device("meta"):
        if library == "diffusers":
            module: nn.Module = kind.from_config(kind.load_config(folder))
        else:
            module = kind(kind.config_class.from_pretrained(folder))
    for inner in module.modules():
        for name, weight in inner.named_parameters(recurse=False):
            inner.register_parameter(name, bare_weight(tuple(weight.shape)))
        for name, buffer in inner.named_buffers(recurse=False):
            setattr(inner, name, torch.zeros(buffer.shape, dtype=buffer.dtype))
    return module.eval()


def bare_weight(shape: tuple[int, ...]) -> nn.Parameter:
    """float32 zeros of that shape in the memory of one number."""
    weight = nn.Parameter(torch.zeros(()).expand(shape), requires_grad=False)
    # transformers would fill weights without this mark with random numbers.
    weight._is_hf_initialized = True  # type: ignore[attr-defined]
    return weight
