"""What the stages oti, ovi, sweep, seeds and distilled share: one cell's store inverted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crossgap.backbones import towers
from crossgap.planning import unmeasured
from crossgap.prepared import manifest
from crossgap.stores.store import Store, open_store
from crossgap.stores.writing import creating
from stages.common import DISTILLED, SCRATCH, dataset_folder, features_folder, machine, weights
from stages.computing import loaded
from stages.workers import ray


def invert(cell: Mapping[str, Any], backbone: str, dataset: str, *_: str) -> None:
    """Write an inversion of the features of a backbone on a dataset.

    With an image-only backbone, or a dataset without the modality, there is nothing to invert: the store is empty and
    says so.
    """
    name, query = cell["method"]["name"], cell["query"]
    folder, scratch = features_folder(backbone, dataset), SCRATCH / name
    native, path = open_store(folder / "native.zarr.zip"), folder / cell["store"]
    phi = DISTILLED / cell["phi"] if "phi" in cell else None
    noted = weights(backbone)
    if reason := towers.image_only(noted["model"]) or _none_held(native, name, query, cell["queries_only"]):
        with creating(path, scratch, {"not_applicable": reason, "code": cell["code"]}):
            return
    if name == "oti" and (warning := _unmeasured(native, dataset, query)):
        print(f"{name}: {warning}", flush=True)

    # a cell without anything to invert need not wait for these
    from crossgap.inversion import stores
    from crossgap.inversion.methods import method_of
    from crossgap.inversion.phi import load_distilled
    from crossgap.inversion.recipes import Continued, Recipe

    choose = stores.chosen_images if name == "oti" else stores.chosen_texts
    chosen = choose(native, query, cell["gallery"])
    if cell["queries_only"]:
        chosen = {group: rows for group, rows in chosen.items() if group.endswith(f"/{query}")}
    size, inverted_by = machine()["inversion_batch_size"], loaded(backbone, noted)
    method = method_of(cell["method"])
    start = load_distilled(phi, inverted_by, method) if phi else None
    if start and (warning := _seen(dataset, "image" if name == "oti" else "text", query, start.said["on"])):
        print(f"{name}: {warning}", flush=True)
    stores.invert_store(
        native,
        chosen,
        inverted_by,
        method,
        (Continued if phi else Recipe)(**cell["recipe"]),
        path,
        code=cell["code"],
        scratch=scratch,
        batch_size=None if size == "auto" else size,
        engine=ray(),
        on_problem=cell["on_problem"],
        start=start,
        composed=not cell["queries_only"],
    )


def _unmeasured(native: Store, dataset: str, query: str) -> str | None:
    """Warn, before hours are spent, of images whose inversion could not be measured."""
    images = native[f"image/{query}"]
    return unmeasured.why(dataset, images.ids, images.labels.values(), native.judgements)


def _seen(dataset: str, modality: str, query: str, on: Mapping[str, Any]) -> str | None:
    """Warn of queries that φ was distilled on under other names: two datasets may have the same files.

    Without both manifests, which no inversion depends on, nothing is said.
    """
    folders = {of: dataset_folder(of) for of in (dataset, on["dataset"])}
    if not all((folder / manifest.FILE).is_file() for folder in folders.values()):
        return None
    asked, learnt = (
        manifest.content(manifest.select(manifest.read(folders[of]), modality, split))
        for of, split in ((dataset, query), (on["dataset"], on["split"]))
    )
    known = set(learnt)
    if not (seen := sum(one in known for one in asked)):
        return None
    return (
        f"{seen} of the {len(asked)} {modality}s of {dataset} in the split {query!r} hold the same as those of "
        f"{on['dataset']} in the split {on['split']!r}, which φ was distilled on: it may have seen them; distil on "
        "another split or dataset"
    )


def _none_held(native: Store, name: str, query: str, queries_only: bool) -> str | None:
    """Why there is nothing to invert: no queries of the modality and, for the main OVI, no class prompts; else None."""
    modality = "image" if name == "oti" else "text"
    splits = [query] if name == "oti" or queries_only else [query, manifest.CLASSES]
    if any(f"{modality}/{split}" in native for split in splits):
        return None
    return f"the dataset has no {modality}s in the split {query!r}"
