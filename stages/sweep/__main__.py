"""Textual inversion with another number of pseudo-tokens: python -m stages.sweep BACKBONE DATASET TOKENS"""

from stages.common import run
from stages.inversion import invert

run(invert)
