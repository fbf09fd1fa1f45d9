"""Products with weights that never change, as an inversion has them: thousands of steps through one frozen tower.

On a CPU the weights are packed once for oneDNN, for the forward and for the backward product, in float32 and where the
CPU multiplies it in bfloat16. The PyPI build of torch packs them at every call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.functional import linear

if TYPE_CHECKING:
    from jaxtyping import Float

Product = Callable[[Tensor], Tensor]
PACKED_FROM = 1 << 17  # elements of a weight: with fewer, the call of oneDNN costs as much as packing saves

# torch.compile's own, which torch has no public names for: where a version lacks one, torch's linear layer computes
_PACK: Any = getattr(torch.ops.mkldnn, "_reorder_linear_weight", None)
_HALF: Any = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None)
PACKED_LINEAR: Any = getattr(torch.ops.mkldnn, "_linear_pointwise", None)


def frozen(weight: Float[Tensor, "out in"], bias: Float[Tensor, " out"] | None = None) -> Product:
    """The map x → x Wᵀ + b. Where the weights are packed, it is differentiable in x alone.

    Args:
        weight: `(out, in)`.
        bias: `(out,)`.

    Packed weights cost twice the memory of `weight`, beside it.
    """
    if not _packs(weight):
        return lambda x: linear(x, weight, bias)
    weight = weight.detach()
    forward, backward = _PACK(weight.contiguous()), _PACK(weight.t().contiguous())
    bias = None if bias is None else bias.detach()
    return lambda x: _Packed.apply(x, forward, backward, bias)


def _packs(weight: Tensor) -> bool:
    half = weight.dtype == torch.bfloat16 and _HALF is not None and _HALF()
    return (
        weight.device.type == "cpu"
        and weight.numel() >= PACKED_FROM
        and (half or weight.dtype == torch.float32)
        and torch.backends.mkldnn.is_available()
        and _PACK is not None
        and PACKED_LINEAR is not None
    )


class _Packed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, transposed: Tensor, bias: Tensor | None) -> Tensor:
        ctx.transposed = transposed
        return _product(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        return _product(gradient, ctx.transposed, None), None, None, None


def _product(x: Tensor, packed: Tensor, bias: Tensor | None) -> Tensor:
    return PACKED_LINEAR(x.contiguous(), packed, bias, "none", [], "")
