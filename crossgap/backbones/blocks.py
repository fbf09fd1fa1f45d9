"""open_clip's residual attention blocks, run on chosen positions only.

The arithmetic is the block's own; what is saved is what an inversion doesn't need: positions that no gradient and
no feature reaches. Keys and values of a constant prefix are computed once, and the last block is computed for the
position that is read out alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from open_clip.transformer import ResidualAttentionBlock
from torch import Tensor, nn
from torch.nn.functional import linear, scaled_dot_product_attention

KeysValues = tuple[Tensor, Tensor]


def are_standard(blocks: Sequence[nn.Module]) -> bool:
    """Whether `run` knows these blocks: pre-norm self-attention and a two-layer MLP."""
    return all(type(block) is ResidualAttentionBlock and not hasattr(block, "ln_1_kv") for block in blocks)


def run(
    blocks: Sequence[nn.Module], x: Tensor, read: int, prefix: Sequence[KeysValues] = (), causal: bool = False
) -> Tensor:
    """Run a stack of blocks and give the output at one position.

    Args:
        x: `(n, length, width)`, embedded positions.
        read: the position to give.
        prefix: per block, keys and values `(1, heads, p, width / heads)` of p constant positions before `x`.
        causal: whether positions see only those before them and themselves; the prefix is always seen.

    Returns:
        `(n, width)`.
    """
    mask = _causal_mask(x.shape[1], prefix[0][0].shape[2] if prefix else 0, x) if causal else None
    for number, block in enumerate(blocks):
        keys, values = (tensor for tensor in _keys_values(block, x))
        if prefix:
            keys, values = (
                torch.cat([before.expand(len(x), -1, -1, -1), now], dim=2)
                for before, now in zip(prefix[number], (keys, values), strict=True)
            )
        if number == len(blocks) - 1:
            x, mask = x[:, read : read + 1], mask[read : read + 1] if mask is not None else None
        x = _block(block, x, keys, values, mask)
    return x[:, 0]


def prefix_of(blocks: Sequence[nn.Module], x: Tensor) -> list[KeysValues]:
    """Keys and values, per block, of constant positions `(1, p, width)` under a causal mask."""
    found = []
    mask = _causal_mask(x.shape[1], 0, x)
    for block in blocks:
        found.append(_keys_values(block, x))
        x = _block(block, x, *found[-1], mask)
    return found


def _block(block: nn.Module, x: Tensor, keys: Tensor, values: Tensor, mask: Tensor | None) -> Tensor:
    attention = block.attn
    width = x.shape[-1]
    queries = linear(block.ln_1(x), attention.in_proj_weight[:width], attention.in_proj_bias[:width])
    mixed = scaled_dot_product_attention(_heads(queries, attention.num_heads), keys, values, attn_mask=mask)
    x = x + block.ls_1(attention.out_proj(mixed.transpose(1, 2).flatten(2)))
    return x + block.ls_2(block.mlp(block.ln_2(x)))


def _keys_values(block: nn.Module, x: Tensor) -> KeysValues:
    attention = block.attn
    width = x.shape[-1]
    both = linear(block.ln_1(x), attention.in_proj_weight[width:], attention.in_proj_bias[width:])
    keys, values = both.split(width, dim=-1)
    return _heads(keys, attention.num_heads), _heads(values, attention.num_heads)


def _heads(x: Tensor, heads: int) -> Tensor:
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def _causal_mask(length: int, before: int, like: Tensor) -> Tensor:
    mask = torch.full((length, before + length), float("-inf"), device=like.device, dtype=like.dtype)
    return mask.triu_(before + 1)
