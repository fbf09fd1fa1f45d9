"""open_clip's residual attention blocks, run on chosen positions only.

The arithmetic is the block's own. Positions that neither the gradient nor the feature of an inversion needs are left
out: keys and values of a constant prefix are computed once, and the last block is computed only for the position that
is read out.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from open_clip.transformer import ResidualAttentionBlock
from torch import Tensor, nn
from torch.nn.functional import layer_norm

from crossgap.backbones.attention import Prefix, attend
from crossgap.backbones.products import Product, frozen

if TYPE_CHECKING:
    from jaxtyping import Float


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
        prefix: Sequence[Prefix] = (),
        causal: bool = False,
    ) -> Float[Tensor, "n width"]:
        """The output at one position.

        Args:
            x: `(n, length, width)`, embedded positions.
            position: whose output is given.
            prefix: per block, keys and values of constant positions before `x`.
            causal: whether positions see only those before them and themselves; the prefix is always seen.

        Returns:
            `(n, width)`.
        """
        if causal:
            x = x[:, : position + 1]
        for number, block in enumerate(self.blocks[:-1]):
            x = block(x, *block.attention_of(x), prefix[number] if prefix else None, causal)
        query, keys, values = self.blocks[-1].attention_at(x, position)
        before = prefix[-1] if prefix else None
        return self.blocks[-1](x[:, position : position + 1], query, keys, values, before, causal=False)[:, 0]

    def prefix_of(self, x: Float[Tensor, "1 p width"]) -> list[Prefix]:
        """Keys and values, per block, of constant positions `(1, p, width)` under a causal mask."""
        found: list[Prefix] = []
        for block in self.blocks[:-1]:
            queries, keys, values = block.attention_of(x)
            found.append(Prefix.of(keys.transpose(1, 2), values.transpose(1, 2)))
            x = block(x, queries, keys, values, None, causal=True)
        _, keys, values = self.blocks[-1].attention_at(x, 0)
        return [*found, Prefix.of(keys.transpose(1, 2), values.transpose(1, 2))]


class _Block:
    def __init__(self, block: Any) -> None:  # a `ResidualAttentionBlock`
        self.block = block
        self.out = _product(block.attn.out_proj)
        self.widen, self.narrow = _product(block.mlp.c_fc), _product(block.mlp.c_proj)

    def attention_of(
        self, x: Float[Tensor, "n length width"]
    ) -> tuple[
        Float[Tensor, "n length heads head"],
        Float[Tensor, "n length heads head"],
        Float[Tensor, "n length heads head"],
    ]:
        """Queries, keys and values `(n, length, heads, width / heads)` of all positions."""
        queries, keys, values = self._heads(self._in(_normed(self.block.ln_1, x)), 3)
        return queries, keys, values

    def attention_at(
        self, x: Float[Tensor, "n length width"], position: int
    ) -> tuple[
        Float[Tensor, "n q heads head"],
        Float[Tensor, "n length heads head"],
        Float[Tensor, "n length heads head"],
    ]:
        """The query of one position, keys and values of all."""
        x = _normed(self.block.ln_1, x)
        keys, values = self._heads(self._in_keys_values(x), 2)
        (query,) = self._heads(self._in_query(x[:, position : position + 1]), 1)
        return query, keys, values

    def __call__(
        self,
        x: Float[Tensor, "n length width"],
        queries: Float[Tensor, "n length heads head"],
        keys: Float[Tensor, "n seen heads head"],
        values: Float[Tensor, "n seen heads head"],
        prefix: Prefix | None,
        causal: bool,
    ) -> Float[Tensor, "n length width"]:
        block = self.block
        x = x + block.ls_1(self.out(attend(queries, keys, values, prefix, causal)))
        return x + block.ls_2(self.narrow(block.mlp.gelu(self.widen(_normed(block.ln_2, x)))))

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

    def _heads(self, x: Float[Tensor, "n length many"], parts: int) -> tuple[Tensor, ...]:
        return tuple(part.unflatten(-1, (self.block.attn.num_heads, -1)) for part in x.chunk(parts, dim=-1))


def _normed(norm: nn.LayerNorm, x: Float[Tensor, "n length width"]) -> Float[Tensor, "n length width"]:
    """A block's layer norm; on a CPU its kernel takes half precision as it is, and computes in float32."""
    if x.is_cuda or x.dtype == norm.weight.dtype:
        return norm(x)
    return layer_norm(x, norm.normalized_shape, norm.weight, norm.bias, norm.eps)


def _product(layer: nn.Linear) -> Product:
    return frozen(layer.weight, layer.bias)
