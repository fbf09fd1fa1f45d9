"""Which inversions may stand beside each other, and what a store holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from crossgap import fingerprint
from crossgap.stores.store import Store

_KEPT = ("snapshots", "snapshot_tokens")  # of a recipe: what is kept on the way changes no result


def alike(stores: Sequence[Store], main: Store | None, but: str) -> tuple[list[Store], dict[str, str]]:
    """The inversions that were made by one code and one recipe, in the order given, and why others were not.

    Args:
        stores: inversions by one method.
        main: what they must be like; the first of them by name, if None.
        but: the one setting in which they may differ.

    Returns:
        Those alike, and by the name of each other one why it is left out.
    """
    held: list[Store] = []
    left_out: dict[str, str] = {}
    if not stores:
        return held, left_out
    like = main or min(stores, key=lambda store: str(store.path))
    for store in stores:
        differs = _difference(store, like, but)
        if differs is None:
            held.append(store)
        else:
            left_out[name_of(store)] = f"{differs}: run its stage again"
    return held, left_out


def name_of(store: Store) -> str:
    """A store's file without its suffixes: `oti-seed-1`."""
    return store.path.name.partition(".")[0]


def set_aside(store: Store, name: str) -> list[str]:
    """Ids of a group's items that an inversion set aside."""
    return store.provenance.get("set_aside", {}).get(name, [])


def _difference(store: Store, like: Store, but: str) -> str | None:
    ours, theirs = _made(store, but), _made(like, but)
    for setting in sorted(ours.keys() | theirs.keys()):
        if ours.get(setting) != theirs.get(setting):
            return (
                f"made with {setting} {ours.get(setting)}, and {name_of(like)}, with which it would be measured, "
                f"with {theirs.get(setting)}"
            )
    if store.provenance.get("code") != like.provenance.get("code"):
        return f"made by other code than {name_of(like)}, with which it would be measured"
    return None


def _made(store: Store, but: str) -> dict[str, Any]:
    settings = store.provenance.get("recipe", {}) | store.provenance.get("method", {})
    return {name: value for name, value in settings.items() if name != but and name not in _KEPT}


def content(store: Store) -> str:
    """A name of every array that a store holds, by the checksums of its file: no array is read.

    What the root says of its making doesn't count: a note or a version changes no number.
    """
    return fingerprint.of_json([list(one) for one in store.checksums if one[0] != "zarr.json"])
