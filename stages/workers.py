"""The workers of Ray, where a stage's work is spread over them."""

from __future__ import annotations

from crossgap.stores.engines import Ray
from stages.common import machine


def ray() -> Ray | None:
    """Whose workers compute; None where this process does."""
    scheduled = machine()
    return Ray(**scheduled["ray"]) if scheduled["engine"] == "ray" else None
