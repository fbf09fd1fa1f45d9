"""Stores of a cell → numbers and tables: python -m stages.evaluate BACKBONE DATASET, or: IMPORT"""

import os

# before NumPy is loaded: threads of OpenBLAS that wait for work keep a core busy, which other threads compute on
os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "16")

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from crossgap import numbers
from crossgap.errors import CrossgapError
from crossgap.evaluation import Cell, Evaluation, evaluate
from crossgap.evaluation.elsewhere import Elsewhere, of_dataset, of_files, others, require_same_weights
from crossgap.evaluation.headline import headline
from crossgap.evaluation.inversions import content
from crossgap.machine import keep_freed_memory
from crossgap.naming import MODALITIES
from crossgap.stores import temporary
from crossgap.stores.store import Store, open_store
from stages.common import (
    CELL_TABLES,
    DATA,
    SCRATCH,
    emptied,
    features_folder,
    machine,
    metrics_folder,
    read,
    run,
    write_json,
)
from stages.workers import ray

LIBRARIES = ("numpy", "pandas", "scikit-learn", "scipy")
LARGE = 10_000  # items of a cell that workers of Ray are worth their start for
PLOTTED = ("clouds", "curves")
PER_QUERY = ("queries", "predictions", "steps", "looked_at")


def main(cell: Mapping[str, Any], *names: str) -> None:
    keep_freed_memory()
    imported = len(names) == 1
    folder = DATA / "imports" / names[0] if imported else features_folder(*names)
    out = metrics_folder("imports", *names) if imported else metrics_folder(*names)
    native = open_store(folder / "native.zarr.zip")
    inversions = {
        stage: [store for name in stores if (store := _inversion(folder / name))]
        for stage, stores in cell["inversions"].items()
    }
    retrieval, controls = cell["retrieval"], cell["controls"]
    found = evaluate(
        Cell(
            native,
            next(iter(inversions["oti"]), None),
            next(iter(inversions["ovi"]), None),
            retrieval["query"],
            retrieval["gallery"],
            retrieval["labellings"],
            sweep=inversions["sweep"],
            seeds=inversions["seeds"],
            distilled=inversions["distilled"],
            **controls,
        ),
        **cell["settings"],
        elsewhere=_elsewhere(cell, folder, native),
        look_at=cell["look_at"],
        device=_device(),
        engine=ray() if _large(native) else None,
        scratch=SCRATCH.joinpath("evaluate", *names),
    )
    with temporary.room_for(out):
        tables = emptied(out) / "tables"
        tables.mkdir()
        few = headline(found.metrics, found.comparisons, native.modalities, controls["subsets"])
        write_json(out / "metrics.json", few)
        numbers.write(tables / "metrics.csv", found.metrics)
        write_json(tables / "provenance.json", _made_by(cell, native, inversions, found))
        for name in PLOTTED:
            getattr(found, name).to_csv(out / f"{name}.csv", index=False)
        for name in CELL_TABLES:
            getattr(found, name).to_csv(tables / f"{name}.csv", index=False)
        for name in PER_QUERY:
            getattr(found, name).to_parquet(tables / f"{name}.parquet", index=False)


def _made_by(
    cell: Mapping[str, Any], native: Store, inversions: Mapping[str, list[Store]], found: Evaluation
) -> dict[str, Any]:
    """What the tables are made of and by, and what was left out of them."""
    made_by = {**native.provenance, "not_inverted": found.set_aside.to_dict("records")}
    made_by["measured_on"] = found.measured_on
    if native.modalities != MODALITIES:
        made_by["modalities"] = native.modalities
    made_by["inverted_by"] = {
        store.path.name: {
            name: store.provenance.get(name) for name in ("method", "recipe", "made_on", "code")
        }
        for stores in inversions.values()
        for store in stores
    }
    made_by["evaluated_with"] = {name: version(name) for name in LIBRARIES}
    if cell["summaries"]:
        made_by["summaries"] = cell["summaries"]
    return {**made_by, "evaluated_by": cell["code"]}


def _elsewhere(cell: Mapping[str, Any], folder: Path, native: Store) -> list[Elsewhere]:
    """Where corrections are fitted too: on other datasets, one by one and together, and on files."""
    notes = {name: read(folder / f"elsewhere-{name}.json") for name in cell["elsewhere"]}
    found = [
        of_dataset(
            name,
            Cell(_noted(note, native), None, None, note["query"], note["gallery"], support=note["support"]),
        )
        for name, note in notes.items()
    ]
    if len(found) > 1:
        found.append(others(found))
    for name, held in cell["files"].items():
        files = {modality: one["file"] for modality, one in held.items()}
        digests = {modality: one["sha256"] for modality, one in held.items()}
        found.append(of_files(name, files, digests))
    return found


def _noted(note: Mapping[str, Any], native: Store) -> Store:
    store = open_store(note["store"])
    if content(store) != note["content"]:
        raise CrossgapError(f"{note['store']} is not what was encoded: `dvc repro` brings it back")
    require_same_weights(native, store)
    return store


def _inversion(path: Path) -> Store | None:
    """The store; None where there was nothing to invert."""
    store = open_store(path)
    return None if "not_applicable" in store.provenance else store


def _large(native: Store) -> bool:
    """A small cell is done before workers have started."""
    return sum(len(native[name]) for name in native.groups) >= LARGE


def _device() -> str:
    device = machine()["device"]
    return "cpu" if device == "mps" else device  # mps has no float64


run(main)
