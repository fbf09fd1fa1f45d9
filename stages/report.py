"""Metrics of all cells → one page: python stages/report.py"""

import json
from pathlib import Path

import pandas as pd
from common import DATA, metrics_folder, run

from crossgap.params import Params
from crossgap.report import Cell, render


def report(params: Params) -> None:
    cells = [
        _cell(backbone, dataset, metrics_folder(backbone, dataset))
        for backbone in params.run.backbones
        for dataset in params.run.datasets
    ]
    for name in params.run.imports:
        declared = params.imports[name]
        cells.append(
            _cell(declared.backbone, f"{declared.dataset} (import {name})", metrics_folder("imports", name))
        )
    page = DATA / "report" / "index.html"
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(render(cells), encoding="utf-8")
    print(f"the report is at {page}")


def _cell(backbone: str, dataset: str, folder: Path) -> Cell:
    provenance = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))
    not_inverted = provenance.pop("not_inverted")
    names = {"dtype": {"task": str, "relevance": str}, "keep_default_na": False, "na_values": [""]}
    return Cell(
        backbone,
        dataset,
        json.loads((folder / "metrics.json").read_text(encoding="utf-8")),
        pd.read_csv(folder / "clouds.csv"),
        pd.DataFrame(provenance.pop("set_aside", []), columns=["id", "item", "problem"]),
        provenance,
        pd.DataFrame(not_inverted, columns=["inversion", "group", "id"]),
        pd.read_csv(folder / "curves.csv", **names),
    )


run(report)
