"""`InputPort`: one input of a denoiser, and all that is to be known of it.

The tables of a family's ports (`lafi.model.families`) are what wire specs, exported graphs,
TensorRT profiles, padding, precision, parity cases and engines read. A new input is a new row of
such a table. The bank's inputs are named and shaped in `lafi.model.bank_groups`.
"""

from collections.abc import Mapping, Sequence
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict

NOWHERE: Final = -1
"""Route that reads nothing, and slot of a word that acts everywhere."""

ROWS: Final = "rows"
REFERENCES: Final = "references"
HEIGHT: Final = "height"
WIDTH: Final = "width"
Axis = Literal["rows", "references", "height", "width"]
"""An axis of any size: rows of the call, slots that a row may read, the latent's sides."""
Example = Literal["normal", "weight", "timestep", "pixels", "route", "slot"]
"""What a port holds, for those who make some up: normal numbers, weights in [0, 1], training
timesteps, sizes in pixels, rows to be read or -1, slots or -1."""


class InputPort(BaseModel):
    """One input of the denoiser.

    name      as in the exported graph and on the wire
    dtype     FP32 or INT32, in KServe's words
    axes      of the tensor: a size, or the name of an axis that varies
    fill      what a row holds that does not use it, and what padding holds
    exact     numbers that half precision would spoil: they stay in float32
    optional  whether a batch may come without it, which is `fill` everywhere
    reading   whether only rows have it that read; a reference that is computed alone has not
    example   what it holds
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    axes: tuple[Axis | int, ...]
    dtype: Literal["FP32", "INT32"] = "FP32"
    fill: float = 0.0
    exact: bool = False
    optional: bool = False
    reading: bool = False
    example: Example = "normal"

    def axis(self, name: Axis) -> int | None:
        """Where in `axes` the named one is; None where it is not."""
        return self.axes.index(name) if name in self.axes else None

    @property
    def row_axis(self) -> int:
        """Where its rows are counted. Raises ValueError for a port without rows."""
        return self.axes.index(ROWS)

    @property
    def row_shape(self) -> tuple[Axis | int, ...]:
        """`axes` of one row."""
        return tuple(axis for axis in self.axes if axis != ROWS)

    def shape(self, sizes: Mapping[str, int]) -> tuple[int, ...]:
        """Its shape where the axes that vary have these sizes. Raises KeyError for one missing."""
        return tuple(sizes[axis] if isinstance(axis, str) else axis for axis in self.axes)


def core_ports(latent_channels: int, layers: int, text: Sequence[int]) -> tuple[InputPort, ...]:
    """What every denoiser takes: rows, their text (T, D), and what they read."""
    return (
        InputPort(name="latents", axes=(ROWS, latent_channels, HEIGHT, WIDTH)),
        InputPort(name="timesteps", axes=(ROWS,), exact=True, example="timestep"),
        InputPort(name="text", axes=(ROWS, *text)),
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


CORE: Final = ("latents", "timesteps", "text", "routes", "bias", "mask", "region")
"""Names of `core_ports`; the others are a family's own."""
