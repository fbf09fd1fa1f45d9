"""Stores of a cell → metrics: python -m stages.evaluate BACKBONE DATASET, or: IMPORT"""

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from crossgap.evaluation import Cell, evaluate
from crossgap.stores.store import Store, open_store
from stages.common import (
    CELL_TABLES,
    DATA,
    SCRATCH,
    features_folder,
    machine,
    metrics_folder,
    run,
    write_json,
)

LIBRARIES = ("numpy", "pandas", "scikit-learn", "scipy")
PLOTTED = ("clouds", "curves")
PER_QUERY = ("queries", "predictions", "steps", "looked_at")


def main(cell: Mapping[str, Any], *names: str) -> None:
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
        look_at=cell["look_at"],
        device=_device(),
        scratch=SCRATCH.joinpath("evaluate", *names),
    )
    tables = out / "tables"
    tables.mkdir(parents=True, exist_ok=True)
    corrected = {name: value for name, value in found.metrics.items() if "+" in name.split("/")[1]}
    plain = {name: value for name, value in found.metrics.items() if name not in corrected}
    write_json(out / "metrics.json", plain)
    write_json(tables / "corrected.json", corrected)
    made_by = {**native.provenance, "not_inverted": found.set_aside.to_dict("records")}
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
    write_json(tables / "provenance.json", {**made_by, "evaluated_by": cell["code"]})
    for name in PLOTTED:
        getattr(found, name).to_csv(out / f"{name}.csv", index=False)
    for name in CELL_TABLES:
        getattr(found, name).to_csv(tables / f"{name}.csv", index=False)
    for name in PER_QUERY:
        getattr(found, name).to_parquet(tables / f"{name}.parquet", index=False)


def _inversion(path: Path) -> Store | None:
    """The store; None where there was nothing to invert."""
    store = open_store(path)
    return None if "not_applicable" in store.provenance else store


def _device() -> str:
    device = machine()["device"]
    return "cpu" if device == "mps" else device  # mps has no float64


run(main)
