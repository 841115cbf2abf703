"""Control networks of an exported model: their facts, their files, and the ports they fill.

<exported folder>/control/<name>/network.onnx, condition.onnx, weights/, parity.json, parity.md
<exported folder>/control/<name>/adapter.onnx, weights/, parity.json, parity.md

A control network (ControlNet, arXiv:2302.05543) is a copy of the first half of a UNet. It sees what
a row sees, and a picture, and gives one residual for each skip connection of the UNet and one for
its middle; the UNet adds them to its own. A control adapter (T2I-Adapter, arXiv:2302.08453) sees
the picture alone, once, and gives features that the UNet adds at the end of its down blocks.
Reads no files.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from lafi.model.input_port import HEIGHT, ROWS, WIDTH, InputPort

CONTROL: Final = "control"
"""The folder of all control networks in an exported model, with a folder for each."""
NETWORK: Final = "network.onnx"
"""What is run at each step: a row's inputs and a condition -> residuals."""
CONDITION_NETWORK: Final = "condition.onnx"
"""What is run once for a picture: the picture -> its condition."""
ADAPTER: Final = "adapter.onnx"
"""What is run once for a picture of an adapter: the picture -> its features."""
PUT_IN: Final = "lafi export CHECKPOINT --out REPO --control NAME=FOLDER"
"""The command that gives a repository a control network."""

SKIP: Final = "control_skip_"
MIDDLE: Final = "control_middle"
"""The denoiser's inputs with the residuals of its skip connections, by number, and its middle."""
FEATURE: Final = "control_feature_"
"""The denoiser's inputs with the features of adapters, by the number of their place."""
CONDITION: Final = "condition"
SCALE: Final = "scale"
"""Inputs of a control network beside a row's own."""
ROW_INPUTS: Final = ("latents", "timesteps", "text", "pooled", "time_ids")
"""The denoiser's inputs that a control network has as well, where the model has them."""


class ControlInfo(BaseModel):
    """Facts of one control network or adapter."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """As storyboards call it in `kind`."""
    features: int = Field(default=0, ge=0)
    """How many an adapter makes of a picture; 0: it is a network, which runs at each step."""
    channels: Literal[1, 3] = 3
    """Of the picture that it sees: RGB, or grey for some adapters."""
    sha256: Mapping[str, str] = Field(default_factory=dict)
    """By path inside its folder, of its ONNX files and their weights; empty in torch."""
    weights_sha256: str = ""
    """Of the file or files that its weights were read from."""


def control_folder(artifacts: Path, name: str) -> Path:
    """The folder of a control network of the model itself."""
    return Path(artifacts) / CONTROL / name


class FeaturePlace(NamedTuple):
    """Where a UNet takes features: this many channels, and latent cells for one of theirs."""

    width: int
    downscale: int


def feature_places(config: Mapping[str, Any]) -> tuple[FeaturePlace, ...]:
    """Where a UNet with this complete config takes features: in its down blocks, then its middle.

    As in diffusers' `UNet2DConditionModel.forward`: a block with cross-attention adds them before
    its downsampler, one without after it.
    """
    widths, last = config["block_out_channels"], len(config["block_out_channels"]) - 1
    places = [
        FeaturePlace(width, 2 ** min(level if kind.startswith("CrossAttn") else level + 1, last))
        for level, (width, kind) in enumerate(zip(widths, config["down_block_types"], strict=True))
    ]
    return (*places, FeaturePlace(widths[-1], 2**last))


def feature_ports(places: Sequence[FeaturePlace]) -> tuple[InputPort, ...]:
    """The inputs of a UNet for features at these places."""
    return tuple(_added_port(f"{FEATURE}{number}", *place) for number, place in enumerate(places))


def is_feature(port: InputPort) -> bool:
    """Whether control adapters fill it."""
    return port.name.startswith(FEATURE)


def residual_ports(widths: Sequence[int], layers: Sequence[int]) -> tuple[InputPort, ...]:
    """The inputs of a UNet for residuals: of its skip connections in forward order, of its middle.

    widths: channels of each of its levels. layers: blocks of each. As in diffusers'
    `UNet2DConditionModel.forward`.
    """
    skips = [(widths[0], 1)]
    for level, (width, count) in enumerate(zip(widths, layers, strict=True)):
        skips += [(width, 2**level)] * count
        if level + 1 < len(widths):
            skips.append((width, 2 ** (level + 1)))
    named = [(f"{SKIP}{number}", *skip) for number, skip in enumerate(skips)]
    named.append((MIDDLE, widths[-1], 2 ** (len(widths) - 1)))
    return tuple(_added_port(*each) for each in named)


def unet_residual_ports(config: Mapping[str, Any]) -> tuple[InputPort, ...]:
    """`residual_ports` of a UNet's complete config."""
    widths, layers = config["block_out_channels"], config["layers_per_block"]
    return residual_ports(widths, [layers] * len(widths) if isinstance(layers, int) else layers)


def is_residual(port: InputPort) -> bool:
    """Whether a control network fills it."""
    return port.name == MIDDLE or port.name.startswith(SKIP)


def network_ports(ports: Sequence[InputPort]) -> tuple[InputPort, ...]:
    """The inputs of a model's control networks, in the order of the exported graph.

    ports: of its denoiser. Condition (B, C, h, w) as `condition.onnx` gives it; scale (B,), by
    which a row's residuals are multiplied.
    """
    width = next(port.axes[1] for port in ports if is_residual(port))
    return (
        *(port for port in ports if port.name in ROW_INPUTS),
        InputPort(name=CONDITION, axes=(ROWS, width, HEIGHT, WIDTH)),
        InputPort(name=SCALE, axes=(ROWS,), exact=True),
    )


def _added_port(name: str, width: int, downscale: int) -> InputPort:
    """What the UNet adds to its own tensor at one place."""
    return InputPort(
        name=name,
        axes=(ROWS, width, HEIGHT, WIDTH),
        optional=True,
        reading=True,
        downscale=downscale,
        one_row=True,
    )
