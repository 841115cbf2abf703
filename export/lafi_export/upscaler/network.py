"""The two kinds of networks that enlarge pictures, with the names of the published weights.

`CompactNetwork` is SRVGGNetCompact of Real-ESRGAN (arXiv:2107.10833), `DenseNetwork` is RRDBNet of
ESRGAN (arXiv:1809.00219) as Real-ESRGAN trains it. Both take pictures (B, 3, H, W) in [0, 1].
"""

import re
from collections.abc import Mapping
from itertools import pairwise
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

State = Mapping[str, Tensor]
_SLOPE = 0.2
"""Of the leaky ReLU between the convolutions of a `DenseNetwork`."""
_SHARE = 0.2
"""What a block adds to its input."""


class NetworkError(ValueError):
    """Weights of no network that is known here."""


@runtime_checkable
class UpscalerModule(Protocol):
    """What both kinds are."""

    factor: int
    """How many times as wide and as high the output is."""

    @property
    def reach(self) -> int:
        """Pixels: no output pixel depends on an input pixel further than this from its place."""


class CompactNetwork(nn.Module):
    """Convolutions and PReLUs at the size of the input, then a pixel shuffle.

    The result is added to the picture enlarged by its nearest pixels.
    """

    def __init__(
        self, width: int = 64, convolutions: int = 16, factor: int = 4, *, shrink: int = 0
    ) -> None:
        """width: channels. convolutions: those between the first and the last.

        factor: of the pixel shuffle. shrink: the factor of the result if the last layer reduces it
        (bicubic), as some published files do; 0: it has none.
        """
        super().__init__()
        sizes = [3, *[width] * (convolutions + 1)]
        layers: list[nn.Module] = []
        for given, made in pairwise(sizes):
            layers += [nn.Conv2d(given, made, 3, padding=1), nn.PReLU(made)]
        layers.append(nn.Conv2d(width, 3 * factor**2, 3, padding=1))
        self.body = nn.ModuleList(layers)
        self._shuffle = factor
        self.factor = shrink or factor

    @property
    def reach(self) -> int:
        """One pixel for each convolution, one for the reduction: its four taps lie within 2 pixels
        of the large picture, which is less than one of the input."""
        convolutions = sum(isinstance(layer, nn.Conv2d) for layer in self.body)
        return convolutions + (self.factor != self._shuffle)

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, 3, factor * H, factor * W)."""
        made = image
        for layer in self.body:
            made = layer(made)
        large = F.interpolate(image, scale_factor=self._shuffle, mode="nearest")
        made = F.pixel_shuffle(made, self._shuffle) + large
        if self.factor == self._shuffle:
            return made
        scale = self.factor / self._shuffle
        return F.interpolate(made, scale_factor=scale, mode="bicubic", align_corners=False)


class _DenseBlock(nn.Module):
    """Five convolutions, each of which reads the block's input and all results before."""

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        for place in range(1, 6):
            made = growth if place < 5 else width
            convolution = nn.Conv2d(width + (place - 1) * growth, made, 3, padding=1)
            self.add_module(f"conv{place}", convolution)

    def forward(self, given: Tensor) -> Tensor:
        known = [given]
        for place in range(1, 5):
            made = self.get_submodule(f"conv{place}")(torch.cat(known, dim=1))
            known.append(F.leaky_relu(made, _SLOPE))
        last: Tensor = self.get_submodule("conv5")(torch.cat(known, dim=1))
        return last * _SHARE + given


class _Block(nn.Module):
    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        self.rdb1, self.rdb2, self.rdb3 = (_DenseBlock(width, growth) for _ in range(3))

    def forward(self, given: Tensor) -> Tensor:
        made: Tensor = self.rdb3(self.rdb2(self.rdb1(given)))
        return made * _SHARE + given


class DenseNetwork(nn.Module):
    """Residual dense blocks at the size of the input, then twice twice the size."""

    factor = 4

    def __init__(self, width: int = 64, growth: int = 32, blocks: int = 23) -> None:
        """width: channels between blocks. growth: channels that a convolution in a block adds."""
        super().__init__()
        self.conv_first = nn.Conv2d(3, width, 3, padding=1)
        self.body = nn.Sequential(*(_Block(width, growth) for _ in range(blocks)))
        for name in ("conv_body", "conv_up1", "conv_up2", "conv_hr"):
            self.add_module(name, nn.Conv2d(width, width, 3, padding=1))
        self.conv_last = nn.Conv2d(width, 3, 3, padding=1)

    @property
    def reach(self) -> int:
        """15 convolutions a block, the first and the one behind the blocks. Of those behind, three
        reach 3 pixels at 4 times the size and one 1 pixel at twice: together 2 of the input."""
        return 15 * len(self.body) + 2 + 2

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, 3, 4 * H, 4 * W)."""
        first = self.conv_first(image)
        made = first + self.get_submodule("conv_body")(self.body(first))
        for name in ("conv_up1", "conv_up2"):
            made = F.interpolate(made, scale_factor=2, mode="nearest")
            made = F.leaky_relu(self.get_submodule(name)(made), _SLOPE)
        last: Tensor = self.conv_last(F.leaky_relu(self.get_submodule("conv_hr")(made), _SLOPE))
        return last


def network_of_state(state: State, shrink: int = 0) -> CompactNetwork | DenseNetwork:
    """The network with these weights, in float32, ready to run.

    state: tensors by the names that Real-ESRGAN gives them. shrink: as `CompactNetwork` has it.
    Raises NetworkError for weights of anything else.
    """
    make = _dense if "conv_first.weight" in state else _compact
    try:
        network = make(state, shrink)
        network.load_state_dict(dict(state))
    except (KeyError, IndexError, RuntimeError, ValueError) as error:
        text = " ".join(str(error).split())[:160]
        raise NetworkError(
            f"weights: got {len(state)} tensors that do not fit ({text}), allowed those of "
            "SRVGGNetCompact (body.0.weight, with PReLUs) and of RRDBNet with 4 times the size "
            "(conv_first.weight, body.0.rdb1.conv1.weight)"
        ) from error
    return network.float().eval().requires_grad_(False)


def _compact(state: State, shrink: int) -> CompactNetwork:
    places = sorted(
        int(found[1]) for name in state if (found := re.fullmatch(r"body\.(\d+)\.weight", name))
    )
    width = len(state["body.0.weight"])
    last = len(state[f"body.{places[-1]}.weight"])
    factor = round((last / 3) ** 0.5)
    if 3 * factor**2 != last or factor not in (2, 3, 4):
        raise ValueError(f"{last} channels at the end")
    return CompactNetwork(width, places[-1] // 2 - 1, factor, shrink=shrink)


def _dense(state: State, shrink: int) -> DenseNetwork:
    if shrink:
        raise ValueError("a layer that reduces the result")
    width, given = state["conv_first.weight"].shape[:2]
    if given != 3:
        raise ValueError(f"{given} channels at the beginning")
    growth = len(state["body.0.rdb1.conv1.weight"])
    blocks = 1 + max(int(name.split(".")[1]) for name in state if name.startswith("body."))
    return DenseNetwork(width, growth, blocks)
