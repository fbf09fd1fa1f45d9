"""Image features → text features by textual inversion: python stages/oti.py BACKBONE DATASET [TOKENS]

With TOKENS, the step × token study: so many pseudo-tokens in place of the backbone's own number, queries only.
"""

from common import run
from inversion import invert

from crossgap.inversion.methods import Oti
from crossgap.inversion.stores import chosen_images
from crossgap.params import Params


def oti(params: Params, backbone: str, dataset: str, tokens: str | None = None) -> None:
    settings = params.oti
    method = Oti(settings.template, int(tokens or params.backbones[backbone].oti.tokens))
    store = "oti" if tokens is None else f"oti-{tokens}"
    with_gallery = settings.gallery and tokens is None
    invert(params, backbone, dataset, method, settings, chosen_images, store, with_gallery)


run(oti)
