"""Registers the Triton-lang kernel as `lafi::attention` for CUDA tensors.

Import it where a GPU is used; CPU tensors still use the torch reference. This is a separate module
so that machines without a GPU do not load Triton-lang. Knows which implementation runs on which
device, not how they work.
"""

from torch import Tensor

from lafi_kernels.reference import attention
from lafi_kernels.triton_lang import attention_triton_lang


@attention.register_kernel("cuda")
def attention_on_cuda(
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
) -> Tensor:
    """`attention_triton_lang` with the fixed tile of the GPU."""
    return attention_triton_lang(
        q, k, v, bank_k, bank_v, routes, bias, mask, bank_mask, region, heads
    )
