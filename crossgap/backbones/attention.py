"""Attention of a few positions to themselves and to constant ones before them.

PyTorch's attention kernels are made for long texts: over six keys most of their time goes into laying these out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

if TYPE_CHECKING:
    from jaxtyping import Float

FEW = 16  # up to so many keys: a GPU's attention kernels compute at least 64, even if there are fewer
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
    mask: Float[Tensor, "q k"] | None,
) -> Float[Tensor, "n q width"]:
    """`scaled_dot_product_attention` of `(n, q, heads, d)` queries, their heads put together: `(n, q, heads × d)`.

    Args:
        queries, keys, values: of the positions that change.
        prefix: of those before them, which all queries see.
        mask: `(q, k)`, added to what the keys without the prefix score.
    """
    seen = keys.shape[1] + (prefix.keys.shape[2] if prefix else 0)
    if not queries.is_cuda and queries.shape[1] * keys.shape[1] <= FEW_PAIRS and seen <= FEW:
        return by_pairs(queries, keys, values, prefix, mask)
    queries, keys, values = (x.transpose(1, 2) for x in (queries, keys, values))
    if prefix:
        keys, values = _after(prefix.keys, keys), _after(prefix.values, values)
        if mask is not None:
            mask = torch.cat([mask.new_zeros(len(mask), prefix.keys.shape[2]), mask], dim=1)
    kernel = few_keys if queries.is_cuda and seen <= FEW else scaled_dot_product_attention
    return kernel(queries, keys, values, attn_mask=mask).transpose(1, 2).flatten(2)


def by_pairs(
    queries: Float[Tensor, "n q heads d"],
    keys: Float[Tensor, "n k heads d"],
    values: Float[Tensor, "n k heads d"],
    prefix: Prefix | None,
    mask: Float[Tensor, "q k"] | None,
) -> Float[Tensor, "n q width"]:
    """`attend` without a product for each item and head: elementwise over pairs, the prefix in one product for all.

    The softmax is in float32.
    """
    n, q, heads, d = queries.shape
    scores = (queries[:, :, None] * keys[:, None]).sum(-1)
    if mask is not None:
        scores = scores + mask[:, :, None]
    if prefix:
        scores = torch.cat([(queries.flatten(2) @ prefix.keys_matrix).unflatten(2, (-1, heads)), scores], dim=2)
    weights = (scores.float() * d**-0.5).softmax(dim=2).to(values.dtype)
    before, now = weights.split([scores.shape[2] - keys.shape[1], keys.shape[1]], dim=2)
    mixed = (now[..., None] * values[:, None]).sum(2).flatten(2)
    return mixed + before.flatten(2) @ prefix.values_matrix if prefix else mixed


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
