"""What computes features: a backbone on its device, and the workers of Ray."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stages.common import machine, weights

if TYPE_CHECKING:
    from crossgap.backbones import Backbone
    from crossgap.stores.engines import Ray


def ray() -> Ray | None:
    """Whose workers compute shards; None where this process does."""
    from crossgap.stores.engines import Ray

    scheduled = machine()
    return Ray(**scheduled["ray"]) if scheduled["engine"] == "ray" else None


def loaded(backbone: str) -> Backbone:
    """A backbone on the device that shards are computed on; Ray's workers put it on one of theirs."""
    from crossgap.backbones import load_backbone

    scheduled = machine()
    return load_backbone(
        **weights(backbone), device="cpu" if scheduled["engine"] == "ray" else scheduled["device"]
    )
