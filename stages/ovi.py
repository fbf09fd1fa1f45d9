"""Text features → image features by visual inversion: python stages/ovi.py BACKBONE DATASET"""

from common import run
from inversion import invert

from crossgap.inversion.methods import Ovi
from crossgap.inversion.stores import chosen_texts
from crossgap.params import Params


def ovi(params: Params, backbone: str, dataset: str) -> None:
    method = Ovi(params.backbones[backbone].ovi.patches)
    invert(params, backbone, dataset, method, params.ovi, chosen_texts, "ovi", params.ovi.gallery)


run(ovi)
