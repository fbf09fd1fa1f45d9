"""A dataset that gains, loses and changes items pays for these alone, from its files to its inversions."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from crossgap import encode as encoding
from crossgap import open_store
from crossgap.backbones import Backbone
from crossgap.datasets import checks as checking
from crossgap.datasets.declared import Captions
from crossgap.datasets.preparing import prepare
from crossgap.encode import encode
from crossgap.inversion import invert
from crossgap.inversion.methods import method_of
from crossgap.inversion.recipes import Recipe
from crossgap.inversion.stores import chosen_images, chosen_texts, invert_store
from crossgap.prepared import manifest

ITEMS, SHARD = 40, 8


class Counts(NamedTuple):
    """Of one run: images read and decoded by prepare, decoded by encode, texts encoded; items inverted."""

    read: int
    checked: int
    images: int
    texts: int
    oti: int
    ovi: int


class Project:
    """A folder of captioned images and what a run makes of it; what a run does is counted."""

    def __init__(self, folder: Path, backbone: Backbone, patched: pytest.MonkeyPatch) -> None:
        self.root, self.out, self.backbone = folder / "photos", folder / "out", backbone
        self.root.mkdir()
        self.seen: dict[str, int] = {}
        decode, texts, inverter = encoding.decode, type(backbone).tokenize, invert.Inverter.__call__
        patched.setattr(encoding, "decode", self.counting("images", decode, lambda *_: 1))
        patched.setattr(
            type(backbone), "tokenize", self.counting("texts", texts, lambda _, given: len(given))
        )
        patched.setattr(
            invert.Inverter, "__call__", self.counting("inverted", inverter, lambda _, ids, *rest: len(ids))
        )
        for number in range(ITEMS):
            self.write(number, number)

    def counting(self, what: str, function, count):
        def counted(*given):
            self.seen[what] = self.seen.get(what, 0) + count(*given)
            return function(*given)

        return counted

    def write(self, number: int, seed: int) -> None:
        pixels = np.random.default_rng(seed).integers(0, 256, (16, 16, 3), np.uint8)
        Image.fromarray(pixels).save(self.root / f"{number:03d}.png")

    def run(self, scratch: str = "scratch") -> Counts:
        names = sorted(path.name for path in self.root.glob("*.png"))
        rows = [f"{name},a picture {name}\n" for name in names]
        (self.root / "captions.csv").write_text("image,caption\n" + "".join(rows))
        declared = Captions(
            layout="captions",
            root=self.root,
            captions=self.root / "captions.csv",
            vocabulary="none",
            retrieval={},
        )
        scratch, self.seen = self.out / scratch, {}
        self.out.mkdir(exist_ok=True)
        made = []
        with pytest.MonkeyPatch.context() as patched:
            kept = checking.Checks.save
            patched.setattr(
                checking.Checks, "save", lambda held, whole=True: (made.append(held), kept(held, whole))
            )
            items = prepare(declared, self.out, 2, kept=scratch / "photos.checks").items
        manifest.write(items, self.out)
        native = self.out / "native.zarr.zip"
        encode(
            items,
            self.root,
            self.backbone,
            native,
            provenance={},
            scratch=scratch,
            shard_size=SHARD,
            batch_size=SHARD,
        )
        seen = [made[-1].read, made[-1].decoded, self.seen.get("images", 0), self.seen.get("texts", 0)]
        store = open_store(native)
        for name, choose in (("oti", chosen_images), ("ovi", chosen_texts)):
            self.seen = {}
            path, method = self.out / f"{name}.zarr.zip", method_of({"name": name})
            chosen = choose(store, "test")
            invert_store(
                store,
                chosen,
                self.backbone,
                method,
                Recipe(1),
                path,
                scratch=scratch / name,
                batch_size=SHARD,
            )
            seen.append(self.seen.get("inverted", 0))
        return Counts(*seen)

    def bytes(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.out.iterdir() if path.is_file()}


def test_a_grown_set_pays_for_what_changed_and_its_stores_are_those_of_one_made_from_nothing(
    tiny, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(checking, "SETTLED", -(10**12))  # its files are no longer new
    project = Project(tmp_path, tiny, monkeypatch)
    assert project.run() == (ITEMS,) * 6
    assert project.run() == (0,) * 6

    project.write(ITEMS, 7_000)  # gained, before the others
    (project.root / f"{ITEMS:03d}.png").rename(project.root / "0000.png")
    for number in (17, 30):  # lost
        (project.root / f"{number:03d}.png").unlink()
    project.write(20, 7_001)  # changed
    # the changed image keeps its name, and with it its caption
    assert project.run() == Counts(read=2, checked=2, images=2, texts=1, oti=2, ovi=1)
    grown = project.bytes()
    assert sorted(grown) == ["manifest.parquet", "native.zarr.zip", "oti.zarr.zip", "ovi.zarr.zip"]

    shutil.rmtree(project.out)
    assert project.run("elsewhere") == (ITEMS - 1,) * 6
    assert project.bytes() == grown
