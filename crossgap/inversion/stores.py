"""Feature store → inversion store: chosen items of a store, inverted shard by shard."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from crossgap import closure, fingerprint
from crossgap.backbones import Backbone, BackboneError
from crossgap.errors import CrossgapError
from crossgap.inversion.composed import AskedTexts, ask
from crossgap.inversion.invert import Inversion, Inverter, check_targets
from crossgap.inversion.methods import Method, Oti
from crossgap.inversion.phi import Distilled
from crossgap.inversion.recipes import Recipe, shard_recipe
from crossgap.machine import processor
from crossgap.prepared import manifest
from crossgap.stores import engines, shards, store, writing

if TYPE_CHECKING:
    from jaxtyping import Float, Int, Shaped

ERROR, SET_ASIDE = "error", "set_aside"


class InversionError(CrossgapError):
    """The loss of some items is not finite; all others are kept in their shards."""


def invert_store(
    native: store.Store,
    chosen: dict[str, np.ndarray],
    backbone: Backbone,
    method: Method,
    recipe: Recipe,
    path: str | Path,
    *,
    scratch: str | Path,
    code: str | None = None,
    batch_size: int | None = None,
    engine: engines.Local | engines.Ray | None = None,
    on_problem: str = ERROR,
    start: Distilled | None = None,
    composed: bool = True,
) -> None:
    """Invert items of a feature store and write the inversion store at `path`.

    Features and tokens stream from store to shards to store; what is held is a batch, and the items' names.

    Args:
        native: the features to invert.
        chosen: per group of `native`, the positions of the items to invert.
        code: a name of what inverts, as of `closure.digest`: shards of other code aren't taken up, and the store says
            it; that of this module and of loading backbones, if not given.
        batch_size: items optimised together, which is also the shard; as many as fit if not given. Scheduling, as
            `engine` is (this process if not given): they change nothing beyond rounding. How many items there are,
            and which of them `scratch` holds, changes no bit on one machine.
        on_problem: `set_aside` leaves items out whose loss is not finite and names them in the store's attributes.
        start: φ, whose tokens the steps of `recipe` start from, and which the store names.
        composed: encode the composed queries of `native` with the tokens that OTI found for their images.

    Raises:
        BackboneError: `native` holds another backbone's features, or the tower can't do it.
        InversionError: losses that are not finite, unless set aside.
        ValueError: features that are not finite.
    """
    check_same_backbone(native, backbone)
    inverter = Inverter(backbone, method, recipe, batch_size, start=start.phi if start else None)
    made_by = shard_recipe(method.as_dict(), recipe, code or _code(), backbone=backbone.provenance)
    if start:
        made_by["start"] = start.named
    items = {name: Targets(native[name], rows) for name, rows in chosen.items()}
    keys = {name: list(held.keys(backbone)) for name, held in items.items()}
    done = computed(inverter, items, keys, made_by, Path(scratch), engine)
    whole, set_aside = {}, {}
    for name, held in items.items():
        losses = done.blocks(keys[name], only=("loss",))
        finite = np.isfinite(np.concatenate([np.zeros(0), *(block["loss"] for block in losses)]))
        whole[name] = np.flatnonzero(finite)
        set_aside[name] = held.ids[np.flatnonzero(np.logical_not(finite))].tolist()
    set_aside = {name: ids for name, ids in set_aside.items() if ids}
    if set_aside and on_problem != SET_ASIDE:
        raise InversionError(_not_finite(method.name, recipe, set_aside, sum(map(len, keys.values()))))
    provenance = {
        **made_by,
        "made_on": processor(backbone.device),
        "inverts": native.provenance["fingerprint"],
        "fingerprint": fingerprint.of_json([made_by, keys, set_aside]),
        **({"set_aside": set_aside} if set_aside else {}),
    }
    asked = _composed(native, items, whole, keys, done, backbone, method) if composed else None
    if asked is not None:
        provenance["composed_left_out"] = dict(asked.left_out)
    with writing.creating(path, scratch, provenance) as writer:
        if asked is not None:
            columns = {"id": np.array(asked.queries, object)}
            writer.add(writing.COMPOSED, columns, [{"features": asked.features}])
        for name, held in items.items():
            found = [keys[name][row] for row in whole[name]]
            columns = {"id": held.ids[whole[name]]}
            if recipe.reached:
                columns["step"] = np.array(recipe.reached)
            writer.add(name, columns, done.blocks(found))


def _composed(
    native: store.Store,
    items: dict[str, Targets],
    whole: dict[str, np.ndarray],
    keys: dict[str, list[str]],
    done: shards.Shards,
    backbone: Backbone,
    method: Method,
) -> AskedTexts | None:
    """Composed queries by the tokens of their images; None where there are no queries, or texts were inverted."""
    if native.composed is None or not isinstance(method, Oti):
        return None
    images = set(native.composed.asked["image"])
    tokens: dict[str, np.ndarray] = {}
    for name, held in items.items():
        ids = held.ids  # of all, made anew each time
        rows = [row for row in whole[name] if ids[row] in images]
        found = [
            block["tokens"] for block in done.blocks([keys[name][row] for row in rows], only=("tokens",))
        ]
        if found:
            tokens |= dict(zip(ids[rows], np.concatenate(found), strict=True))
    return ask(native.composed.asked, tokens, backbone, method)


def _code() -> str:
    return closure.digest("crossgap.inversion.stores", "crossgap.backbones.loading")


def computed(
    inverter: Inverter,
    items: dict[str, Targets],
    keys: dict[str, list[str]],
    made_by: dict[str, Any],
    scratch: Path,
    engine: engines.Local | engines.Ray | None,
) -> shards.Shards:
    """The shards of all groups as one, so that no batch but the last is filled up."""
    size = inverter.items_a_batch
    return shards.compute(
        [key for held in keys.values() for key in held],
        (engine or engines.Local()).work(
            partial(_read, list(items.values())), _Shard(replace(inverter, most=size))
        ),
        scratch,
        made_by,
        size=size,
        label=inverter.method.name,
    )


@dataclass(frozen=True)
class Targets:
    """Chosen items of a group; features are read as they are needed."""

    group: store.Group
    rows: Int[np.ndarray, " n"]

    @property
    def ids(self) -> Shaped[np.ndarray, " n"]:
        return self.group.ids[self.rows]

    def read(self, cut: list[int]) -> tuple[list[str], Float[np.ndarray, "n d"]]:
        """Ids and `(n, d)` features of the items at these positions."""
        rows = self.rows[cut]
        return self.group.ids[rows].tolist(), self.group.rows("features", rows)

    def keys(self, backbone: Backbone) -> Iterator[str]:
        """What each item's inversion depends on beside the recipe: its id and its feature, checked on the way."""
        for start in range(0, len(self.rows), writing.ROWS_A_SHARD):
            positions = range(start, min(start + writing.ROWS_A_SHARD, len(self.rows)))
            ids, features = self.read(list(positions))
            check_targets(features, ids, backbone)
            for item, row in zip(ids, fingerprint.of_rows(features), strict=True):
                yield fingerprint.of_bytes(item.encode(), row.encode())


def _read(groups: list[Targets], cut: list[int]) -> tuple[list[str], Float[np.ndarray, "n d"]]:
    """Ids and `(n, d)` features of the items at these ascending positions in the groups, one after the other."""
    positions, start, parts = np.array(cut), 0, []
    for held in groups:
        stop = start + len(held.rows)
        inside = positions[(start <= positions) & (positions < stop)]
        if len(inside):
            parts.append(held.read((inside - start).tolist()))
        start = stop
    return [item for ids, _ in parts for item in ids], np.concatenate([features for _, features in parts])


@dataclass
class _Shard:
    """The arrays of a shard; an engine's function."""

    inverter: Inverter

    def to(self, device: str) -> _Shard:
        return _Shard(self.inverter.to(device))

    def __call__(
        self, payload: tuple[list[str], Float[np.ndarray, "n d"]], advance: Callable[[int], None]
    ) -> shards.Arrays:
        return _arrays(self.inverter(*payload, advance), self.inverter.recipe)


def _arrays(found: Inversion, recipe: Recipe) -> shards.Arrays:
    arrays = {"tokens": found.tokens, "features": found.features, "loss": found.losses}
    if recipe.patience is not None:
        arrays["steps"] = found.steps
    if recipe.reached:
        arrays |= {"snapshots": found.snapshots, "snapshot_loss": found.snapshot_losses}
        if recipe.snapshot_tokens:
            arrays["snapshot_tokens"] = found.snapshot_tokens
    return arrays


def _not_finite(method: str, recipe: Recipe, set_aside: dict[str, list[str]], total: int) -> str:
    named = [item for ids in set_aside.values() for item in ids]
    slower = f"Lower {method}.lr, give" if recipe.optimiser == "adamw" else "Give"
    return (
        f"{len(named)} of {total} items have a loss that is not finite: {', '.join(named[:10])}"
        f"{', …' if len(named) > 10 else ''}; the others are kept. {slower} the backbone precision "
        f"fp32 or bf16, or leave them out by {method}.on_problem: set_aside"
    )


def check_same_backbone(native: store.Store, backbone: Backbone) -> None:
    """Error unless the store's features come from these weights."""
    theirs = native.provenance.get("backbone_provenance", {}).get("weights_sha256")
    ours = backbone.provenance["weights_sha256"]
    if theirs != ours:
        raise BackboneError(
            f"{native.path} was encoded with weights {theirs}, the backbone now has {ours}; "
            "run the encode stage of this cell again"
        )


def chosen_images(native: store.Store, query: str, gallery: str | None = None) -> dict[str, np.ndarray]:
    """The images to invert: all of the query split and, if named, of the gallery's."""
    splits = dict.fromkeys([query, *([gallery] if gallery else [])])
    return {f"image/{split}": np.arange(len(native[f"image/{split}"])) for split in splits}


def chosen_texts(native: store.Store, query: str, gallery: str | None = None) -> dict[str, np.ndarray]:
    """The texts to invert: class prompts, each image's first caption or, where texts are no captions, all of the
    query split; with a gallery, its texts too.
    """
    chosen = {}
    for split in dict.fromkeys([manifest.CLASSES, query, *([gallery] if gallery else [])]):
        name = f"text/{split}"
        if name not in native:
            continue
        group = native[name]
        first = group["rank"] == 0 if "group" in group and gallery is None else np.ones(len(group), bool)
        chosen[name] = np.flatnonzero(first)
    return chosen
