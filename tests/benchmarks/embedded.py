"""The embedded world and the backbones that the project brings or `dvc repro` makes."""

from __future__ import annotations

from pathlib import Path

from crossgap import load_backbone, open_store
from crossgap.backbones import Backbone
from crossgap.datasets import world
from crossgap.encode import encode
from crossgap.prepared import manifest
from crossgap.stores.store import Store

BACKBONES = Path(__file__).parents[2] / "data" / "backbones"


def backbone(name: str, precision: str = "fp32") -> Backbone:
    return load_backbone(f"local-dir:{BACKBONES / name}", precision=precision)


def encoded(by: Backbone, folder: Path, train: int, test: int) -> Store:
    """The features of the world of so many images, which is written into a folder."""
    items = manifest.validate(world.write(folder, 0, {"train": train, "test": test}))
    path = folder / "native.zarr.zip"
    encode(items, folder, by, path, provenance={}, scratch=folder / "scratch")
    return open_store(path)
