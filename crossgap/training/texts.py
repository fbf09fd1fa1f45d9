"""Texts through a tower that learns, in no more positions than they need."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import open_clip
import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from jaxtyping import Float, Integer


def text_features(model: Any, ids: Integer[Tensor, "n context"]) -> Float[Tensor, "n d"]:
    """Features `(n, d)` of token ids `(n, context)`, not normalised, as part of a graph of autograd.

    A causal tower of open_clip's that reads the end token gets only the positions up to the end of the longest text,
    since later ones change nothing.
    """
    if not _ends_early(model):
        return model.encode_text(ids, normalize=False)
    last = ids.argmax(dim=1)
    length = int(last.max()) + 1
    x = model.token_embedding(ids[:, :length]) + model.positional_embedding[:length]
    x = model.ln_final(model.transformer(x, attn_mask=model.attn_mask[:length, :length]))
    x = x[torch.arange(len(x), device=x.device), last]
    projection = model.text_projection
    return projection(x) if isinstance(projection, nn.Linear) else x @ projection


def _ends_early(model: Any) -> bool:
    return (
        type(model) is open_clip.CLIP
        and model.text_pool_type == "argmax"
        and model.attn_mask is not None
        and model.text_projection is not None
    )
