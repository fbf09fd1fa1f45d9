"""params.yaml, the catalogue and the code → what each cell of a run depends on, beside the stores that it reads.

`resolved` gives a small JSON file for each cell. The cell's stage reads this file and not params.yaml, and DVC compares
this file alone. So a comment, a new row of the catalogue or a setting of another cell runs nothing again, and whatever
changes what a cell does runs this cell again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import Any

from crossgap import closure, fingerprint, links
from crossgap.backbones import towers
from crossgap.inversion.distil_recipe import TAUGHT
from crossgap.keyed import file_and_key
from crossgap.params import Params
from crossgap.planning.cells import ALONE, ELSEWHERE, EMBEDDED, INVERSIONS, StageCell, cells
from crossgap.planning.discarding import entries
from crossgap.training import made_by

Resolved = dict[str, dict[str, Any]]  # path below the folder of what is resolved → content
MACHINE = "machine.json"
CODE = "code"
CORRECTIONS, READERS = closure.PLUGINS
# controls that preparing a dataset never reads
_UNSEEN = {"published": True, "protocol": True, "support": True}


def resolved(params: Params, roots: dict[str, str]) -> Resolved:
    """All files of a run.

    Args:
        params: validated.
        roots: dataset → what its manifest's paths are relative to. They are written into `MACHINE`, on which no cell
            depends, like how the work is scheduled.
    """
    files: Resolved = {MACHINE: {**params.machine.model_dump(mode="json"), "roots": roots}}
    inverted = _inversions(params)
    for cell in [*cells(params), EMBEDDED]:
        if cell.stage != "resolve":
            files[cell.resolved] = {CODE: _code(cell, params), **_settings(cell, params, inverted)}
    # for people: which module changed, where a hash of code did
    files |= {f"{CODE}/{stage}.json": closure.digests(*_scripts(stage)) for stage in _folders(params)}
    return files


def write(files: Resolved, folder: Path) -> None:
    """Write what changed, and remove what is no longer there: unchanged files keep their times."""
    for name, content in files.items():
        path = folder / name
        if not _holds(path, content):
            links.write(path, _text(content))
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_file() and path.relative_to(folder).as_posix() not in files:
            path.unlink()
        elif path.is_dir() and not any(path.iterdir()):
            path.rmdir()


def changed(params: Params, files: Resolved, folder: Path) -> set[str]:
    """DVC's names of the cells of whose files, as of `resolved`, `write` would change or add one."""
    asked = [cell for cell in cells(params) if cell.stage != "resolve"]
    return {cell.name for cell in asked if not _holds(folder / cell.resolved, files[cell.resolved])}


def _holds(path: Path, content: dict[str, Any]) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == _text(content)


def _text(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=1, sort_keys=True) + "\n"


def leftovers(params: Params, data: Path) -> list[Path]:
    """Outputs of earlier runs that a cell of this run would read by mistake.

    An evaluation depends on its whole folder of features, and the report on the whole folder of metrics: whatever
    lies there and no cell of this run makes is listed. Trained backbones are listed if a training made them under
    their present name, params.yaml has no such training, and no row of it loads them. Files in progress are not.
    """
    every = cells(params)
    named = {(cell.backbone, cell.dataset, cell.store) for cell in every if cell.stage in INVERSIONS}
    pointers = {"native.zarr.zip", *(cell.pointer for cell in every if cell.stage == ELSEWHERE)}
    found = []
    for cell in every:
        if cell.stage == "encode":
            folder = data / "features" / cell.backbone / cell.dataset
            stores = {store for *of, store in named if of == [cell.backbone, cell.dataset]} | pointers
            found += [path for path in entries(folder) if path.name not in stores]
    metrics: set[tuple[str, ...]] = {
        (cell.backbone, cell.dataset) for cell in every if cell.stage == "evaluate"
    }
    metrics |= {("imports", *cell.words) for cell in every if cell.stage == "evaluate-import"}
    metrics |= {("training", *cell.words) for cell in every if cell.stage == "finetune"}
    metrics |= {("idealised", *cell.words) for cell in every if cell.stage == "idealised"}
    for folder in entries(data / "metrics"):
        if not folder.is_dir():
            found.append(folder)
        found += [path for path in entries(folder) if (folder.name, path.name) not in metrics]
    phis = {data / "distilled" / cell.phi for cell in every if cell.stage == "distil"}
    found += [path for path in (data / "distilled").glob("*/*/*.safetensors") if path not in phis]
    loaded = {path.resolve() for path in _loaded(params)}
    for folder in made_by.marked(data / "backbones"):
        below = any(path.is_relative_to(folder.resolve()) for path in loaded)
        # a copy under another name is its user's
        if folder.name not in params.trained and made_by.row_of(folder) == folder.name and not below:
            found.append(folder)
    return sorted(found)


def _loaded(params: Params) -> Iterator[Path]:
    """The files and folders that rows of backbones name."""
    for row in params.backbones.values():
        weights = row.weights
        if weights.model.startswith(towers.LOCAL_DIR_PREFIX):
            yield Path(weights.model.removeprefix(towers.LOCAL_DIR_PREFIX))
        if weights.pretrained:
            yield Path(weights.pretrained)


def _settings(cell: StageCell, params: Params, inverted: dict[tuple, list[StageCell]]) -> dict[str, Any]:
    """The settings that a cell depends on, beside its code."""
    stage = cell.stage
    if stage == "prepare":
        return as_declared(params, cell.dataset)
    if stage == "pretrain":
        recipe = params.nano if cell == EMBEDDED else params.pretrained(*cell.words)
        return {"recipe": recipe.model_dump(mode="json")}
    if stage in ("finetune", "idealised"):
        recipe = getattr(params, stage)[cell.words[0]]
        found = {"recipe": recipe.model_dump(mode="json")}
        if stage == "finetune":
            found["weights"] = _weights(params, recipe.backbone)
            found["files"] = weights_files(params, recipe.backbone)
        else:
            found["files"] = towers.architecture_files(recipe.architecture)
        return found
    if stage == "weights":
        return {"backbones": {name: _weights(params, name) for name in params.run.backbones}}
    if stage == "encode":
        return {}
    if stage == "distil":
        return _distillation(cell, params)
    if stage in INVERSIONS:
        return _inversion(cell, params)
    if cell.source is not None:
        source = params.datasets[cell.source]
        asked = {"query": source.retrieval.query, "gallery": source.retrieval.gallery}
        return asked | {"support": source.controls.support}
    if stage == "evaluate":
        declared = params.datasets[cell.dataset]
        of_cell = inverted.get((cell.backbone, cell.dataset), [])
        summaries = getattr(declared, "summaries", None)
        return {
            **_evaluated(params, declared, cell.backbone),
            "elsewhere": [name for name in params.evaluate.fit_on.datasets if name != cell.dataset],
            "summaries": summaries and str(summaries),
            "inversions": {
                name: sorted(other.store for other in of_cell if other.stage == name) for name in INVERSIONS
            },
        }
    if stage == "evaluate-import":
        nothing: dict[str, list[str]] = {name: [] for name in INVERSIONS}
        declared = params.imports[cell.words[0]]
        found = _evaluated(params, declared, cell.words[0], declared.backbone)
        return {**found, "elsewhere": [], "summaries": None, "inversions": nothing}
    if stage == "report":
        return _reported(params)
    raise AssertionError(f"stage {stage} has no settings")


def as_declared(params: Params, dataset: str) -> dict[str, Any]:
    """The settings that preparing a dataset depends on."""
    return {"declared": params.datasets[dataset].model_dump(mode="json", exclude={"controls": _UNSEEN})}


def _inversion(cell: StageCell, params: Params) -> dict[str, Any]:
    section = getattr(params, cell.method)
    retrieval = params.datasets[cell.dataset].retrieval
    if cell.stage == "distilled":
        recipe = getattr(params.distil, cell.method).continued(section)
    else:
        recipe = section.recipe if cell.seed is None else replace(section.recipe, seed=cell.seed)
    return {
        "method": _method(cell, params),
        "recipe": asdict(recipe),
        "query": retrieval.query,
        "gallery": retrieval.gallery if section.gallery and not cell.queries_only else None,
        "queries_only": cell.queries_only,
        "on_problem": section.on_problem,
        "store": cell.store,
        **({"phi": cell.phi} if cell.stage == "distilled" else {}),
    }


def _method(cell: StageCell, params: Params) -> dict[str, Any]:
    row = params.backbones[cell.backbone]
    if cell.method == "oti":
        return {"name": "oti", "template": params.oti.template, "tokens": cell.tokens or row.oti.tokens}
    return {"name": "ovi", "patches": row.ovi.patches}


def _distillation(cell: StageCell, params: Params) -> dict[str, Any]:
    """With the recipe of the tokens that φ is taught, where its loss needs them."""
    taught = replace(getattr(params, cell.method).recipe, snapshots=(), snapshot_tokens=False)
    return {
        "method": _method(cell, params),
        "loss": cell.loss,
        "recipe": getattr(params.distil, cell.method).recipe.model_dump(mode="json"),
        "split": params.distilled_on(cell.method, cell.dataset),
        "targets": asdict(taught) if cell.loss in TAUGHT else None,
        "phi": cell.phi,
    }


def _evaluated(params: Params, declared: Any, *names: str) -> dict[str, Any]:
    """What all evaluations have; `names` are those that a backbone or an import goes by."""
    files = params.evaluate.fit_on.of(*names)
    return {
        "settings": params.evaluate.model_dump(mode="json", exclude={"fit_on"}),
        "files": {name: {of: digested(file) for of, file in held.items()} for name, held in files.items()},
        "retrieval": declared.retrieval.model_dump(mode="json"),
        "controls": declared.controls.model_dump(mode="json", exclude={"published", "composed"}),
        "look_at": params.report.model_dump(include={"queries", "results"}),
    }


def digested(given: str) -> dict[str, str]:
    """`FILE[:KEY]` with the file's digest; an empty one where there is no such file."""
    path, _ = file_and_key(given)
    return {"file": given, "sha256": fingerprint.sha256_of_files([path]) if path.is_file() else ""}


def weights_files(params: Params, backbone: str) -> dict[str, str]:
    """SHA-256 of the files of weights that a row names, by name; none that aren't there."""
    row = params.backbones[backbone].weights
    folder = row.model.removeprefix(towers.LOCAL_DIR_PREFIX)
    # no tag is a file
    there = Path(folder).is_dir() if folder != row.model else Path(row.pretrained or "").is_file()
    return towers.local_files(row.model, row.pretrained) if there else {}


def _reported(params: Params) -> dict[str, Any]:
    """Each cell's heading, folder below the metrics, and what the page says of its dataset."""

    def shown(declared: Any, **of: Any) -> dict[str, Any]:
        asked = {"query": declared.retrieval.query, "gallery": declared.retrieval.gallery}
        controls = declared.controls
        published = controls.published or of["published"]
        return {**of, **asked, "published": published, "subsets": list(controls.subsets)}

    run = params.run
    found = [
        shown(
            params.datasets[dataset],
            backbone=backbone,
            dataset=dataset,
            folder=[backbone, dataset],
            published=None,
        )
        for backbone in run.backbones
        for dataset in run.datasets
    ]
    for name in run.imports:
        declared = params.imports[name]
        found.append(
            shown(
                declared,
                backbone=declared.backbone,
                dataset=f"{declared.dataset} (import {name})",
                folder=["imports", name],
                published=declared.dataset,
            )
        )
    return {
        "cells": found,
        "idealised": list(params.idealised),
        "trainings": list(params.finetune),
        "report": params.report.model_dump(mode="json", include={"thumbnail", "megabytes"}),
        "params": _used(params),
    }


def _used(params: Params) -> dict[str, Any]:
    """The settings of a run, with those of the catalogue's rows that it names; how it is scheduled left out."""
    run = params.run
    sections = {
        "run",
        "imports",
        "finetune",
        "pretrain",
        "idealised",
        "oti",
        "ovi",
        "distil",
        "evaluate",
        "report",
    }
    rows = {"backbones": set(run.backbones), "datasets": {*run.datasets, *run.distil.sources}}
    held = params.model_dump(mode="json", include=sections | {*rows})
    for section, names in rows.items():
        held[section] = {name: row for name, row in held[section].items() if name in names}
    return held


def _inversions(params: Params) -> dict[tuple, list[StageCell]]:
    found: dict[tuple, list[StageCell]] = {}
    for cell in cells(params):
        if cell.stage in INVERSIONS:
            found.setdefault((cell.backbone, cell.dataset), []).append(cell)
    return found


def _weights(params: Params, backbone: str) -> dict[str, Any]:
    return params.backbones[backbone].weights.model_dump(mode="json")


def _code(cell: StageCell, params: Params) -> str:
    """A hash of the code that a cell runs, with those plugins that it picks."""
    if cell.stage == "prepare":
        reader = f"{READERS}.{params.datasets[cell.dataset].layout.replace('-', '_')}"
        return _of_stage("prepare", (reader,) if reader in closure.members(READERS) else ())
    if cell.folder == "evaluate" and params.evaluate.corrections is not None:
        return _of_stage("evaluate", tuple(f"{CORRECTIONS}.{name}" for name in params.evaluate.corrections))
    return _of_stage(cell.folder)


@cache
def _of_stage(stage: str, chosen: tuple[str, ...] | None = None) -> str:
    return closure.digest(*_scripts(stage), chosen=chosen)


def _folders(params: Params) -> set[str]:
    return {cell.folder for cell in cells(params)} - {"resolve"}


def _scripts(stage: str) -> list[str]:
    """A stage's scripts. All inversions share theirs: an evaluation takes inversions of the same code together."""
    if stage in ALONE:
        return [f"stages.{stage}"]
    return [f"stages.{name}.__main__" for name in (INVERSIONS if stage in INVERSIONS else (stage,))]
