"""Names of styles and surroundings, which are no subject: BASIC's negative corpus (arXiv 2510.25387).

The list of its public code is not here; a file of it, a style a line, can be declared. `generic` is our own, a tenth as
long.
"""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pandas as pd

from crossgap.datasets import vocabulary
from crossgap.datasets.declared import DatasetError
from crossgap.datasets.text_files import read_text
from crossgap.datasets.world import FACTORS, SYNONYMS
from crossgap.prepared import manifest

_MADE = (
    "oil painting", "watercolour", "pencil drawing", "charcoal sketch", "ink drawing", "crayon drawing", "pastel",
    "etching", "woodcut", "fresco", "mosaic", "stained glass", "collage", "graffiti", "mural", "comic", "cartoon",
    "caricature", "pixel art", "3D rendering", "clay model", "wood carving", "marble statue", "bronze statue",
    "ice sculpture", "sand sculpture", "origami", "embroidery", "tapestry", "knitting", "tattoo", "sticker", "stamp",
    "logo", "icon", "silhouette", "blueprint", "poster", "postcard", "coin", "plush toy", "plastic toy", "video game",
    "black and white photo", "old photo", "film still", "x-ray", "infrared photo", "aerial photo", "close-up",
)  # fmt: skip
_WHEN = (
    "at dawn", "at noon", "at sunset", "at night", "by candlelight", "under neon light", "in spring", "in summer",
    "in autumn", "in winter", "in fog", "in the rain", "in the snow", "in a storm", "under a clear sky",
)  # fmt: skip
_WHERE = (
    "in a forest", "in a desert", "in the mountains", "on a beach", "under water", "at sea", "in a field", "by a river",
    "in a garden", "in a city", "on a street", "on a bridge", "in a village", "in ruins", "in a room", "in a kitchen",
    "in a shop", "in a museum", "in a crowd", "on a table", "on a shelf", "on a wall", "on a shirt", "on a mug",
    "in a window", "in a mirror", "in a hand", "in a cage", "from above", "from below", "from behind", "from afar",
)  # fmt: skip
_HOW = (
    "red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white", "grey", "golden",
    "colourful", "pale", "bright", "dark", "shiny", "matte", "transparent", "striped", "dotted", "checkered", "blurred",
    "broken", "burning", "wet", "dusty", "old", "new", "tiny", "huge", "lit up", "half hidden", "upside down",
)  # fmt: skip
_SIDES = ("size", "texture", "place", "background")  # of the world, without the shape and its colour


def names(styles: str, concepts: str) -> list[str]:
    """The names of a declaration's `styles`: `generic`, `world`, `none`, or a text file with a style a line.

    Args:
        concepts: the declaration's `vocabulary`; without one nothing is fitted on styles either.

    Raises:
        DatasetError: the file can't be read, is not UTF-8 or has no styles.
    """
    if "none" in (styles, concepts):
        return []
    if styles == "generic":
        return [*_MADE, *_WHEN, *_WHERE, *_HOW]
    if styles == "world":
        words = [[SYNONYMS[factor][value][0] for value in FACTORS[factor]] for factor in _SIDES]
        return [word for of in words for word in of] + [" ".join(some) for some in product(*words)]
    found = [line.strip() for line in read_text(Path(styles), "styles").splitlines() if line.strip()]
    if not found:
        raise DatasetError(f"styles {styles} has no styles: write one a line, or declare `styles: none`")
    return found


def rows(names: list[str]) -> pd.DataFrame:
    """The names as rows of a manifest."""
    return vocabulary.rows(names, {manifest.STYLES: "{}"})
