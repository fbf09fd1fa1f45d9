"""open_clip's residual attention blocks, run on chosen positions only.

The arithmetic is the block's own. Positions that neither the gradient nor the feature of an inversion needs are left
out: keys and values of a constant prefix are computed once, and the last block is computed only for the position that
is read out.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from open_clip.transformer import ResidualAttentionBlock
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from crossgap.backbones.products import Product, frozen

if TYPE_CHECKING:
    from jaxtyping import Float

KeysValues = tuple[Tensor, Tensor]
FEW = 16  # up to so many keys: a GPU's attention kernels compute at least 64, even if there are fewer


def are_standard(blocks: Sequence[nn.Module]) -> bool:
    """Whether `Stack` knows these blocks: pre-norm self-attention and a two-layer MLP."""
    return all(type(block) is ResidualAttentionBlock and not hasattr(block, "ln_1_kv") for block in blocks)


class Stack:
    """A frozen stack of blocks.

    Args:
        blocks: standard ones, on the device and in the precision they stay in.
    """

    def __init__(self, blocks: Sequence[nn.Module]) -> None:
        self.blocks = [_Block(block) for block in blocks]

    def read(
        self,
        x: Float[Tensor, "n length width"],
        position: int,
        prefix: Sequence[KeysValues] = (),
        causal: bool = False,
    ) -> Float[Tensor, "n width"]:
        """The output at one position.

        Args:
            x: `(n, length, width)`, embedded positions.
            position: whose output is given.
            prefix: per block, keys and values `(1, heads, p, width / heads)` of p constant positions before `x`.
            causal: whether positions see only those before them and themselves; the prefix is always seen.

        Returns:
            `(n, width)`.
        """
        mask = _causal_mask(x.shape[1], prefix[0][0].shape[2] if prefix else 0, x) if causal else None
        for number, block in enumerate(self.blocks[:-1]):
            queries, *seen = block.attention_of(x)
            keys, values = _after(prefix[number] if prefix else None, seen)
            x = block(x, queries, keys, values, mask)
        queries, *seen = self.blocks[-1].attention_at(x, position)
        keys, values = _after(prefix[-1] if prefix else None, seen)
        mask = mask[position : position + 1] if mask is not None else None
        return self.blocks[-1](x[:, position : position + 1], queries, keys, values, mask)[:, 0]

    def prefix_of(self, x: Float[Tensor, "1 p width"]) -> list[KeysValues]:
        """Keys and values, per block, of constant positions `(1, p, width)` under a causal mask."""
        found: list[KeysValues] = []
        mask = _causal_mask(x.shape[1], 0, x)
        for block in self.blocks[:-1]:
            queries, keys, values = block.attention_of(x)
            found.append((keys, values))
            x = block(x, queries, keys, values, mask)
        _, keys, values = self.blocks[-1].attention_at(x, 0)
        return [*found, (keys, values)]


class _Block:
    def __init__(self, block: Any) -> None:  # a `ResidualAttentionBlock`
        self.block = block
        self.out = _product(block.attn.out_proj)
        self.widen, self.narrow = _product(block.mlp.c_fc), _product(block.mlp.c_proj)

    def attention_of(
        self, x: Float[Tensor, "n length width"]
    ) -> tuple[
        Float[Tensor, "n heads length head"],
        Float[Tensor, "n heads length head"],
        Float[Tensor, "n heads length head"],
    ]:
        """Queries, keys and values `(n, heads, length, width / heads)` of all positions."""
        queries, keys, values = map(self._heads, self._in(self.block.ln_1(x)).chunk(3, dim=-1))
        return queries, keys, values

    def attention_at(
        self, x: Float[Tensor, "n length width"], position: int
    ) -> tuple[
        Float[Tensor, "n heads q head"],
        Float[Tensor, "n heads length head"],
        Float[Tensor, "n heads length head"],
    ]:
        """The query of one position, keys and values of all."""
        x = self.block.ln_1(x)
        keys, values = self._in_keys_values(x).chunk(2, dim=-1)
        query = self._in_query(x[:, position : position + 1])
        return self._heads(query), self._heads(keys), self._heads(values)

    def __call__(
        self,
        x: Float[Tensor, "n length width"],
        queries: Float[Tensor, "n heads length head"],
        keys: Float[Tensor, "n heads seen head"],
        values: Float[Tensor, "n heads seen head"],
        mask: Float[Tensor, "length seen"] | None,
    ) -> Float[Tensor, "n length width"]:
        block = self.block
        attend = few_keys if keys.is_cuda and keys.shape[2] <= FEW else scaled_dot_product_attention
        mixed = attend(queries, keys, values, attn_mask=mask)
        x = x + block.ls_1(self.out(mixed.transpose(1, 2).flatten(2)))
        return x + block.ls_2(self.narrow(block.mlp.gelu(self.widen(block.ln_2(x)))))

    @cached_property
    def _in(self) -> Product:
        return frozen(self.block.attn.in_proj_weight, self.block.attn.in_proj_bias)

    @cached_property
    def _in_query(self) -> Product:
        width = self.block.attn.embed_dim
        return frozen(self.block.attn.in_proj_weight[:width], self.block.attn.in_proj_bias[:width])

    @cached_property
    def _in_keys_values(self) -> Product:
        width = self.block.attn.embed_dim
        return frozen(self.block.attn.in_proj_weight[width:], self.block.attn.in_proj_bias[width:])

    def _heads(self, x: Float[Tensor, "n length width"]) -> Float[Tensor, "n heads length head"]:
        return x.unflatten(-1, (self.block.attn.num_heads, -1)).transpose(1, 2)


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


def _product(layer: nn.Linear) -> Product:
    return frozen(layer.weight, layer.bias)


def _after(prefix: KeysValues | None, now: Sequence[Tensor]) -> Sequence[Tensor]:
    if prefix is None:
        return now
    return [
        torch.cat([before.expand(len(x), -1, -1, -1), x], dim=2)
        for before, x in zip(prefix, now, strict=True)
    ]


def _causal_mask(length: int, before: int, like: Tensor) -> Float[Tensor, "length seen"]:
    mask = torch.full((length, before + length), float("-inf"), device=like.device, dtype=like.dtype)
    return mask.triu_(before + 1)
