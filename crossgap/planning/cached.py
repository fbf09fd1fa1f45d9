"""What is kept under `data`: stores and what made them, what nothing names any more, what lies in scratch."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crossgap.evaluation.parts import USED
from crossgap.inversion.recipes import Recipe
from crossgap.params import Params
from crossgap.planning.cells import INVERSIONS, Cell, cells
from crossgap.resolve import CODE, leftovers
from crossgap.zipped import size

FRESH, STALE, UNNAMED, IMPORTED = "up to date", "out of date", "not named by run", "imported"


@dataclass(frozen=True)
class Kept:
    """A store.

    Attributes:
        made_by: the model and how it was loaded and, of an inversion, by which method and recipe; in words.
        state: `FRESH`, `STALE`, `UNNAMED` or `IMPORTED`.
    """

    path: Path
    bytes: int
    made_by: str
    state: str


@dataclass(frozen=True)
class Waste:
    """What `clean` removes: a file or folder, and why nothing needs it."""

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
    for path in sorted([*data.glob("features/*/*/*.zarr.zip"), *data.glob("imports/*/*.zarr.zip")]):
        cell = makers.get(path)
        if path.is_relative_to(data / "imports"):
            state = IMPORTED
        elif cell is None:
            state = UNNAMED
        else:
            state = STALE if cell.name in outdated else FRESH
        found.append(Kept(path, path.stat().st_size, _made_by(path), state))
    return found


def wasted(params: Params, data: Path, resolved: Path) -> list[Waste]:
    """Outputs and scratch that no cell of the run names; all of it can be computed again, or is in DVC's cache."""
    named = cells(params)
    found = {path: "no cell of the run makes it" for path in leftovers(params, data)}
    kept = {(cell.backbone, cell.dataset) for cell in named if cell.stage == "encode"}
    for folder in data.glob("features/*/*"):
        if folder.is_dir() and folder.relative_to(data / "features").parts not in kept:
            found[folder] = "no cell of the run makes it"
    prepared = {cell.dataset for cell in named if cell.stage == "prepare"}
    for folder in data.glob("datasets/*"):
        if folder.name not in prepared:
            found[folder] = "no cell of the run makes it"
    found |= dict(_scratch(params, data, resolved))
    return [
        Waste(path, size(path) if path.is_dir() else path.stat().st_size, why)
        for path, why in sorted(found.items())
    ]


def remove(waste: list[Waste]) -> None:
    for one in waste:
        shutil.rmtree(one.path) if one.path.is_dir() else one.path.unlink(missing_ok=True)


def _scratch(params: Params, data: Path, resolved: Path) -> Iterator[tuple[Path, str]]:
    """What lies in scratch that no cell would take up again."""
    asked: dict[str, list[dict[str, Any]]] = {"encode": [], "oti": [], "ovi": []}
    evaluated = set()
    for cell in cells(params):
        path = resolved / cell.resolved
        if not path.is_file():
            continue
        held = json.loads(path.read_text(encoding="utf-8"))
        if cell.stage == "encode":
            asked["encode"].append({CODE: held[CODE]})
        elif cell.stage in INVERSIONS:
            recipe = Recipe(**held["recipe"]).as_dict()
            asked[cell.method].append({CODE: held[CODE], "method": held["method"], "recipe": recipe})
        elif cell.folder == "evaluate":
            evaluated.add(cell.words)
    for kind, recipes in asked.items():
        for said in (data / "scratch" / kind).glob("*/recipe.json"):
            recipe = json.loads(said.read_text(encoding="utf-8"))
            if not any(wanted.items() <= recipe.items() for wanted in recipes):
                yield said.parent, "made by code or a recipe that no cell of the run has"
    for parts in sorted({path.parent for path in (data / "scratch" / "evaluate").rglob("*.part")}):
        if parts.relative_to(data / "scratch" / "evaluate").parts not in evaluated:
            yield parts, "no cell of the run is evaluated there"
        elif (parts / USED).is_file():
            used = set(json.loads((parts / USED).read_text(encoding="utf-8")))
            for part in sorted(parts.glob("*.part")):
                if part.name not in used:
                    yield part, "the last evaluation of its cell did without"


def _store(data: Path, cell: Cell) -> Path:
    name = "native.zarr.zip" if cell.stage == "encode" else cell.store
    return data / "features" / cell.backbone / cell.dataset / name


def _made_by(path: Path) -> str:
    from crossgap.store import StoreError, open_store

    try:
        said = open_store(path).provenance
    except StoreError as error:
        return f"damaged: {error}"
    if "not_applicable" in said:
        return f"empty: {said['not_applicable']}"
    made = said.get("backbone_provenance") or said.get("backbone") or {}
    words = [" ".join(str(made[name]) for name in ("model", "pretrained", "precision") if made.get(name))]
    words += [f"weights {made['weights_sha256'][:8]}"] if made.get("weights_sha256") else []
    if "method" in said:
        settings = ", ".join(f"{name} {value}" for name, value in said["method"].items() if name != "name")
        steps, seed = said["recipe"]["steps"], said["recipe"]["seed"]
        words += [f"{said['method']['name']}, {settings}, {steps} steps, seed {seed}"]
    words += [f"code {said[CODE][:8]}"] if said.get(CODE) else []
    return "; ".join(filter(None, words)) or str(said.get("source", "unknown"))
