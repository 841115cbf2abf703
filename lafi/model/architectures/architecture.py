"""`Architecture`: a diffusers folder of a published model without its weights."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Config = dict[str, Any]
Size = Literal["full", "small"]


@dataclass(frozen=True, slots=True)
class Architecture:
    """One pipeline folder without its weights.

    pipeline   class name in `model_index.json`
    classes    part -> (library, class)
    configs    part -> its config.json
    scheduler  scheduler_config.json
    index      other fields of `model_index.json`
    """

    name: str
    pipeline: str
    classes: Mapping[str, tuple[str, str]]
    configs: Mapping[str, Config]
    scheduler: Config
    index: Config

    @property
    def tokenizers(self) -> tuple[str, ...]:
        """The folders of its tokenizers, one for each text encoder."""
        return tuple(part for part in self.classes if part.startswith("tokenizer"))
