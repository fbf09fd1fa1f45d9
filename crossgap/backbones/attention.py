"""Attention of a few positions to themselves and to constant ones before them.

PyTorch's attention kernels are made for long texts: over six keys most of their time goes into laying these out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

if TYPE_CHECKING:
    from jaxtyping import Float

FEW = 16  # up to so many keys: a GPU's attention kernels compute at least 64, even if there are fewer
# up to so many keys: the backward pass of a CPU's kernel takes six times as long in bfloat16
MOST_IN_HALF = 512
FEW_PAIRS = 16  # up to so many queries times keys, which a CPU takes pair by pair


@dataclass(frozen=True)
class Prefix:
    """Keys and values `(1, heads, p, d)` of p constant positions.

    As matrices, they take queries and weights of all heads in one product each: `(heads × d, p × heads)` and
    `(p × heads, heads × d)`, zero where the heads differ.
    """

    keys: Float[Tensor, "1 heads p d"]
    values: Float[Tensor, "1 heads p d"]
    keys_matrix: Float[Tensor, "width seen"]
    values_matrix: Float[Tensor, "seen width"]

    @classmethod
    def of(cls, keys: Float[Tensor, "1 heads p d"], values: Float[Tensor, "1 heads p d"]) -> Prefix:
        heads, seen, d = keys.shape[1:]
        same = torch.eye(heads, device=keys.device, dtype=keys.dtype)
        keys_matrix = torch.einsum("hpd,hg->hdpg", keys[0], same).reshape(heads * d, seen * heads)
        values_matrix = torch.einsum("hpd,hg->pghd", values[0], same).reshape(seen * heads, heads * d)
        return cls(keys, values, keys_matrix, values_matrix)


def attend(
    queries: Float[Tensor, "n q heads d"],
    keys: Float[Tensor, "n k heads d"],
    values: Float[Tensor, "n k heads d"],
    prefix: Prefix | None,
    causal: bool,
) -> Float[Tensor, "n q width"]:
    """`scaled_dot_product_attention` of `(n, q, heads, d)` queries, their heads put together: `(n, q, heads × d)`.

    Args:
        queries, keys, values: of the positions that change.
        prefix: of those before them, which all queries see.
        causal: whether the i-th of the queries, which then are the last of the positions, doesn't see those after it.
    """
    seen = keys.shape[1] + (prefix.keys.shape[2] if prefix else 0)
    if not queries.is_cuda and queries.shape[1] * keys.shape[1] <= FEW_PAIRS and seen <= FEW:
        return _ByPairs.apply(queries, keys, values, prefix, causal)
    queries, keys, values = (x.transpose(1, 2) for x in (queries, keys, values))
    if prefix:
        keys, values = _after(prefix.keys, keys), _after(prefix.values, values)
    mask = None
    if causal:
        mask = queries.new_full((queries.shape[2], seen), float("-inf")).triu_(1 + seen - queries.shape[2])
    most = FEW if queries.is_cuda else MOST_IN_HALF if queries.dtype == torch.bfloat16 else 0
    kernel = few_keys if seen <= most else scaled_dot_product_attention
    return kernel(queries, keys, values, attn_mask=mask).transpose(1, 2).flatten(2)


class _ByPairs(torch.autograd.Function):
    """`attend` without a product for each item and head: elementwise, pair by pair of a query and a key, and one
    product for all that the prefix takes part in. The softmax is in float32.
    """

    @staticmethod
    def forward(
        ctx: Any, queries: Tensor, keys: Tensor, values: Tensor, prefix: Prefix | None, causal: bool
    ) -> Tensor:
        n, q, heads, d = queries.shape
        before = prefix.keys.shape[2] if prefix else 0
        scores = queries.new_full((n, q, before + keys.shape[1], heads), float("-inf"))
        if prefix:
            scores[:, :, :before] = (queries.flatten(2) @ prefix.keys_matrix).unflatten(2, (before, heads))
        pairs = [(i, j) for i in range(q) for j in range(keys.shape[1] - (q - 1 - i if causal else 0))]
        for i, j in pairs:
            scores[:, i, before + j] = (queries[:, i] * keys[:, j]).sum(-1)
        weights = (scores.float() * d**-0.5).softmax(dim=2).to(values.dtype)
        now = weights[:, :, before:, :, None]
        if prefix:
            mixed = (weights[:, :, :before].flatten(2) @ prefix.values_matrix).unflatten(2, (heads, d))
        else:
            mixed = torch.zeros_like(queries)
        for i, j in pairs:
            mixed[:, i].addcmul_(now[:, i, j], values[:, j])
        ctx.save_for_backward(queries, keys, values, weights)
        ctx.prefix, ctx.pairs, ctx.before = prefix, pairs, before
        return mixed.flatten(2)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None, None]:
        queries, keys, values, weights = ctx.saved_tensors
        heads, d = queries.shape[2:]
        by_weights = torch.zeros_like(weights)
        if ctx.prefix:
            found = gradient @ ctx.prefix.values_matrix.t()
            by_weights[:, :, : ctx.before] = found.unflatten(2, (ctx.before, heads))
        gradient = gradient.unflatten(2, (heads, d))
        for i, j in ctx.pairs:
            by_weights[:, i, ctx.before + j] = (gradient[:, i] * values[:, j]).sum(-1)
        exact, by_weights = weights.float(), by_weights.float()
        by_scores = exact * (by_weights - (exact * by_weights).sum(2, keepdim=True)) * d**-0.5
        by_scores = by_scores.to(queries.dtype)
        if ctx.prefix:
            by_queries = (by_scores[:, :, : ctx.before].flatten(2) @ ctx.prefix.keys_matrix.t()).unflatten(
                2, (heads, d)
            )
        else:
            by_queries = torch.zeros_like(queries)
        by_keys, by_values = torch.zeros_like(keys), torch.zeros_like(values)
        for i, j in ctx.pairs:
            score = by_scores[:, i, ctx.before + j, :, None]
            by_queries[:, i].addcmul_(score, keys[:, j])
            by_keys[:, j].addcmul_(score, queries[:, i])
            by_values[:, j].addcmul_(weights[:, i, ctx.before + j, :, None], gradient[:, i])
        return by_queries, by_keys, by_values, None, None


def few_keys(
    queries: Float[Tensor, "n heads q d"],
    keys: Float[Tensor, "n heads k d"],
    values: Float[Tensor, "n heads k d"],
    attn_mask: Float[Tensor, "q k"] | None = None,
) -> Float[Tensor, "n heads q d"]:
    """`scaled_dot_product_attention` of `(n, heads, q, d)` queries and `(n, heads, k, d)` keys and values as two
    products, the softmax in float32.
    """
    scores = (queries * queries.shape[-1] ** -0.5) @ keys.transpose(-1, -2)
    if attn_mask is not None:
        scores = scores + attn_mask
    return scores.float().softmax(dim=-1).to(values.dtype) @ values


def _after(before: Float[Tensor, "1 heads p d"], now: Float[Tensor, "n heads k d"]) -> Tensor:
    return torch.cat([before.expand(len(now), -1, -1, -1), now], dim=2)
