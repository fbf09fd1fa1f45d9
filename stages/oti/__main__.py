"""Image features → text features by textual inversion: python -m stages.oti BACKBONE DATASET"""

from stages.common import run
from stages.inversion import invert

run(invert)
