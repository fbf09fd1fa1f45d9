"""What captions allow: no ranking can tell apart images that agree with all that a caption says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from crossgap.errors import UnavailableError

if TYPE_CHECKING:
    from jaxtyping import Bool, Int


def recall_ceiling(
    images: Int[np.ndarray, "n k"], mentions: Int[np.ndarray, "m k"], said: Bool[np.ndarray, "m k"]
) -> float:
    """The best text-to-image recall@1 that can be expected, given what the captions say.

    A caption can't tell apart the images that agree with all it mentions, so the best ranking finds the right one
    with a chance of one over their number.

    Args:
        images: value numbers of the gallery's images by k labellings `(n, k)`.
        mentions: value numbers of the captions' mentions `(m, k)`. Every caption belongs to an image of the gallery.
        said: `(m, k)`, where a caption mentions a value; elsewhere `mentions` isn't looked at.

    Raises:
        UnavailableError: a caption agrees with no image.
    """
    chances = []
    for mention, of in zip(mentions, said, strict=True):
        agreeing = int((images[:, of] == mention[of]).all(axis=1).sum())
        if not agreeing:
            raise UnavailableError(
                f"a caption's mention {mention[of].tolist()} agrees with no image of the gallery; "
                "give the scenes of the images that the captions belong to"
            )
        chances.append(1 / agreeing)
    return float(np.mean(chances))
