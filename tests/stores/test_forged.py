"""Stores that are damaged or forged: one sentence, or the right numbers; never zeros for what is missing."""

from __future__ import annotations

import contextlib
import json
import random
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crossgap import open_store
from crossgap.errors import CrossgapError
from crossgap.exporting import export
from crossgap.stores import store, writing

ROWS = 150
RNG = np.random.default_rng(0)
ARRAYS = {
    "features": RNG.standard_normal((ROWS, 6)).astype(np.float32),
    "loss": RNG.standard_normal(ROWS).astype(np.float32),
}
IDS = np.arange(ROWS).astype(str)
LABELS = np.array([f"l{row % 7}" for row in range(ROWS)], object)
FEATURES = "image/test/features/zarr.json"


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("forged") / "s.zarr.zip"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(writing, "ROWS_A_SHARD", 64)
        patched.setattr(writing, "ROWS_A_CHUNK", 32)
        patched.setattr(writing, "BYTES_A_CHUNK", 60)
        with store.creating(path, path.parent / "scratch", {}) as writer:
            writer.add("image/test", {"id": IDS, "label.c": LABELS}, [ARRAYS])
    return path


def read(path: Path) -> bool:
    """Whether it is told to be damaged; what is read otherwise is right."""
    try:
        group = open_store(path)["image/test"]
        for name, values in {**ARRAYS, "id": IDS, "label.c": LABELS}.items():
            np.testing.assert_array_equal(group[name], values)
            np.testing.assert_array_equal(group.rows(name, [149, 70, 3]), values[[149, 70, 3]])
    except CrossgapError:
        return True
    return False


def test_no_bit_of_the_heads_and_the_table_of_contents_matters_in_silence(path, tmp_path) -> None:
    """40 of all places and every length of name, and cuts; a longer run by hand went through each bit."""
    content, rng = path.read_bytes(), random.Random(0)
    with zipfile.ZipFile(path) as archive:
        entries, table = archive.infolist(), archive.start_dir
    heads = [entry.header_offset + rng.randrange(30 + len(entry.filename)) for entry in entries]
    names = [
        content.index(entry.filename.encode(), table) + rng.randrange(len(entry.filename))
        for entry in entries
    ]
    told = 0
    for at in [*heads, *names, *(rng.randrange(table, len(content)) for _ in range(40))]:
        flipped = bytearray(content)
        flipped[at] ^= 1 << rng.randrange(8)
        (tmp_path / "x.zip").write_bytes(flipped)
        told += read(tmp_path / "x.zip")
    assert told > len(names)
    for size in (0, 1, 21, table // 2, table, len(content) - 22, len(content) - 1):
        (tmp_path / "x.zip").write_bytes(content[:size])
        assert read(tmp_path / "x.zip")


def rewritten(path: Path, target: Path, change: Callable[[dict[str, bytes]], Any]) -> Path:
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(target, "w") as new:
        held = {entry.filename: old.read(entry) for entry in old.infolist()}
        change(held)
        for name, content in held.items():
            new.writestr(name, content)
    return target


def test_a_part_that_is_missing_or_too_many_is_told(path, tmp_path) -> None:
    assert not read(rewritten(path, tmp_path / "same.zip", lambda held: None))
    for name in (
        "image/test/features/c/1/0",
        "image/test/id/c/0",
        FEATURES,
        "image/test/zarr.json",
        "zarr.json",
    ):
        assert read(rewritten(path, tmp_path / "x.zip", lambda held, n=name: held.pop(n)))
    with zipfile.ZipFile(path) as held:
        losses = sum(name.startswith("image/test/loss/c/") for name in held.namelist())
    for name in (
        f"loss/c/{losses}",
        "features/c/3/0",
        "features/c/00/0",
        "features/c/0",
        "features/c/-1/0",
        "nothing/c/0",
        "loss/c/9",
    ):
        assert read(
            rewritten(
                path, tmp_path / "x.zip", lambda held, n=name: held.update({f"image/test/{n}": b"0" * 40})
            )
        )


def test_two_entries_of_one_name_and_entries_that_lie_in_another_are_told(path, tmp_path) -> None:
    twice = tmp_path / "twice.zip"
    twice.write_bytes(path.read_bytes())
    with warnings.catch_warnings(), zipfile.ZipFile(twice, "a") as archive:
        warnings.simplefilter("ignore")
        archive.writestr("image/test/features/c/0/0", b"x")
    with pytest.raises(store.StoreError, match="two entries image/test/features/c/0/0"):
        open_store(twice)
    for change in ("swapped", "inside", "beyond"):
        content = bytearray(path.read_bytes())
        with zipfile.ZipFile(path) as archive:
            one, other = (archive.getinfo(f"image/test/features/c/{number}/0") for number in (0, 1))
            place = [content.index(entry.filename.encode(), archive.start_dir) - 46 for entry in (one, other)]
        if change == "swapped":
            for at, entry in zip(place, (other, one), strict=True):
                content[at + 42 : at + 46] = struct.pack("<I", entry.header_offset)
        elif change == "inside":
            content[place[0] + 42 : place[0] + 46] = struct.pack("<I", other.header_offset + 1)
        else:
            content[place[0] + 20 : place[0] + 28] = struct.pack("<II", 2**31, 2**31)
        (tmp_path / "x.zip").write_bytes(content)
        assert read(tmp_path / "x.zip")


FORGED: dict[str, Callable[[dict[str, Any]], Any]] = {
    "negative": lambda said: said.update(shape=[-1, 6]),
    "longer": lambda said: said.update(shape=[ROWS + 5, 6]),
    "shorter": lambda said: said.update(shape=[ROWS - 5, 6]),
    "wider": lambda said: said.update(shape=[ROWS, 60]),
    "no shape": lambda said: said.pop("shape"),
    "words": lambda said: said.update(shape="many"),
    "one dimension": lambda said: said.update(shape=[ROWS]),
    "chunks of none": lambda said: said["chunk_grid"]["configuration"].update(chunk_shape=[0, 6]),
    "negative chunks": lambda said: said["chunk_grid"]["configuration"].update(chunk_shape=[-64, 6]),
    "other type": lambda said: said.update(data_type="float64"),
    "no type": lambda said: said.update(data_type={"name": "__import__"}),
    "no codec": lambda said: said.update(codecs=[{"name": "os.system", "configuration": {"command": "x"}}]),
    "no codecs": lambda said: said.update(codecs=None),
    "inner chunks of none": lambda said: said["codecs"][0]["configuration"].update(chunk_shape=[0, 6]),
    "inner chunks too large": lambda said: said["codecs"][0]["configuration"].update(chunk_shape=[128, 6]),
    "many parts": lambda said: (
        said.update(shape=[2**24, 6]),
        said["chunk_grid"]["configuration"].update(chunk_shape=[1, 6]),
        said["codecs"][0]["configuration"].update(chunk_shape=[1, 6]),
    ),
    "many inner chunks": lambda said: (
        said.update(shape=[2**24, 6]),
        said["chunk_grid"]["configuration"].update(chunk_shape=[2**24, 6]),
        said["codecs"][0]["configuration"].update(chunk_shape=[1, 6]),
    ),
}


@pytest.mark.parametrize("how", FORGED)
def test_a_description_that_is_wrong_is_told(how, path, tmp_path) -> None:
    def change(held: dict[str, bytes]) -> None:
        said = json.loads(held[FEATURES])
        FORGED[how](said)
        held[FEATURES] = json.dumps(said).encode()

    assert read(rewritten(path, tmp_path / "x.zip", change))


@pytest.mark.parametrize(
    "text", [b"", b"[]", b"null", b"{}", b"[" * 100_000, b"\xff\xfe", b'{"zarr_format": 4}']
)
@pytest.mark.parametrize("name", [FEATURES, "image/test/zarr.json", "image/zarr.json", "zarr.json"])
def test_a_description_that_is_none_is_told(name, text, path, tmp_path) -> None:
    assert read(rewritten(path, tmp_path / "x.zip", lambda held: held.update({name: text})))


@pytest.mark.parametrize("name", ["<b>x</b>\"'", "$(touch x)", "a\\..\\..\\b", "...", "-rf", "a:b"])
def test_no_name_in_a_forged_store_leads_an_export_elsewhere(name, path, tmp_path) -> None:
    """Of an array and of a group; whatever the export says of it, it writes into its folder alone."""

    def change(held: dict[str, bytes]) -> None:
        for old, content in list(held.items()):
            renamed = old.replace("image/test/features", f"image/{name}/{name}")
            held[renamed if renamed != old else old.replace("image/test", f"image/{name}")] = content

    forged = rewritten(path, tmp_path / "x.zip", change)
    for format_ in ("clip-retrieval", "safetensors", "parquet"):
        folder = tmp_path / "deep" / "er" / format_
        with contextlib.suppress(CrossgapError):
            export(open_store(forged), format_, folder)
        written = {file for file in tmp_path.rglob("*") if file.is_file()} - {forged}
        assert all(file.is_relative_to(tmp_path / "deep" / "er") for file in written)
