from __future__ import annotations

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from crossgap.backbones import attention
from crossgap.backbones.attention import Prefix, attend, few_keys


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


@pytest.mark.parametrize(("dtype", "close"), [(torch.float32, 1e-6), (torch.bfloat16, 3e-2)])
@pytest.mark.parametrize("few_pairs", [0, attention.FEW_PAIRS], ids=["kernel", "by pairs"])
@pytest.mark.parametrize(
    ("before", "queries", "keys", "causal"),
    [(4, 2, 2, True), (4, 1, 2, False), (0, 3, 3, True), (3, 3, 3, False), (0, 1, 1, False), (2, 2, 4, True)],
)
def test_changing_positions_attend_to_a_prefix_and_to_themselves(
    before, queries, keys, causal, few_pairs, dtype, close, monkeypatch
) -> None:
    monkeypatch.setattr(attention, "FEW_PAIRS", few_pairs)
    random = torch.Generator().manual_seed(0)
    n, heads, d = 5, 3, 8
    given = [
        torch.randn(n, length, heads, d, generator=random).to(dtype).requires_grad_()
        for length in (queries, keys, keys)
    ]
    held = [torch.randn(1, heads, before, d, generator=random).to(dtype) for _ in range(2)]
    weights = torch.randn(n, queries, heads * d, generator=random).to(dtype)
    exact = [x.detach().double().requires_grad_() for x in given]
    asked, *seen = (x.transpose(1, 2) for x in exact)
    seen = [torch.cat([a.double().expand(n, -1, -1, -1), b], dim=2) for a, b in zip(held, seen, strict=True)]
    scores = asked @ seen[0].mT / d**0.5
    for i in range(queries if causal else 0):
        scores[:, :, i, before + keys - queries + i + 1 :] = -torch.inf
    wanted = (scores.softmax(-1) @ seen[1]).transpose(1, 2).flatten(2)
    found = attend(*given, Prefix.of(*held) if before else None, causal)
    assert found.dtype == dtype
    torch.testing.assert_close(found.double(), wanted, rtol=close, atol=close)
    gradients = torch.autograd.grad((found * weights).sum(), given)
    for one, other in zip(gradients, torch.autograd.grad((wanted * weights).sum(), exact), strict=True):
        torch.testing.assert_close(one.double(), other, rtol=4 * close, atol=4 * close)
