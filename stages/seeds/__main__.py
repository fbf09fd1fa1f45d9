"""An inversion of the queries with another seed: python -m stages.seeds BACKBONE DATASET METHOD SEED"""

from stages.common import run
from stages.inversion import invert

run(invert)
