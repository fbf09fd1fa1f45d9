"""What the carriers of values write, from fixed input, read back without them: it changes with their version alone.

A carrier counts in a result's code by the version of its format (`closure.CARRIERS`). So for each version stands here
what it writes: a digest of the content, by zarr, safetensors and pyarrow themselves, and of the bytes, by the version
of the library that packs them. Who changes a format on purpose raises its version and adds a line.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import zarr
from safetensors import safe_open

from crossgap import fingerprint
from crossgap.closure import CARRIERS
from crossgap.prepared import judgements, manifest, transformations
from crossgap.prepared.transformations import Transformations
from crossgap.stores import shards, store, writing


def name_of(*parts: bytes) -> str:
    whole = hashlib.sha256()
    for part in parts:
        whole.update(len(part).to_bytes(8, "little") + part)
    return whole.hexdigest()[:16]


def values(*shape: int) -> np.ndarray:
    """Float32 that no library has to draw."""
    return (np.arange(np.prod(shape), dtype=np.float32) % 251 / 8).reshape(shape)


JUDGEMENTS = pd.DataFrame(
    {"setting": ["easy", "hard"], "query": ["a", "b"], "item": ["b", "a"], "grade": [1, -1]}
)
TRANSFORMATIONS = Transformations(
    pd.DataFrame([dict.fromkeys(transformations.COLUMNS, "a") | {"weight": 0.5}])[
        list(transformations.COLUMNS)
    ],
    pd.DataFrame([dict.fromkeys(transformations.ANSWERS, "a")]),
)


def write_store(folder: Path) -> Path:
    """All kinds of arrays that stores have, one of them in more than one chunk."""
    path, rows = folder / "golden.zarr.zip", 3000
    ids = np.array([f"ü{row}" for row in range(rows)], object)
    with store.creating(path, folder / "scratch", {"model": "none", "fingerprint": "f"}) as writer:
        writer.add_projection("image", values(4, 6), values(4))
        columns = {"id": ids, "rank": np.arange(rows), "truncated": np.arange(rows) % 2 == 0}
        blocks = {"features": values(rows, 4), "preprojection": values(rows, 6)}
        writer.add(
            "image/test",
            columns,
            [
                {name: held[:1000] for name, held in blocks.items()},
                {name: held[1000:] for name, held in blocks.items()},
            ],
        )
        few = {"id": ids[:2], "label.class": np.array(["x", ""], object), "step": np.array([0, 5])}
        learned = {"tokens": values(2, 1, 3), "features": values(2, 4), "loss": values(2)}
        writer.add(
            "text/test", few, [learned | {"snapshots": values(2, 2, 4), "snapshot_loss": values(2, 2)}]
        )
        writer.add_judgements(JUDGEMENTS)
        writer.add_transformations(TRANSFORMATIONS)
    return path


def write_many(folder: Path) -> Path:
    """Arrays of more rows than one file has."""
    path, rows = folder / "many.zarr.zip", writing.ROWS_A_SHARD + 1000
    blocks = {"features": values(rows, 300), "tokens": values(rows, 1, 3), "loss": values(rows)}
    with store.creating(path, folder / "scratch", {"model": "none"}) as writer:
        writer.add("image/test", {"id": np.arange(rows).astype(str)}, [blocks])
    return path


def read_store(path: Path) -> str:
    """Every array's values, types, layout and names, and all attributes, by zarr alone."""
    opened = zarr.storage.ZipStore(path, mode="r")
    root, parts = zarr.open_group(opened, mode="r"), []
    parts.append(json.dumps(root.attrs.asdict(), sort_keys=True).encode())
    for name, held in sorted(root.members(max_depth=None)):
        parts.append(f"{name} {json.dumps(held.attrs.asdict(), sort_keys=True)}".encode())
        if isinstance(held, zarr.Array):
            content = held[:]
            kind = "str" if content.dtype.kind in "OTU" else str(content.dtype)
            layout = kind, held.shape, held.chunks, held.shards, held.metadata.dimension_names
            parts += [str(layout).encode(), json.dumps(content.tolist()).encode()]
    opened.close()
    return name_of(*parts)


def read_many(path: Path) -> str:
    """As `read_store`, but the bytes of the values."""
    opened = zarr.storage.ZipStore(path, mode="r")
    parts = []
    for name in ("features", "loss", "tokens"):
        held = zarr.open_group(opened, mode="r")[f"image/test/{name}"]
        said = name, str(held.dtype), held.shape, held.chunks, held.shards, held.metadata.to_dict()["codecs"]
        parts += [str(said).encode(), held[:].tobytes()]
    opened.close()
    return name_of(*parts)


def write_shard(folder: Path) -> Path:
    made = shards.Shards.of(folder, {"recipe": 1})
    made.put(["ü", "b"], {"features": values(2, 3), "truncated": np.array([True, False])})
    (path,) = made.folder.glob("*.safetensors")
    return path


def read_shard(path: Path) -> str:
    with safe_open(path, "np") as file:
        said = json.dumps([path.parent.name, file.metadata()], sort_keys=True).encode()
        held = {name: file.get_tensor(name) for name in sorted(file.keys())}
    return name_of(said, *(f"{n} {x.dtype} {x.tolist()}".encode() for n, x in held.items()))


def write_manifest(folder: Path) -> Path:
    common = {"split": "test", "group": "ü", "rank": 0, "label.class": "x"}
    image = {"id": "ü", "modality": "image", "path": "ü.png", "text": None, "digest": "0" * 32}
    text = {"id": "t", "modality": "text", "path": None, "text": "a thing"}
    rows = [image | common, text | {"digest": manifest.text_digest("a thing")} | common]
    return manifest.write(pd.DataFrame(rows), folder)


def write_judgements(folder: Path) -> Path:
    return judgements.write(JUDGEMENTS, folder)


def write_transformations(folder: Path) -> Path:
    transformations.write(TRANSFORMATIONS, folder)
    return folder


def read_tables(path: Path) -> str:
    """Parquet files, one or a folder's, by pyarrow alone."""
    parts = []
    for file in sorted(path.glob("*.parquet")) if path.is_dir() else [path]:
        table = pq.read_table(file)
        schema = [(field.name, str(field.type).removeprefix("large_")) for field in table.schema]
        parts.append(json.dumps([file.name, schema, table.to_pylist()], sort_keys=True).encode())
    return name_of(*parts)


def write_names(folder: Path) -> Path:
    """What fingerprints are of fixed values."""
    file = folder / "file"
    file.write_bytes(b"content")
    found = [
        fingerprint.of_json({"ü": [1, 2.5, None]}),
        fingerprint.of_bytes(b"one", b"two"),
        fingerprint.of_content(b"content"),
        fingerprint.sha256_of_files([file]),
        *fingerprint.of_rows(values(3, 5)),
    ]
    file.write_text(json.dumps(found))
    return file


Carrier = tuple[Callable[[Path], Path], Callable[[Path], str]]
WRITTEN: dict[str, Carrier] = {  # by module: what writes and what reads
    "crossgap.stores.store": (write_store, read_store),
    "crossgap.stores.zipped": (write_store, read_store),
    "crossgap.stores.chunks": (write_many, read_many),
    "crossgap.stores.shards": (write_shard, read_shard),
    "crossgap.prepared.manifest": (write_manifest, read_tables),
    "crossgap.prepared.judgements": (write_judgements, read_tables),
    "crossgap.prepared.transformations": (write_transformations, read_tables),
    "crossgap.fingerprint": (write_names, lambda path: name_of(path.read_bytes())),
}
CONTENT = {  # by module and version of its format
    "crossgap.stores.store": {1: "4459866609a6bf56"},
    "crossgap.stores.zipped": {1: "4459866609a6bf56"},
    "crossgap.stores.chunks": {1: "6a124fbf6340244a"},
    "crossgap.stores.shards": {1: "34a86c8db389790c"},
    "crossgap.prepared.manifest": {1: "38f17458dceb7703"},
    "crossgap.prepared.judgements": {1: "25a91317dec1fa41"},
    "crossgap.prepared.transformations": {1: "b609f955091ca620"},
    "crossgap.fingerprint": {1: "db5f87937e1c8f00"},
}
BYTES = {  # of one file, by the versions of what packs it; safetensors writes a shard's header in no order
    "crossgap.stores.store zarr numcodecs": {
        "format 1, zarr 3.1.6 numcodecs 0.16.6": "195361d9e6707195",
        "format 1, zarr 3.4.2 numcodecs 0.17.1": "195361d9e6707195",
    },
    "crossgap.stores.chunks zarr numcodecs": {
        "format 1, zarr 3.1.6 numcodecs 0.16.6": "e7f7cb6dd0917a2d",
        "format 1, zarr 3.4.2 numcodecs 0.17.1": "e7f7cb6dd0917a2d",
    },
    "crossgap.prepared.manifest pyarrow": {"format 1, pyarrow 26.0.1": "aa90a5902b25bbd4"},
    "crossgap.prepared.judgements pyarrow pandas": {
        "format 1, pyarrow 26.0.1 pandas 3.1.1": "8967b6568f994a8b"
    },
}


@pytest.mark.parametrize("module", WRITTEN)
def test_what_a_carrier_writes_changes_with_its_version_alone(module, tmp_path) -> None:
    write, read = WRITTEN[module]
    known = CONTENT[module].get(CARRIERS[module])
    found = read(write(tmp_path))
    assert found == known, (
        f"{module} writes something else than its format {CARRIERS[module]} did: undo that, or raise its version "
        f"in closure.CARRIERS and add it here with {found!r}"
    )


@pytest.mark.parametrize("name", BYTES)
def test_the_bytes_are_those_of_this_version_of_the_library(name, tmp_path) -> None:
    module, *packers = name.split()
    versions = " ".join(f"{packer} {version(packer)}" for packer in packers)
    write, _ = WRITTEN[module]
    found = name_of(write(tmp_path).read_bytes())
    if (key := f"format {CARRIERS[module]}, {versions}") not in BYTES[name]:
        pytest.skip(f"no bytes are known of {key}: here they are {found}")
    assert found == BYTES[name][key]


def higher(array: np.ndarray) -> np.ndarray:
    return array + 0.5


@pytest.mark.parametrize("what", ["features", "chunks", "dimension", "id", "rank"])
def test_a_store_that_is_written_otherwise_has_another_name(what, tmp_path, monkeypatch) -> None:
    before = read_store(write_store(tmp_path))
    write, column = writing._Stream.write, writing._write_column
    if what == "features":
        monkeypatch.setattr(writing._Stream, "write", lambda self, values: write(self, higher(values)))
    elif what == "chunks":
        monkeypatch.setattr(writing, "ROWS_A_CHUNK", 512)
    elif what == "dimension":
        monkeypatch.setitem(writing._INNER_DIMENSIONS, "features", ("channel",))
    else:

        def reversed_column(group: zarr.Group, name: str, values: np.ndarray, *more: str) -> None:
            column(group, name, values[::-1] if name == what else values, *more)

        monkeypatch.setattr(writing, "_write_column", reversed_column)
    (tmp_path / "other").mkdir()
    assert read_store(write_store(tmp_path / "other")) != before


def test_shards_and_tables_that_are_written_otherwise_have_other_names(tmp_path, monkeypatch) -> None:
    for number, (place, name) in enumerate([(shards, "_digest"), (fingerprint, "of_json")]):
        folders = [tmp_path / f"{number}{side}" for side in "ab"]
        before = read_shard(write_shard(folders[0]))
        monkeypatch.setattr(place, name, lambda *_: "another")
        assert read_shard(write_shard(folders[1])) != before
        monkeypatch.undo()
    before = read_tables(write_manifest(tmp_path / "a"))
    valid = manifest.validate
    monkeypatch.setattr(manifest, "validate", lambda frame: valid(frame).assign(split="other"))
    assert read_tables(write_manifest(tmp_path / "b")) != before
