"""Both kinds of networks: how far they see, and which weights they are built from."""

import pytest
import torch
from torch import Tensor, nn

from lafi_export.upscaler.network import (
    CompactNetwork,
    DenseNetwork,
    NetworkError,
    UpscalerModule,
    network_of_state,
)


def compact(**settings: int) -> CompactNetwork:
    torch.manual_seed(0)
    return CompactNetwork(width=6, **settings)


def dense(blocks: int) -> DenseNetwork:
    torch.manual_seed(0)
    return DenseNetwork(width=6, growth=3, blocks=blocks)


NETWORKS = {
    "compact x4": compact(convolutions=3),
    "compact x2": compact(convolutions=1, factor=2),
    "compact x3": compact(convolutions=0, factor=3),
    "compact, shrunk to 2": compact(convolutions=2, shrink=2),
    "compact, shrunk to 3": compact(convolutions=2, shrink=3),
    "dense, 1 block": dense(1),
    "dense, 2 blocks": dense(2),
}


def seen(network: nn.Module, factor: int, side: int, place: int) -> Tensor:
    """Distances of the input pixels along a side on which the output pixels there depend.

    The output pixels are those that the input pixel `place` becomes. float64, since a gradient over
    many convolutions is too small for float32.
    """
    network = network.double()
    image = torch.rand(1, 3, side, side, dtype=torch.float64, requires_grad=True)
    made = network(image)
    block = slice(factor * place, factor * (place + 1))
    weights = torch.rand_like(made[..., block, block])
    (made[..., block, block] * weights).sum().backward()
    assert image.grad is not None
    columns = image.grad.abs().sum(dim=(0, 1, 2)).nonzero().flatten()
    network.float()
    return (columns - place).abs()


@pytest.mark.parametrize("name", NETWORKS)
def test_the_reach_is_how_far_the_gradient_goes(name: str) -> None:
    """Neither less, which would leave seams, nor more, which would cost work for nothing."""
    network = NETWORKS[name]
    assert isinstance(network, UpscalerModule)
    side = 2 * network.reach + 9
    assert int(seen(network, network.factor, side, side // 2).max()) == network.reach


@pytest.mark.parametrize("name", NETWORKS)
def test_the_output_is_factor_times_as_large(name: str) -> None:
    network = NETWORKS[name]
    made = network(torch.rand(2, 3, 9, 14))
    assert made.shape == (2, 3, 9 * network.factor, 14 * network.factor)


def test_a_compact_network_adds_to_the_nearest_pixels() -> None:
    network = compact(convolutions=2)
    last = network.body[-1]
    assert isinstance(last, nn.Conv2d)
    assert last.bias is not None
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    image = torch.rand(1, 3, 5, 6)
    expected = image.repeat_interleave(4, dim=2).repeat_interleave(4, dim=3)
    torch.testing.assert_close(network(image), expected)


@pytest.mark.parametrize("name", ["compact x4", "compact x2", "compact x3", "dense, 2 blocks"])
def test_a_network_is_rebuilt_from_its_weights(name: str) -> None:
    network = NETWORKS[name]
    image = torch.rand(1, 3, 7, 8)
    again = network_of_state({key: value.half() for key, value in network.state_dict().items()})
    assert again.factor == network.factor
    for given, made in zip(network.parameters(), again.parameters(), strict=True):
        torch.testing.assert_close(made, given.half().float())
    assert again(image).dtype == torch.float32


def test_weights_of_something_else_are_refused() -> None:
    whole = compact(convolutions=2).state_dict()
    without_slopes = {key: value for key, value in whole.items() if key != "body.1.weight"}
    two_times = {"conv_first.weight": torch.zeros(6, 12, 3, 3)} | dense(1).state_dict()
    two_times["conv_first.weight"] = torch.zeros(6, 12, 3, 3)
    for state, said in (
        ({}, "got 0 tensors"),
        ({"model.0.weight": torch.zeros(3)}, "got 1 tensors that do not fit"),
        (without_slopes, r"got 10 tensors that do not fit \(.*body.1.weight"),
        (two_times, "12 channels at the beginning"),
    ):
        with pytest.raises(NetworkError, match=rf"{said}.*allowed those of SRVGGNetCompact"):
            network_of_state(state)
