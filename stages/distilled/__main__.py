"""Inversion by φ: python -m stages.distilled BACKBONE DATASET ON METHOD LOSS, ON the dataset that φ was distilled on"""

from stages.common import run
from stages.inversion import invert

run(invert)
