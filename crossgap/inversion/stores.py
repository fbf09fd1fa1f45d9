"""Feature store → inversion store: chosen items of a store, inverted shard by shard."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from crossgap import fingerprint, shards, store
from crossgap.backbones import Backbone, BackboneError
from crossgap.backbones.injection import Injection
from crossgap.inversion.invert import batched, check_targets
from crossgap.inversion.optimise import Recipe

# what an item's inversion depends on: when one of these changes, shards in progress are not taken up again
CODE = ("crossgap.inversion", "crossgap.backbones.injection", "crossgap.backbones.blocks")


def invert_store(
    native: store.Store,
    chosen: dict[str, np.ndarray],
    backbone: Backbone,
    injection: Injection,
    recipe: Recipe,
    path: str | Path,
    *,
    method: dict,
    scratch: str | Path,
    batch_size: int = 256,
    shard_size: int = 1024,
) -> None:
    """Invert items of a feature store and write the inversion store at `path`.

    Args:
        native: the features to invert.
        chosen: per group of `native`, the positions of the items to invert.
        method: what the recipe doesn't say: which inversion, its template, how many tokens; JSON-able.
        batch_size, shard_size: scheduling; they change nothing beyond rounding.

    Raises:
        BackboneError: `native` holds another backbone's features.
        ValueError: features that are not finite.
    """
    check_same_backbone(native, backbone)
    made_by = {"method": method, "recipe": recipe.as_dict(), "backbone": backbone.provenance}
    items = {name: (native[name].ids[rows], native[name].features[rows]) for name, rows in chosen.items()}
    for ids, features in items.values():
        check_targets(features, list(ids), backbone)
    done, keys = {}, {}
    for name, (ids, features) in items.items():
        keys[name] = [
            fingerprint.of_bytes(i.encode(), f.encode())
            for i, f in zip(ids, fingerprint.of_rows(features), strict=True)
        ]
        done[name] = shards.compute(
            keys[name],
            _work(features, list(ids), backbone, injection, recipe, batch_size),
            scratch,
            {**made_by, "code": fingerprint.of_code(*CODE)},
            size=shard_size,
            label=f"{method['name']} {name}",
        )
    provenance = {
        **made_by,
        "inverts": native.provenance["fingerprint"],
        "fingerprint": fingerprint.of_json([made_by, keys]),
    }
    with store.creating(path, scratch, provenance) as writer:
        for name, (ids, _) in items.items():
            writer.add(name, {"id": ids}, done[name].blocks(keys[name], store.ROWS_A_SHARD))


def check_same_backbone(native: store.Store, backbone: Backbone) -> None:
    """Error unless the store's features come from these weights."""
    theirs = native.provenance.get("backbone_provenance", {}).get("weights_sha256")
    ours = backbone.provenance["weights_sha256"]
    if theirs != ours:
        raise BackboneError(
            f"{native.path} was encoded with weights {theirs}, the backbone now has {ours}; "
            "run the encode stage of this cell again"
        )


def _work(
    features: np.ndarray,
    ids: list[str],
    backbone: Backbone,
    injection: Injection,
    recipe: Recipe,
    batch_size: int,
) -> shards.Work:
    def work(cuts: list[list[int]], advance: Callable[[int], None]) -> Iterator[shards.Arrays]:
        for cut in cuts:
            names = [ids[position] for position in cut]
            parts = list(batched(features[cut], names, backbone, injection, recipe, batch_size, advance))
            yield {
                "tokens": np.concatenate([part.tokens for part in parts]),
                "features": np.concatenate([part.features for part in parts]),
                "loss": np.concatenate([part.losses for part in parts]),
            }

    return work


def chosen_images(native: store.Store, query: str, gallery: str | None = None) -> dict[str, np.ndarray]:
    """The images to invert: all of the query split and, if named, of the gallery's."""
    splits = dict.fromkeys([query, *([gallery] if gallery else [])])
    return {f"image/{split}": np.arange(len(native[f"image/{split}"])) for split in splits}


def chosen_texts(native: store.Store, query: str, gallery: str | None = None) -> dict[str, np.ndarray]:
    """The texts to invert: class prompts, each image's first caption or, where texts are no captions, all of the
    query split; with a gallery, its texts too."""
    chosen = {}
    for split in dict.fromkeys(["classes", query, *([gallery] if gallery else [])]):
        name = f"text/{split}"
        if name not in native:
            continue
        group = native[name]
        first = group["rank"] == 0 if "group" in group and gallery is None else np.ones(len(group), bool)
        chosen[name] = np.flatnonzero(first)
    return chosen
