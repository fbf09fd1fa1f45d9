from __future__ import annotations

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from crossgap.backbones.attention import few_keys


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(("dtype", "close"), [(torch.float32, 1e-6), (torch.bfloat16, 3e-2)])
def test_few_keys_are_attended_as_torch_does(masked, dtype, close) -> None:
    random = torch.Generator().manual_seed(0)
    shapes = [(5, 3, 2, 8), (5, 3, 7, 8), (5, 3, 7, 8)]
    exact = [torch.randn(shape, generator=random).to(dtype).double().requires_grad_() for shape in shapes]
    given = [held.detach().to(dtype).requires_grad_() for held in exact]
    mask = torch.full((2, 7), float("-inf")).triu_(6) if masked else None
    wanted = scaled_dot_product_attention(*exact, attn_mask=None if mask is None else mask.double())
    found = few_keys(*given, attn_mask=None if mask is None else mask.to(dtype))
    assert found.dtype == dtype
    torch.testing.assert_close(found.double(), wanted, rtol=close, atol=close)
    weights = torch.randn(wanted.shape, generator=random)
    gradients = torch.autograd.grad((found * weights.to(dtype)).sum(), given)
    for one, other in zip(gradients, torch.autograd.grad((wanted * weights).sum(), exact), strict=True):
        torch.testing.assert_close(one.double(), other, rtol=4 * close, atol=4 * close)
