"""Stores of a cell → metrics: python stages/evaluate.py BACKBONE DATASET, or: IMPORT"""

import json
from pathlib import Path

from common import DATA, features_folder, metrics_folder, run

from crossgap.evaluation import Cell, evaluate
from crossgap.params import Params
from crossgap.store import Store, open_store


def main(params: Params, *names: str) -> None:
    if len(names) == 1:
        (name,) = names
        folder, retrieval = DATA / "imports" / name, params.imports[name].retrieval
        oti = ovi = False
        out = metrics_folder("imports", name)
    else:
        backbone, dataset = names
        folder, retrieval = features_folder(backbone, dataset), params.datasets[dataset].retrieval
        oti, ovi = dataset in params.run.oti, dataset in params.run.ovi
        out = metrics_folder(backbone, dataset)
    native = open_store(folder / "native.zarr.zip")
    textual = _inversion(folder / "oti.zarr.zip", native, oti)
    visual = _inversion(folder / "ovi.zarr.zip", native, ovi)
    cell = Cell(
        native,
        textual,
        visual,
        retrieval.query,
        retrieval.gallery,
        retrieval.labellings,
        _sweep(folder, native, textual),
    )
    found = evaluate(cell, seed=params.evaluate.seed, clouds=params.evaluate.clouds)
    out.mkdir(parents=True, exist_ok=True)
    (out / "metrics.json").write_text(json.dumps(found.metrics, indent=1) + "\n")
    made_by = {**native.provenance, "not_inverted": found.set_aside.to_dict("records")}
    (out / "provenance.json").write_text(json.dumps(made_by, indent=1) + "\n")
    found.queries.to_parquet(out / "queries.parquet", index=False)
    found.steps.to_parquet(out / "steps.parquet", index=False)
    found.clouds.to_csv(out / "clouds.csv", index=False)
    found.curves.to_csv(out / "curves.csv", index=False)


def _inversion(path: Path, native: Store, wanted: bool) -> Store | None:
    """The store; one that `run` no longer names counts while it fits: DVC only sees what the folder holds."""
    if not wanted and not path.exists():
        return None
    inversion = open_store(path)
    fits = inversion.provenance["inverts"] == native.provenance["fingerprint"]
    return inversion if wanted or fits else None


def _sweep(folder: Path, native: Store, oti: Store | None) -> list[Store]:
    """Textual inversions by other numbers of tokens; an earlier sweep's count while features and recipe fit."""
    fits = []
    for path in sorted(folder.glob("oti-*.zarr.zip")):
        store = open_store(path)
        made = store.provenance
        same_recipe = oti is None or made["recipe"] == oti.provenance["recipe"]
        if same_recipe and made["inverts"] == native.provenance["fingerprint"]:
            fits.append(store)
    return fits


run(main)
