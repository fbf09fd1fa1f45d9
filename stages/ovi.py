"""Text features → image features by visual inversion: python stages/ovi.py BACKBONE DATASET [--seed N]

With another seed than the recipe's: queries only.
"""

from inversion import stage

from crossgap.params import Params


def ovi(params: Params, backbone: str):
    from crossgap.inversion.methods import Ovi

    return Ovi(params.backbones[backbone].ovi.patches)


stage("ovi", ovi)
