"""A denoiser of which one self-attention is disturbed in its positions or in its content.

- Positions: each token of the picture stands where another one does. Where queries and keys are
  rotated, they are rotated as that other's (FreeFlux, arXiv:2503.16153); elsewhere, where a token's
  place is all the position that it has, what attention gives goes to that place.
- Content: queries and keys of the picture's tokens are their mean, so that attention goes by
  positions alone, or evenly where there are none.

Works on the layers `to_q`, `to_k`, `to_v` and `to_out.0`, which all attention of diffusers has.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn

from lafi.model.info import AttentionSite
from lafi.ports.engines import Denoiser, DenoiserBatch

Kind = Literal["position", "content"]


class DisturbedDenoiser:
    """`Denoiser` whose attention `site` is disturbed in every call."""

    def __init__(
        self, denoiser: Denoiser, network: nn.Module, site: AttentionSite, kind: Kind
    ) -> None:
        """network: which the denoiser runs. kind: what is taken from the attention."""
        self._denoiser = denoiser
        self._attention = network.get_submodule(site.name)
        self._site = site
        self._kind = kind

    def __call__(self, batch: DenoiserBatch) -> Tensor:
        size = batch["latents"].shape[2:]
        high, wide = (-(-side // self._site.downscale) for side in size)
        disturb = _shuffled if self._kind == "position" else _averaged
        with disturb(self._attention, self._site, high * wide):
            return self._denoiser(batch)


@contextmanager
def _averaged(attention: Any, site: AttentionSite, picture: int) -> Iterator[None]:
    def mean(tokens: Tensor) -> Tensor:
        return tokens.mean(dim=1, keepdim=True).expand_as(tokens)

    layers = (attention.to_q, attention.to_k)
    with _hooked([layer.register_forward_hook(_after(mean, site, picture)) for layer in layers]):
        yield


@contextmanager
def _shuffled(attention: Any, site: AttentionSite, picture: int) -> Iterator[None]:
    order = torch.randperm(picture, generator=torch.Generator().manual_seed(picture))
    back = torch.argsort(order)

    def there(tokens: Tensor) -> Tensor:
        return tokens[:, order.to(tokens.device)]

    def home(tokens: Tensor) -> Tensor:
        return tokens[:, back.to(tokens.device)]

    if not site.rotary:
        with _hooked([_at_the_end(attention, there, site, picture)]):
            yield
        return
    layers = (attention.to_q, attention.to_k, attention.to_v)
    hooks = [layer.register_forward_hook(_after(there, site, picture)) for layer in layers]
    with _hooked([*hooks, _at_the_end(attention, home, site, picture)]):
        yield


def _at_the_end(
    attention: Any, change: Callable[[Tensor], Tensor], site: AttentionSite, picture: int
) -> Any:
    """Changes what attention gives, before its projection if it has one of its own."""
    out = getattr(attention, "to_out", None)
    if out is None:
        return attention.register_forward_hook(_after(change, site, picture))

    def before(module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (_of_picture(inputs[0], change, site, picture), *inputs[1:])

    return out[0].register_forward_pre_hook(before)


def _after(
    change: Callable[[Tensor], Tensor], site: AttentionSite, picture: int
) -> Callable[[nn.Module, Any, Tensor], Tensor]:
    def after(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        return _of_picture(output, change, site, picture)

    return after


def _of_picture(
    tokens: Tensor, change: Callable[[Tensor], Tensor], site: AttentionSite, picture: int
) -> Tensor:
    """Only the picture's tokens are changed, which stand before or after a text's."""
    start = tokens.shape[1] - picture if site.text_first else 0
    changed = change(tokens[:, start : start + picture])
    return torch.cat([tokens[:, :start], changed, tokens[:, start + picture :]], dim=1)


@contextmanager
def _hooked(hooks: list[Any]) -> Iterator[None]:
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
