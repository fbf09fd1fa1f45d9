"""The backbone that computes features, on its device."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from crossgap.backbones.noted import require_noted
from crossgap.errors import BackboneError, CrossgapError
from crossgap.stores.store import open_store
from stages.common import features_folder, machine

if TYPE_CHECKING:
    from crossgap.backbones import Backbone


def loaded(backbone: str, noted: Mapping[str, Any]) -> Backbone:
    """A backbone on the device that shards are computed on; Ray's workers put it on one of theirs."""
    scheduled = machine()
    return as_noted(backbone, noted, "cpu" if scheduled["engine"] == "ray" else scheduled["device"])


def as_noted(backbone: str, noted: Mapping[str, Any], device: str) -> Backbone:
    """A backbone of the files that the stage `weights` noted.

    Args:
        noted: as `stages.common.weights` reads it.

    Raises:
        BackboneError: its files are others; see `require_noted`.
    """
    from crossgap.backbones import load_backbone

    row = {name: value for name, value in noted.items() if name != "files"}
    require_noted(backbone, row, noted["files"], "weights")
    return load_backbone(**row, device=device)


def require_as_before(backbone: str, noted: Mapping[str, Any], held: Backbone) -> None:
    """Check that weights published under a name are those that the backbone's other features were made with.

    Whoever published them may put others in their place, and DVC would not see it. A row with `sha256` says which are
    meant.

    Raises:
        BackboneError: they are others.
    """
    if noted["files"] or noted["sha256"]:
        return
    ours, name = held.provenance, ("model", "pretrained")
    for path in sorted(features_folder(backbone, "").glob("*/native.zarr.zip")):
        with suppress(CrossgapError):  # a damaged store says so where it is read
            theirs = open_store(path).provenance.get("backbone_provenance", {})
            if [theirs.get(one) for one in name] != [ours[one] for one in name]:
                continue
            if (before := theirs["weights_sha256"]) != (now := ours["weights_sha256"]):
                break
    else:
        return
    raise BackboneError(
        f"backbones.{backbone}.weights: {ours['model']} has other weights than {path} was made with ({before}): to go "
        f"on with those, bring them back; for the new ones everywhere, give the row sha256: {now}"
    )
