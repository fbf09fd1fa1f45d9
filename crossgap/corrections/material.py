"""The unlabelled data that corrections are fitted on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from crossgap.errors import UnavailableError


@dataclass(frozen=True, eq=False)
class Material:
    """The unlabelled data of a cell that corrections may be fitted on; None where the cell has none.

    Attributes:
        images: `(n, d)` projected image features of a calibration set.
        texts: `(m, d)` projected text features of a calibration set: captions or class prompts.
        vocabulary: `(v, d)` texts of bare concept names: ImageNet's classes, or the dataset's own.
        vocabulary_photo: `(v, d)` the same as "a photo of <name>".
        styles: `(s, d)` texts of styles, surroundings and the like: what is no subject.
        pairs: `(p, d)` images and `(p, d)` texts that belong together row by row, none of them a query.
        means: "image", "text" → `(d,)` means of unit features that were published without the features: for centring,
            in the place of the mean of `images` or `texts`.
        banks: "image", "text" → `(b, d)` queries of another split, for corrections that score with a bank.
        weights: "image", "text" → `(d, width)` last projections, where they stand apart.
        biases: "image", "text" → `(d,)` of those projections that have one.
        model, pretrained: open_clip's names, for published cut-offs.
    """

    images: np.ndarray | None = None
    texts: np.ndarray | None = None
    vocabulary: np.ndarray | None = None
    vocabulary_photo: np.ndarray | None = None
    styles: np.ndarray | None = None
    pairs: tuple[np.ndarray, np.ndarray] | None = None
    means: Mapping[str, np.ndarray] = field(default_factory=dict)
    banks: Mapping[Any, np.ndarray] = field(default_factory=dict)
    weights: Mapping[str, np.ndarray] = field(default_factory=dict)
    biases: Mapping[str, np.ndarray] = field(default_factory=dict)
    model: str | None = None
    pretrained: str | None = None

    def calibration(self) -> tuple[np.ndarray | None, np.ndarray | None]:
        """`images` and `texts`; None in the place of fewer than 2 rows.

        Raises:
            UnavailableError: both are None.
        """
        images, texts = (x if x is not None and len(x) >= 2 else None for x in (self.images, self.texts))
        if images is None and texts is None:
            raise UnavailableError("no calibration set: no two images and no two texts beside the queries")
        return images, texts

    def vocabularies(self) -> dict[str, np.ndarray | UnavailableError]:
        """Suffix of a variant's name → texts of the concept names in one form, or why there are none."""
        forms = {
            "": (self.vocabulary, "bare concept names"),
            "_photo": (self.vocabulary_photo, 'concept names as "a photo of"'),
        }
        return {
            suffix: texts
            if texts is not None and len(texts) >= 2
            else UnavailableError(f"no texts of {what}")
            for suffix, (texts, what) in forms.items()
        }
