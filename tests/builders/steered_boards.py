"""Panels that random pictures steer beside the words, by control or as picture prompts."""

import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from PIL import Image

from lafi.board.reference_image import ReferenceImage
from lafi.board.storyboard import Panel, Storyboard
from lafi.drawing.pipeline import draw
from lafi.ports.engines import Engines
from lafi.wire.events import PanelImage

STEPS, GUIDANCE, PROMPT, SEED = 5, 4.0, "a child on the beach", 11
SETTINGS: dict[str, Any] = {
    "sampling": {"steps": STEPS, "sampler": "DDIM", "guidance": GUIDANCE},
    "injection": {"layers": "none"},
    "negative_prompt": "night",
}


def coarse_blocks(seed: int, columns: int, size: tuple[int, int]) -> Image.Image:
    """Random blocks, four rows of them, as a picture (width, height)."""
    blocks = np.random.default_rng(seed).integers(0, 256, (4, columns, 3), dtype=np.uint8)
    return Image.fromarray(blocks).resize(size, Image.Resampling.NEAREST)


def steered_board(
    field: str,
    panels: Sequence[Sequence[dict[str, Any]]],
    picture: Callable[[int], Image.Image],
    size: tuple[int, int],
    **fields: Any,
) -> Storyboard:
    """A panel for each list, which its `field` gets; `picture` says what is seen at each place."""
    width, height = size
    made = []
    for given in panels:
        seen = [
            {"image": ReferenceImage(data=png(picture(place)))} | each
            for place, each in enumerate(given)
        ]
        made.append(Panel(prompt=PROMPT, seed=SEED, **{field: seen}))  # type: ignore[arg-type]
    return Storyboard(width=width, height=height, panels=made, **(SETTINGS | fields))


def png(image: Image.Image) -> bytes:
    """A PNG file."""
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


def pixels(board: Storyboard, engines: Engines) -> list[np.ndarray]:
    """The drawn panels as int16 (H, W, 3), in their order."""
    panels = {e.panel: e.png for e in draw(board, engines) if isinstance(e, PanelImage)}
    return [np.asarray(Image.open(io.BytesIO(panels[i])), dtype=np.int16) for i in sorted(panels)]
