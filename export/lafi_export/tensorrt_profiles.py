"""Which shapes an engine is built for: one optimisation profile from a few limits.

Knows the served models' tensors and what their axes mean; calls no TensorRT.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, Literal, get_args

from lafi.board.further_reference import MAX_FURTHER_REFERENCES
from lafi.board.limits import MAX_CHARACTERS_PER_PANEL
from lafi.board.picture_prompt import MAX_PICTURE_PROMPTS
from lafi.denoising.lane import MAX_BANK
from lafi.drawing.pipeline import MAX_ROWS
from lafi.model.bank_groups import bank_groups, bank_shapes, placeholder_shapes
from lafi.model.engine_metadata import Shape, ShapeRange
from lafi.model.families.registry import input_ports
from lafi.model.info import ModelInfo
from lafi.model.input_port import HEIGHT, PICTURES, ROWS, TOKENS, WIDTH, Axis, InputPort
from lafi.ports.denoiser_tensors import reference_ports
from lafi.wire.model_spec import ANY, IMAGE, ModelSpec, TensorSpec

_SPATIAL: Final[tuple[Axis, ...]] = ("height", "width")


class ProfileError(ValueError):
    """Limits that no engine can be built for; the text names field, value and allowed."""


@dataclass(frozen=True, slots=True)
class Range:
    """Sizes of one axis: smallest, the one that kernels are tuned for, largest."""

    smallest: int
    tuned: int
    largest: int


@dataclass(frozen=True, slots=True)
class Limits:
    """What the engines must take.

    rows: of one denoiser call. batch: of a call of text encoder or VAE. references: that one row
    may read; 0 is padded to 1 by the engine. entries: of the bank of one denoiser call, and so the
    references that are read at once; without a bank it is one placeholder of the smallest size.
    side: of a picture, in pixels.
    """

    rows: Range = Range(1, 8, MAX_ROWS)
    batch: Range = Range(1, 1, 8)
    references: Range = Range(1, 1, MAX_CHARACTERS_PER_PANEL + MAX_FURTHER_REFERENCES)
    entries: Range = Range(1, 1, MAX_BANK)
    side: Range = Range(256, 512, 1024)

    def with_rows(self, most: int) -> "Limits":
        """The same limits, but with at most that many rows of one denoiser call."""
        return replace(self, rows=Range(1, min(most, self.rows.tuned), most))

    def check(self, info: ModelInfo) -> None:
        """Raises ProfileError for ranges out of order or sides that the model does not draw."""
        for name in ("rows", "batch", "references", "entries", "side"):
            sizes = getattr(self, name)
            if not 1 <= sizes.smallest <= sizes.tuned <= sizes.largest:
                got = f"{sizes.smallest}, {sizes.tuned}, {sizes.largest}"
                raise ProfileError(f"{name}: got {got}, allowed 1 <= smallest <= tuned <= largest")
        for size in (self.side.smallest, self.side.tuned, self.side.largest):
            if size % info.side_multiple:
                allowed = f"multiples of {info.side_multiple} pixels"
                raise ProfileError(f"side: got {size}, allowed {allowed} with {info.name}")


def denoiser_profile(info: ModelInfo, limits: Limits) -> dict[str, ShapeRange]:
    """Shapes of the denoiser's inputs by name, as its ports have them; the bank's come last."""
    limits.check(info)
    sizes = _sizes(limits.rows, limits, info)
    rows = {port.name: _of_port(port, sizes) for port in input_ports(info)}
    return rows | _bank_profile(info, limits)


def reference_profile(info: ModelInfo, limits: Limits) -> dict[str, ShapeRange]:
    """Shapes of the inputs of what reads references: a row for each entry that a bank may have."""
    limits.check(info)
    sizes = _sizes(limits.entries, limits, info)
    return {port.name: _of_port(port, sizes) for port in reference_ports(input_ports(info))}


def _bank_profile(info: ModelInfo, limits: Limits) -> dict[str, ShapeRange]:
    """From the placeholder of a call without a bank to the most entries of the largest size."""
    groups = bank_groups(info.layers)
    smallest = placeholder_shapes(groups)
    tuned, largest = (
        bank_shapes(groups, entries, (side // info.vae_scale, side // info.vae_scale))
        for entries, side in (
            (limits.entries.tuned, limits.side.tuned),
            (limits.entries.largest, limits.side.largest),
        )
    )
    return {
        name: ShapeRange(smallest=smallest[name], tuned=tuned[name], largest=largest[name])
        for name in smallest
    }


def batched_profile(spec: ModelSpec, info: ModelInfo, limits: Limits) -> dict[str, ShapeRange]:
    """Shapes of the inputs of a text encoder or VAE, whose spec has no batch in its shapes."""
    limits.check(info)
    profile = {}
    for tensor in spec.inputs:
        sizes = _sizes(limits.batch, limits, info, pixels=tensor.name == IMAGE)
        whole = TensorSpec(tensor.name, tensor.dtype, (ANY, *tensor.shape))
        free: tuple[Axis, ...] = (TOKENS,) if tensor.dtype == "INT64" else _SPATIAL
        axes: tuple[Axis, ...] = ("rows", *free) if ANY in tensor.shape else ("rows",)
        profile[tensor.name] = _range(whole, axes, sizes)
    return profile


def _of_port(port: InputPort, sizes: dict[Axis, Range]) -> ShapeRange:
    own = dict(sizes)
    if port.one_row:
        own[ROWS] = Range(1, sizes[ROWS].tuned, sizes[ROWS].largest)
    for side in (HEIGHT, WIDTH):
        given = (sizes[side].smallest, sizes[side].tuned, sizes[side].largest)
        own[side] = Range(*(cells // port.downscale for cells in given))
    return _of_axes(port.axes, own)


def _of_axes(axes: Iterable[Axis | int], sizes: dict[Axis, Range]) -> ShapeRange:
    axes = tuple(axes)

    def shape(kind: Literal["smallest", "tuned", "largest"]) -> Shape:
        return tuple(getattr(sizes[axis], kind) if isinstance(axis, str) else axis for axis in axes)

    return ShapeRange(smallest=shape("smallest"), tuned=shape("tuned"), largest=shape("largest"))


def _sizes(
    rows: Range, limits: Limits, info: ModelInfo, *, pixels: bool = False
) -> dict[Axis, Range]:
    """pixels: whether sides are counted in pixels, not in latent cells."""
    side, scale = limits.side, 1 if pixels else info.vae_scale
    cells = Range(side.smallest // scale, side.tuned // scale, side.largest // scale)
    return {
        "rows": rows,
        "references": limits.references,
        "height": cells,
        "width": cells,
        TOKENS: Range(1, info.text_length, info.text_length * info.text_windows),
        PICTURES: Range(1, 1, MAX_PICTURE_PROMPTS),
    }


def _range(tensor: TensorSpec, axes: Iterable[Axis], sizes: dict[Axis, Range]) -> ShapeRange:
    axes = tuple(axes)
    free = tensor.shape.count(ANY)
    if free != len(axes):
        raise ProfileError(
            f"{tensor.name}: got shape {tensor.shape} with {free} free axes, "
            f"allowed {len(axes)}: {', '.join(axes)}, of {', '.join(get_args(Axis))}"
        )

    names = iter(axes)
    return _of_axes((next(names) if size == ANY else size for size in tensor.shape), sizes)
