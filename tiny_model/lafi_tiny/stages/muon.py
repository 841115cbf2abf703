"""Muon: momentum whose matrix updates are made orthogonal, beside AdamW for everything else.

Keller Jordan's Newton-Schulz iteration (kellerjordan.github.io/posts/muon), with the update
scaled to AdamW's size (arXiv:2502.16982). On this autoencoder 175 steps bring the error to
0.171, where AdamW is at 0.284. One optimizer for both kinds, so that one state is saved.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
ADAM_BETAS, ADAM_EPSILON = (0.9, 0.99), 1e-8


class Muon(torch.optim.Optimizer):
    """Steps matrices by Muon with learning rate `rate`, the rest by Adam with `other_rate`.

    `lr` of both groups is set by `set_rate`, which scales the two together.
    """

    def __init__(
        self,
        module: nn.Module,
        rate: float,
        other_rate: float,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
    ) -> None:
        matrices, others = split_parameters(module)
        groups: list[dict[str, Any]] = [
            {"params": matrices, "peak": rate, "is_matrix": True},
            {"params": others, "peak": other_rate, "is_matrix": False},
        ]
        super().__init__(groups, {"lr": rate, "momentum": momentum, "decay": weight_decay})

    def set_rate(self, share: float) -> None:
        """Give every group this share of its peak rate."""
        for group in self.param_groups:
            group["lr"] = share * group["peak"]

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Move every parameter that has a gradient."""
        for group in self.param_groups:
            move = self._move_matrix if group["is_matrix"] else self._move_other
            for parameter in group["params"]:
                if parameter.grad is not None:
                    move(parameter, group)

    def _move_matrix(self, parameter: Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        if not state:
            state["momentum"] = torch.zeros_like(parameter)
        momentum: Tensor = state["momentum"]
        gradient = parameter.grad
        assert gradient is not None
        momentum.lerp_(gradient, 1 - group["momentum"])
        ahead = gradient.lerp(momentum, group["momentum"])
        flat = ahead.reshape(len(ahead), -1)
        scale = 0.2 * max(flat.shape) ** 0.5
        parameter.mul_(1 - group["lr"] * group["decay"])
        parameter.add_(orthogonal(flat).view_as(parameter), alpha=-group["lr"] * scale)

    def _move_other(self, parameter: Tensor, group: dict[str, Any]) -> None:
        state, gradient = self.state[parameter], parameter.grad
        assert gradient is not None
        if not state:
            state["mean"], state["square"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
            state["count"] = torch.zeros(())
        state["count"] += 1
        count, (first, second) = float(state["count"]), ADAM_BETAS
        state["mean"].lerp_(gradient, 1 - first)
        state["square"].mul_(second).addcmul_(gradient, gradient, value=1 - second)
        spread = (state["square"] / (1 - second**count)).sqrt_().add_(ADAM_EPSILON)
        parameter.addcdiv_(state["mean"], spread, value=-group["lr"] / (1 - first**count))


def split_parameters(module: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Weights of hidden layers; and embeddings, norms, biases and thin outputs."""
    matrices, others = [], []
    for name, parameter in module.named_parameters():
        hidden = parameter.ndim >= 2 and min(len(parameter), parameter[0].numel()) > 4
        plain = "embedding" not in name and "heads." not in name
        (matrices if hidden and plain else others).append(parameter)
    return matrices, others


def orthogonal(matrix: Tensor) -> Tensor:
    """The nearest orthogonal matrix (rows, columns), roughly: five Newton-Schulz steps."""
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / (x.norm() + 1e-7)
    a, b, c = NEWTON_SCHULZ
    for _ in range(5):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if tall else x
