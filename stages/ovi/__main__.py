"""Text features → image features by visual inversion: python -m stages.ovi BACKBONE DATASET"""

from stages.common import run
from stages.inversion import invert

run(invert)
