"""Checks the arguments of the attention op, for every implementation that is called from torch.

Knows shapes and routes, not how attention is computed.
"""

from torch import Tensor


def check_shapes(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    bank_k: Tensor,
    bank_v: Tensor,
    routes: Tensor,
    bias: Tensor,
    mask: Tensor,
    bank_mask: Tensor,
    region: Tensor,
    heads: int,
) -> None:
    """Checks shapes as in `lafi_kernels.reference.attention`. ValueError names the first bad one.

    Reads no values of tensors, so it never waits for a GPU.
    """
    rows, tokens, width = q.shape
    if heads < 1 or width % heads:
        raise ValueError(f"heads: got {heads}, allowed a divisor of the width {width}")
    kept, kept_tokens, slots = *bank_k.shape[:2], routes.shape[-1]
    expected = {
        "k": (k, (rows, tokens, width)),
        "v": (v, (rows, tokens, width)),
        "bank_k": (bank_k, (kept, kept_tokens, width)),
        "bank_v": (bank_v, (kept, kept_tokens, width)),
        "routes": (routes, (rows, slots)),
        "bias": (bias, (rows, slots)),
        "mask": (mask, (rows, tokens)),
        "bank_mask": (bank_mask, (kept, kept_tokens)),
        "region": (region, (rows, slots, tokens)),
    }
    for name, (tensor, shape) in expected.items():
        if tuple(tensor.shape) != shape:
            raise ValueError(f"{name}: got shape {tuple(tensor.shape)}, expected {shape}")


def check_routes(routes: Tensor, rows: int, kept: int) -> None:
    """Checks that every route lies in [-1, rows + kept). ValueError shows the values found.

    rows: of the batch. kept: entries of the bank. Reads the values, so it waits for a GPU.
    """
    if routes.numel() == 0:
        return
    low, high = int(routes.min()), int(routes.max())
    if low < -1 or high >= rows + kept:
        raise ValueError(
            f"routes: got values {low} to {high}, allowed -1 to {rows + kept - 1} "
            f"({rows} rows and {kept} bank entries)"
        )
