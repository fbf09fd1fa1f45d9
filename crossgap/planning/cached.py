"""What lies under `data`: stores and what made them, outputs that no cell uses any more, and scratch."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crossgap.datasets.stamps import ENDING
from crossgap.evaluation.parts import USED
from crossgap.inversion.recipes import Continued, Recipe, shard_recipe
from crossgap.links import remove
from crossgap.params import Params
from crossgap.planning import written
from crossgap.planning.cells import EMBEDDED, INVERSIONS, StageCell, cells
from crossgap.planning.discarding import Cache, behind_a_link, entries
from crossgap.planning.elsewhere import elsewhere
from crossgap.planning.resolve import CODE, Resolved, leftovers
from crossgap.stores.temporary import in_use
from crossgap.stores.zipped import size

UNMADE = "no cell of the run makes it"
SHARDS, TRAININGS = ("encode", "oti", "ovi"), ("pretrain", "finetune", "distil", "idealised")  # in scratch
FRESH, STALE, UNNAMED, IMPORTED = "up to date", "out of date", "not named by run", "imported"


@dataclass(frozen=True)
class Kept:
    """A store.

    Attributes:
        made_by: in words, the model and how it was loaded; for an inversion also the method and recipe.
        state: `FRESH`, `STALE`, `UNNAMED` or `IMPORTED`.
    """

    path: Path
    bytes: int
    made_by: str
    state: str


@dataclass(frozen=True)
class Waste:
    """A file or folder, and why nothing needs it."""

    path: Path
    bytes: int
    why: str


def stores(params: Params, data: Path, outdated: set[str]) -> list[Kept]:
    """Every store under `data`, by path.

    Args:
        outdated: names of cells that DVC holds to be out of date.
    """
    makers = {_store(data, cell): cell for cell in cells(params) if cell.stage in ("encode", *INVERSIONS)}
    found = []
    for path in written.stores(data):
        cell = makers.get(path)
        if path.is_relative_to(data / "imports"):
            state = IMPORTED
        elif cell is None:
            state = UNNAMED
        else:
            state = STALE if cell.name in outdated else FRESH
        found.append(Kept(path, path.stat().st_size, _made_by(path), state))
    return found


def wasted(params: Params, files: Resolved, data: Path) -> list[Waste]:
    """Outputs and scratch that no cell of the run uses; `why_left` says which of them must not be removed.

    Use is derived from `params` and from `files`, what its cells depend on as of `resolve.resolved`: from both and the
    code as they are now, not from what the last `dvc repro` resolved.
    """
    named = cells(params)
    found = dict.fromkeys(leftovers(params, data), UNMADE)
    kept = {(cell.backbone, cell.dataset) for cell in named if cell.stage == "encode"}
    for backbone in entries(data / "features"):
        for folder in entries(backbone):
            if folder.is_dir() and (backbone.name, folder.name) not in kept:
                found[folder] = UNMADE
    prepared = {cell.dataset for cell in named if cell.stage == "prepare"}
    found |= {folder: UNMADE for folder in entries(data / "datasets") if folder.name not in prepared}
    found |= dict(_scratch(params, files, data))
    return [Waste(path, _bytes(path), why) for path, why in sorted(found.items())]


def why_left(one: Waste, data: Path, cache: Cache) -> str | None:
    """Why `clean` may not remove a path; None if it may, since it can be computed again or DVC's cache holds it."""
    if behind_a_link(one.path, data):
        return "it is or lies behind a link, and may be another project's too"
    if not one.path.is_relative_to(data / "scratch") and not cache.holds(one.path):
        return "DVC's cache doesn't hold it: remove it yourself if you don't need it"
    return None


def clean(waste: list[Waste], data: Path) -> None:
    """Remove files and folders, and the folders in scratch that this leaves empty."""
    for one in waste:
        remove(one.path)
        folder = one.path.parent
        while (
            folder.is_relative_to(data / "scratch" / "evaluate")
            and folder.is_dir()
            and not any(folder.iterdir())
        ):
            folder.rmdir()
            folder = folder.parent


def _scratch(params: Params, files: Resolved, data: Path) -> Iterator[tuple[Path, str]]:
    """Work in scratch that no cell of the run would go on with."""
    scratch, named = data / "scratch", cells(params)
    for kind, recipes in _asked([*named, EMBEDDED], params, files).items():
        for said in sorted((scratch / kind).glob("*/recipe.json")):
            recipe = written.read(said)
            unasked = recipe is not None and not any(wanted.items() <= recipe.items() for wanted in recipes)
            if unasked and not in_use(said.parent):
                yield said.parent, "made by code or a recipe that no cell of the run has"
    prepared = {cell.dataset for cell in named if cell.stage == "prepare"}
    of = {path: path.stem for path in (scratch / "prepare").glob("*.checks")}
    # of a row of before too, which may come back
    of |= {path: path.stem.rpartition("-")[0] for path in (scratch / "prepare").glob(f"*{ENDING}")}
    for path, name in sorted(of.items()):
        if name not in prepared:
            yield path, "no cell of the run prepares this dataset"
    yield from _parts(scratch / "evaluate", {cell.words for cell in named if cell.folder == "evaluate"})


def _asked(named: Iterable[StageCell], params: Params, files: Resolved) -> dict[str, list[dict[str, Any]]]:
    """Folder in scratch → what work there says that it is made by, for each that cells would go on with."""
    asked: dict[str, list[dict[str, Any]]] = {kind: [] for kind in (*SHARDS, *TRAININGS)}
    for cell in named:
        held = files.get(cell.resolved, {})
        if cell.stage == "encode":
            asked["encode"].append({CODE: held[CODE]})
        elif cell.stage in INVERSIONS:
            made = Continued if cell.stage == "distilled" else Recipe
            asked[cell.method].append(_inverted(held, made(**held["recipe"])))
        elif cell.stage == "distil":
            asked["distil"].append({name: held[name] for name in (CODE, "method", "loss", "recipe")})
            if held["targets"]:
                asked[cell.method].append(_inverted(held, Recipe(**held["targets"])))
        elif cell.stage in ("pretrain", "finetune"):
            asked[cell.stage].append({name: held[name] for name in (CODE, "recipe")})
        elif cell.stage == "idealised":
            for run in params.idealised[cell.words[0]].runs.values():
                settings = run.settings.model_dump(mode="json")
                asked["idealised"].append({CODE: held[CODE], "settings": settings})
    return asked


def _parts(scratch: Path, evaluated: set[tuple[str, ...]]) -> Iterator[tuple[Path, str]]:
    """Parts of evaluations, below `scratch`, that no cell or not its last evaluation has used."""
    parts = [path for path in sorted(scratch.rglob("*")) if _part(path)]
    for folder in dict.fromkeys(path.parent for path in parts):
        here = [path for path in parts if path.parent == folder]
        if folder.relative_to(scratch).parts not in evaluated:
            yield from dict.fromkeys(here, "no cell of the run is evaluated there").items()
        elif (used := written.read(folder / USED, list)) is not None:
            since = (folder / USED).stat().st_mtime_ns
            for path in here:
                # a later one is of an evaluation that hasn't ended, and goes on with it
                if path.name not in {*used, USED} and path.stat().st_mtime_ns <= since:
                    yield path, "the last evaluation of its cell did without"


def _inverted(held: dict[str, Any], recipe: Recipe) -> dict[str, Any]:
    """What shards say that an inversion of a cell made."""
    return json.loads(json.dumps(shard_recipe(held["method"], recipe, held[CODE])))


def _part(path: Path) -> bool:
    return path.suffix == ".part" or path.name == USED


def _bytes(path: Path) -> int:
    """Of a link, its own."""
    return size(path) if path.is_dir() and not path.is_symlink() else path.lstat().st_size


def _store(data: Path, cell: StageCell) -> Path:
    name = "native.zarr.zip" if cell.stage == "encode" else cell.store
    return data / "features" / cell.backbone / cell.dataset / name


def _made_by(path: Path) -> str:
    from crossgap.stores.store import StoreError, open_store

    try:
        said = open_store(path).provenance
    except StoreError as error:
        return f"damaged: {error}"
    if "not_applicable" in said:
        return f"empty: {said['not_applicable']}"
    made = said.get("backbone_provenance") or said.get("backbone") or {}
    made = made if isinstance(made, dict) else {"model": made}  # of an import, its name
    words = [" ".join(str(made[name]) for name in ("model", "pretrained", "precision") if made.get(name))]
    words += [f"weights {made['weights_sha256'][:8]}"] if made.get("weights_sha256") else []
    if isinstance(method := said.get("method"), dict):
        settings = [f"{name} {value}" for name, value in method.items() if name != "name"]
        recipe = said.get("recipe") or {}
        settings += [f"{recipe['steps']} steps"] if "steps" in recipe else []
        settings += [f"seed {recipe['seed']}"] if "seed" in recipe else []
        words += [", ".join([str(method.get("name")), *settings])]
    words += [f"code {said[CODE][:8]}"] if said.get(CODE) else []
    words += [f"made elsewhere: {other}"] if (other := elsewhere(said)) else []
    return "; ".join(filter(None, words)) or str(said.get("source", "unknown"))
