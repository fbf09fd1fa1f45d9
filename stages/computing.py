"""The backbone that computes features, on its device."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stages.common import machine, weights

if TYPE_CHECKING:
    from crossgap.backbones import Backbone


def loaded(backbone: str) -> Backbone:
    """A backbone on the device that shards are computed on; Ray's workers put it on one of theirs."""
    from crossgap.backbones import load_backbone

    scheduled = machine()
    return load_backbone(
        **weights(backbone), device="cpu" if scheduled["engine"] == "ray" else scheduled["device"]
    )
