"""Stores of a cell → metrics: python stages/evaluate.py BACKBONE DATASET, or: IMPORT"""

import json
from pathlib import Path

from common import CELL_TABLES, DATA, features_folder, metrics_folder, run

from crossgap.evaluation import Cell, evaluate
from crossgap.params import Params
from crossgap.store import Store, open_store

PLOTTED = ("clouds", "curves")
PER_QUERY = ("queries", "predictions", "steps")


def main(params: Params, *names: str) -> None:
    if len(names) == 1:
        (name,) = names
        folder, declared = DATA / "imports" / name, params.imports[name]
        oti = ovi = False
        out = metrics_folder("imports", name)
    else:
        backbone, dataset = names
        folder, declared = features_folder(backbone, dataset), params.datasets[dataset]
        oti, ovi = (cells.has(backbone, dataset) for cells in (params.run.oti, params.run.ovi))
        out = metrics_folder(backbone, dataset)
    native = open_store(folder / "native.zarr.zip")
    textual = _inversion(folder / "oti.zarr.zip", native, oti)
    visual = _inversion(folder / "ovi.zarr.zip", native, ovi)
    cell = Cell(
        native,
        textual,
        visual,
        declared.retrieval.query,
        declared.retrieval.gallery,
        declared.retrieval.labellings,
        sweep=_like(folder, "oti-[0-9]*", native, textual, but="tokens"),
        seeds=[
            *_like(folder, "oti-seed-*", native, textual, but="seed"),
            *_like(folder, "ovi-seed-*", native, visual, but="seed"),
        ],
        support=declared.controls.support,
        subsets=declared.controls.subsets,
        arithmetic=declared.controls.arithmetic,
        protocol=declared.controls.protocol,
    )
    device = "cpu" if params.machine.device == "mps" else params.machine.device  # mps has no float64
    found = evaluate(cell, **params.evaluate.model_dump(), device=device)
    tables = out / "tables"
    tables.mkdir(parents=True, exist_ok=True)
    corrected = {name: value for name, value in found.metrics.items() if "+" in name.split("/")[1]}
    plain = {name: value for name, value in found.metrics.items() if name not in corrected}
    (out / "metrics.json").write_text(json.dumps(plain, indent=1) + "\n")
    (tables / "corrected.json").write_text(json.dumps(corrected, indent=1) + "\n")
    made_by = {**native.provenance, "not_inverted": found.set_aside.to_dict("records")}
    if summaries := getattr(declared, "summaries", None):
        made_by["summaries"] = str(summaries)
    (tables / "provenance.json").write_text(json.dumps(made_by, indent=1) + "\n")
    for name in PLOTTED:
        getattr(found, name).to_csv(out / f"{name}.csv", index=False)
    for name in CELL_TABLES:
        getattr(found, name).to_csv(tables / f"{name}.csv", index=False)
    for name in PER_QUERY:
        getattr(found, name).to_parquet(tables / f"{name}.parquet", index=False)


def _inversion(path: Path, native: Store, wanted: bool) -> Store | None:
    """The store; one that `run` no longer names counts while it fits: DVC only sees what the folder holds."""
    if not wanted and not path.exists():
        return None
    inversion = open_store(path)
    if "not_applicable" in inversion.provenance:
        return None
    fits = inversion.provenance["inverts"] == native.provenance["fingerprint"]
    return inversion if wanted or fits else None


def _like(folder: Path, name: str, native: Store, main: Store | None, *, but: str) -> list[Store]:
    """Inversions beside the main one, made as it was but for one setting; an earlier run's count while they fit."""

    def made(store: Store) -> dict:
        settings = store.provenance["recipe"] | store.provenance["method"]
        return {key: value for key, value in settings.items() if key != but}

    fits = []
    for path in sorted(folder.glob(f"{name}.zarr.zip")):
        store = open_store(path)
        if "not_applicable" in store.provenance:
            continue
        same_features = store.provenance["inverts"] == native.provenance["fingerprint"]
        if same_features and (main is None or made(store) == made(main)):
            fits.append(store)
    return fits


run(main)
