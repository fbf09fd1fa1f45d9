"""Feature store → φ: distilled on a group of a store, taught by tokens that shards keep."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from crossgap import closure
from crossgap.backbones import Backbone
from crossgap.inversion.distil import Split, train
from crossgap.inversion.distil_recipe import TAUGHT, Distil
from crossgap.inversion.invert import Inverter, check_targets
from crossgap.inversion.methods import Method
from crossgap.inversion.recipes import Recipe, shard_recipe
from crossgap.inversion.stores import Targets, check_same_backbone, computed
from crossgap.stores import engines, store


def distil_store(
    native: store.Store,
    group: str,
    backbone: Backbone,
    method: Method,
    recipe: Distil,
    loss: str,
    path: Path,
    *,
    on: dict[str, Any],
    scratch: Path,
    targets: Recipe | None = None,
    code: str | None = None,
    batch_size: int | None = None,
    engine: engines.Local | engines.Ray | None = None,
    save_seconds: float = 60,
) -> None:
    """Train φ on a group of a feature store, whose labels it never reads, and write it to `path`.

    Args:
        targets: by which the tokens are found that φ is taught, where its loss needs them. Their shards are those of
            an inversion by this recipe and code, below `scratch`.
        on: JSON-able: what the group is.
        scratch: the folder of which inversions and distillations have one each.

    Raises:
        BackboneError: `native` holds another backbone's features, or the tower can't do it.
        ValueError: features that are not finite, or too few.
        TrainingError: the loss is not finite.
    """
    check_same_backbone(native, backbone)
    code = code or closure.digest("crossgap.inversion.distil_stores", "crossgap.backbones.loading")
    held = native[group]
    ids, features = held.ids.tolist(), held.features
    groups = held["group"].tolist() if "group" in held else None
    check_targets(features, ids, backbone)
    taught = None
    if loss in TAUGHT:
        if targets is None:
            raise ValueError(f"targets: the loss {loss!r} needs the recipe of the tokens that φ is taught")
        rows = np.sort(Split.of(ids, recipe, groups).learnt)
        inverter = Inverter(backbone, method, targets, batch_size)
        made_by = shard_recipe(method.as_dict(), targets, code, backbone=backbone.provenance)
        items = {group: Targets(held, rows)}
        keys = {group: list(items[group].keys(backbone))}
        done = computed(inverter, items, keys, made_by, scratch / method.name, engine)
        taught = np.full((len(ids), *inverter.injection.shape), np.nan, np.float32)
        blocks = done.blocks(keys[group], only=("tokens",))
        taught[rows] = np.concatenate([block["tokens"] for block in blocks])
    train(
        features,
        ids,
        backbone,
        method,
        recipe,
        loss,
        taught,
        on={**on, "features": native.provenance["fingerprint"]},
        scratch=scratch / "distil",
        groups=groups,
        code=code,
        save_seconds=save_seconds,
    ).save(path)
