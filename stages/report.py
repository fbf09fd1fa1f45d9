"""Metrics of all cells → one page: python -m stages.report"""

from collections.abc import Mapping, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from crossgap import naming, numbers
from crossgap.datasets.thumbnails import Sight
from crossgap.papers.studies import experiment, training
from crossgap.prepared import manifest, parquet
from crossgap.report import Results, render
from crossgap.report.results import in_roles, read_table
from crossgap.stores import temporary
from stages.common import CELL_TABLES, DATA, dataset_folder, images_root, metrics_folder, run, written

PUBLISHED = ("published", "published_extra")  # in data/reference, in percent


def report(run_of: Mapping[str, Any]) -> None:
    cells = [_cell(**cell) for cell in run_of["cells"]]
    page = DATA / "report" / "index.html"
    page.parent.mkdir(parents=True, exist_ok=True)
    published = pd.concat(_table(DATA / "reference" / f"{name}.csv") for name in PUBLISHED)
    experiments = [
        experiment(name, metrics_folder("idealised", name) / "tables") for name in run_of["idealised"]
    ]
    trained = (training(name, metrics_folder("training", name)) for name in run_of["trainings"])
    trainings = [training for training in trained if training]
    shown = run_of["report"]
    sights = {
        name: sight
        for name in dict.fromkeys(cell.dataset for cell in cells)
        if (sight := _sight(name, shown["thumbnail"]))
    }
    made = {
        "made by": "dvc repro",
        "made again by": "dvc repro report; python -m stages.report, where all metrics are there",
        "what it depends on": "data/resolved/report.json and the metrics; their hashes are in dvc.lock",
        "crossgap": version("crossgap"),
        "params.yaml": yaml.safe_dump(run_of["params"], allow_unicode=True),
    }
    text = render(cells, published, experiments, trainings, made, sights, shown["megabytes"])
    temporary.write(page, text.encode("utf-8"))
    print(f"the report is at {page}")


def _cell(
    backbone: str,
    dataset: str,
    folder: Sequence[str],
    published: str | None,
    query: str,
    gallery: str,
    subsets: Sequence[str],
) -> Results:
    held = metrics_folder(*folder)
    tables = held / "tables"
    provenance = numbers.read_provenance(written(tables / "provenance.json").parent)
    not_inverted = provenance.pop("not_inverted")
    provenance.pop("measured_on")
    modalities = provenance.pop("modalities", naming.MODALITIES)

    def of_cell(path: Path) -> pd.DataFrame:
        return in_roles(_table(path), modalities)

    metrics = numbers.read(written(tables / "metrics.csv"))
    return Results(
        backbone,
        dataset,
        {naming.key_called(name, modalities, back=True): value for name, value in metrics.items()},
        clouds=of_cell(held / "clouds.csv"),
        problems=pd.DataFrame(provenance.pop("set_aside", []), columns=["id", "item", "problem"]),
        provenance=provenance,
        not_inverted=pd.DataFrame(not_inverted, columns=["inversion", "group", "id"]),
        curves=of_cell(held / "curves.csv"),
        **{name: of_cell(tables / f"{name}.csv") for name in CELL_TABLES},
        modalities=modalities,
        looked_at=partial(_first_turns, written(tables / "looked_at.parquet"), modalities),
        published=published,
        query=query,
        gallery=gallery,
        subsets=subsets,
    )


def _first_turns(path: Path, modalities: Mapping[str, str], turns: int) -> pd.DataFrame:
    return in_roles(parquet.read(path, numbers.AGAIN, [("turn", "<", turns)]), modalities)


def _sight(dataset: str, side: int) -> Sight | None:
    """What the items of a dataset look like; None of one that isn't prepared here, as of an import.

    No dependency of the stage names these files: their content is in the fingerprint of the features, which the
    metrics have.
    """
    folder = dataset_folder(dataset)
    return (
        Sight(manifest.read(folder), images_root(dataset), side)
        if (folder / manifest.FILE).is_file()
        else None
    )


def _table(path: Path) -> pd.DataFrame:
    return read_table(written(path))


run(report)
