"""Image features → text features by textual inversion: python stages/oti.py BACKBONE DATASET [--tokens R] [--seed N]

With another number of pseudo-tokens than the backbone's own, or another seed than the recipe's: queries only.
"""

from __future__ import annotations

from inversion import stage

from crossgap.params import Params


def oti(params: Params, backbone: str, tokens: int | None):
    from crossgap.inversion.methods import Oti

    return Oti(params.oti.template, tokens or params.backbones[backbone].oti.tokens)


stage("oti", oti, "tokens")
