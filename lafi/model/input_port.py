"""`InputPort`: all facts about one input of a denoiser.

Wire specs, exported graphs, TensorRT profiles, padding, precision, parity cases and engines all
use the tables of ports in `lafi.model.families`. A new input is a new row of such a table. The
names and shapes of the bank's inputs are in `lafi.model.bank_groups`.
"""

from collections.abc import Mapping, Sequence
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict

NOWHERE: Final = -1
"""The route that reads nothing, and the slot of a word that acts everywhere."""

ROWS: Final = "rows"
REFERENCES: Final = "references"
HEIGHT: Final = "height"
WIDTH: Final = "width"
TOKENS: Final = "tokens"
PICTURES: Final = "pictures"
Axis = Literal["rows", "references", "height", "width", "tokens", "pictures"]
"""Axes of any size: rows of the call, slots that a row may read, the latent's sides, tokens of
the text in a model whose texts have different lengths, and picture prompts of a row; where a row
has fewer of the last two, they are padded with the fill."""
Example = Literal["normal", "weight", "flag", "timestep", "pixels", "route", "slot"]
"""The kind of values in a port, for code that makes up inputs: normal numbers, weights in [0, 1],
0 or 1 of which the first is 1, training timesteps, sizes in pixels, rows to read or -1, slots or
-1."""
GUIDANCE_PORT: Final = "guidance"
"""The input with the scale of guidance, in models that were taught it."""
TEXT: Final = "text"
TEXT_MASK: Final = "text_mask"
"""The input that says which tokens of a row's text count, 1 or 0; left out, all do."""

WORDS: Final = "words"
"""The input that says in whose region a token of a row's text acts, a slot, or -1 for anywhere."""


class InputPort(BaseModel):
    """One input of the denoiser.

    name      as in the exported graph and on the wire
    dtype     FP32 or INT32, in KServe's names
    axes      of the tensor: a size, or the name of an axis that varies
    fill      value in rows that do not use the port, and in padding
    exact     whether it must stay in float32, because half precision is too coarse
    optional  whether a batch may leave it out, which means `fill` everywhere
    reading   whether only reading rows have it; references computed alone do not
    downscale latent cells along a side for one of its own, for a port with `height` and `width`
    one_row   whether one row may stand for all rows, as it does where no row uses the port
    example   the kind of its values
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    axes: tuple[Axis | int, ...]
    dtype: Literal["FP32", "INT32"] = "FP32"
    fill: float = 0.0
    exact: bool = False
    optional: bool = False
    reading: bool = False
    downscale: int = 1
    one_row: bool = False
    example: Example = "normal"

    def axis(self, name: Axis) -> int | None:
        """The index of the named axis in `axes`; None if it is not there."""
        return self.axes.index(name) if name in self.axes else None

    @property
    def row_axis(self) -> int:
        """The index of the axis of rows. Raises ValueError for a port without rows."""
        return self.axes.index(ROWS)

    @property
    def row_shape(self) -> tuple[Axis | int, ...]:
        """`axes` of one row."""
        return tuple(axis for axis in self.axes if axis != ROWS)

    def shape(self, sizes: Mapping[str, int]) -> tuple[int, ...]:
        """The shape, given the sizes of the axes that vary. Raises KeyError for a missing size.

        height and width are the latents'.
        """
        own = {side: sizes[side] // self.downscale for side in (HEIGHT, WIDTH) if side in sizes}
        return tuple(
            {**sizes, **own}[axis] if isinstance(axis, str) else axis for axis in self.axes
        )


def core_ports(
    latent_channels: int, layers: int, text: Sequence[Axis | int]
) -> tuple[InputPort, ...]:
    """The inputs of every denoiser: rows, their text (T, D), and their routes."""
    return (
        InputPort(name="latents", axes=(ROWS, latent_channels, HEIGHT, WIDTH)),
        InputPort(name="timesteps", axes=(ROWS,), exact=True, example="timestep"),
        InputPort(name=TEXT, axes=(ROWS, *text)),
        InputPort(
            name="routes",
            axes=(layers, ROWS, REFERENCES),
            dtype="INT32",
            fill=NOWHERE,
            reading=True,
            example="route",
        ),
        InputPort(name="bias", axes=(ROWS, REFERENCES), reading=True),
        InputPort(name="mask", axes=(ROWS, HEIGHT, WIDTH), reading=True, example="weight"),
        InputPort(
            name="region",
            axes=(ROWS, REFERENCES, HEIGHT, WIDTH),
            reading=True,
            example="weight",
        ),
    )


def words_port(tokens: Axis | int) -> InputPort:
    """`words` of a denoiser that reads text by cross-attention. tokens: of a text."""
    return InputPort(
        name=WORDS,
        axes=(ROWS, tokens),
        dtype="INT32",
        fill=NOWHERE,
        optional=True,
        reading=True,
        example="slot",
    )


def text_mask_port(tokens: Axis | int) -> InputPort:
    """`text_mask` of a denoiser whose texts are always padded. tokens: of a text."""
    return InputPort(name=TEXT_MASK, axes=(ROWS, tokens), example="flag")
