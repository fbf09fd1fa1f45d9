"""Metrics of all cells → one page: python stages/report.py"""

import json

import pandas as pd
from common import DATA, dataset_folder, features_folder, metrics_folder, run

from crossgap.params import Params
from crossgap.report import Cell, render
from crossgap.store import open_store


def report(params: Params) -> None:
    names = [(backbone, dataset) for backbone in params.run.backbones for dataset in params.run.datasets]
    cells = [
        _cell(
            backbone,
            dataset,
            metrics_folder(backbone, dataset),
            features_folder(backbone, dataset),
            problems=True,
        )
        for backbone, dataset in names
    ]
    for name in params.run.imports:
        declared = params.imports[name]
        cells.append(
            _cell(
                declared.backbone, declared.dataset, metrics_folder("imports", name), DATA / "imports" / name
            )
        )
    page = DATA / "report" / "index.html"
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(render(cells), encoding="utf-8")
    print(f"the report is at {page}")


def _cell(backbone, dataset, metrics, features, problems=False):
    return Cell(
        backbone,
        dataset,
        json.loads((metrics / "metrics.json").read_text()),
        pd.read_csv(metrics / "clouds.csv"),
        pd.read_csv(dataset_folder(dataset) / "problems.csv") if problems else None,
        open_store(features / "native.zarr.zip").provenance,
    )


run(report)
