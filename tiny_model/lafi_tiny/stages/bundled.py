"""The models that the commands measure and pack, by the name of the stage that trains them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from lafi_tiny.stages.blueprint import BLUEPRINT
from lafi_tiny.stages.denoising_model import StageFiles
from lafi_tiny.stages.pack import evaluate, pack_model
from lafi_tiny.stages.pack_transformer import evaluate_transformer, pack_transformer
from lafi_tiny.stages.score import ScoreSizes
from lafi_tiny.stages.text_to_flow import TRANSFORMER
from lafi_tiny.stages.text_to_latent import DENOISER
from lafi_tiny.stages.transformer_blueprint import TRANSFORMER_BLUEPRINT


@dataclass(frozen=True, slots=True)
class Bundled:
    """A model of this folder.

    out: where it is packed unless another place is named.
    evaluate: (training folder, sizes) -> all figures.
    pack: (training folder, out) -> size in bytes.
    """

    files: StageFiles
    out: Path
    evaluate: Callable[[Path, ScoreSizes], dict[str, Any]]
    pack: Callable[[Path, Path], int]


_PLANS: Final = (BLUEPRINT, TRANSFORMER_BLUEPRINT)
BUNDLED: Final[Mapping[str, Bundled]] = {
    DENOISER.name: Bundled(
        files=DENOISER,
        out=Path("tiny_model/weights"),
        evaluate=partial(evaluate, BLUEPRINT),
        pack=partial(pack_model, BLUEPRINT),
    ),
    TRANSFORMER.name: Bundled(
        files=TRANSFORMER,
        out=Path("tiny_model/zimage"),
        evaluate=partial(evaluate_transformer, *_PLANS),
        pack=partial(pack_transformer, *_PLANS),
    ),
}


def bundled(name: str) -> Bundled:
    """The model of that name. Raises ValueError with the allowed ones for another name."""
    if name not in BUNDLED:
        raise ValueError(f"model: got {name!r}, allowed: {', '.join(BUNDLED)}")
    return BUNDLED[name]
