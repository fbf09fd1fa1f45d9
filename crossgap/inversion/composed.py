"""Composed queries as texts: a template that holds an image's pseudo-tokens and what is to differ, as SEARLE asks.

SEARLE (Baldrati et al., ICCV 2023) asks "a photo of $ that …"; here it is the template that the tokens were learned in,
and " that …". Texts of one query are averaged, as its evaluation of FashionIQ does.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from crossgap.backbones.injection import PseudoText
from crossgap.backbones.settings import own_settings
from crossgap.errors import BackboneError

if TYPE_CHECKING:
    import pandas as pd
    from jaxtyping import Float32

    from crossgap.backbones import Backbone
    from crossgap.inversion.methods import Oti

_AT_ONCE = 256


class AskedTexts(NamedTuple):
    """Features of composed queries.

    Attributes:
        queries: `(n,)`, ids.
        features: `(n, d)` float32, means of unit rows.
        left_out: why a query has none → how many.
    """

    queries: Sequence[str]
    features: Float32[np.ndarray, "n d"]
    left_out: Mapping[str, int]


@own_settings()
def ask(
    asked: pd.DataFrame, tokens: Mapping[str, Float32[np.ndarray, "R width"]], backbone: Backbone, method: Oti
) -> AskedTexts:
    """Encode what composed queries ask.

    Args:
        asked: as of `crossgap.prepared.composed`.
        tokens: image → its pseudo-tokens `(R, width)`, learned by `method`. A query of another image is left out,
            and so is one with a text that doesn't fit or isn't known.
    """
    import torch

    by_text: dict[str, list[tuple[str, str]]] = defaultdict(list)
    lost: dict[str, str] = {}
    for row in asked.itertuples(index=False):
        if row.image not in tokens:
            lost[row.query] = "its image was not inverted"
        elif not row.words:
            lost[row.query] = "the words that it asks are not known"
        else:
            by_text[row.words].append((row.query, row.image))
    parts: dict[str, list[np.ndarray]] = defaultdict(list)
    for words, of in by_text.items():
        template = f"{method.template} that {words}"
        try:
            injection = PseudoText(backbone, template, method.tokens)
        except BackboneError:
            lost |= dict.fromkeys(
                (query for query, _ in of), f"no place for it in {method.template!r} that …"
            )
            continue
        for start in range(0, len(of), _AT_ONCE):
            some = of[start : start + _AT_ONCE]
            given = torch.from_numpy(np.stack([tokens[image] for _, image in some])).to(backbone.device)
            with torch.no_grad():
                rows = injection(given).float().cpu().numpy()
            rows /= np.linalg.norm(rows, axis=1, keepdims=True)
            for (query, _), row in zip(some, rows, strict=True):
                parts[query].append(row)
    kept = [query for query in dict.fromkeys(asked["query"]) if query in parts and query not in lost]
    features = [np.mean(parts[query], axis=0) for query in kept]
    stacked = np.array(features, np.float32) if features else np.empty((0, backbone.dim), np.float32)
    return AskedTexts(kept, stacked, dict(Counter(lost.values())))
