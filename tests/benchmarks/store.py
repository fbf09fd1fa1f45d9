"""A feature store against other ways to keep features: write, hash as DVC does, open, read whole, read random rows.

Each is timed in turn on the same random float32 features, in several rounds, of which the best counts: whoever writes
first finds no pages of memory that are free. What was written is in the page cache when it is read. A feature store is
on the disk when it is written, and in its file have three checksums been made; `.npy, synced` is on the disk too.
HDF5 needs h5py, LanceDB the package lancedb: without them their rows are left out.

python tests/benchmarks/store.py [--items 1000000] [--width 512] [--rows 1000] [--batch 1024] [--rounds 2]
    [--folder FOLDER] [--ways WAY ...]
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from crossgap.stores import store

BLOCK = 8192


class Way(NamedTuple):
    """How features are kept; `opened(path)` gives what `whole` and `some` read from."""

    write: Callable[[Path, np.ndarray], None]
    opened: Callable[[Path], object]
    whole: Callable[[object], np.ndarray]
    some: Callable[[object, np.ndarray], np.ndarray]


def blocks(features: np.ndarray, size: int = BLOCK) -> Iterator[np.ndarray]:
    for start in range(0, len(features), size):
        yield features[start : start + size]


def crossgap(items: int) -> Way:
    ids = np.arange(items).astype(str).astype(object)

    def write(path: Path, features: np.ndarray) -> None:
        with store.creating(path, path.parent / "scratch", {}) as writer:
            writer.add("image/test", {"id": ids}, ({"features": block} for block in blocks(features)))

    def group(path: Path) -> store.Group:
        return store.open_store(path)["image/test"]

    return Way(write, group, lambda held: held["features"], lambda held, rows: held.rows("features", rows))


def npy(synced: bool = False) -> Way:
    def write(path: Path, features: np.ndarray) -> None:
        with path.open("wb") as file:
            np.save(file, features)
            if synced:
                file.flush()
                os.fsync(file.fileno())

    return Way(
        write,
        lambda path: np.load(path, mmap_mode="r"),
        np.array,
        lambda held, rows: held[rows],
    )


def torch_batches(size: int) -> Way:
    import torch

    def write(path: Path, features: np.ndarray) -> None:
        path.mkdir()
        for number, block in enumerate(blocks(features, size)):
            torch.save(torch.from_numpy(block.copy()), path / f"{number:06}.pt")

    def some(files: list[Path], rows: np.ndarray) -> np.ndarray:
        found = (torch.load(files[row // size], weights_only=True)[row % size] for row in rows)
        return torch.stack(list(found)).numpy()

    return Way(
        write,
        lambda path: sorted(path.iterdir()),
        lambda files: torch.cat([torch.load(file, weights_only=True) for file in files]).numpy(),
        some,
    )


def hdf5() -> Way:
    import h5py

    def write(path: Path, features: np.ndarray) -> None:
        with h5py.File(path, "w") as file:
            file.create_dataset("features", data=features, chunks=(1024, features.shape[1]))

    def some(held: object, rows: np.ndarray) -> np.ndarray:
        unique, back = np.unique(rows, return_inverse=True)
        return held[unique][back]

    return Way(write, lambda path: h5py.File(path)["features"], lambda held: held[:], some)


def zarr_folder() -> Way:
    import zarr

    def write(path: Path, features: np.ndarray) -> None:
        array = zarr.create_array(path, shape=features.shape, dtype="f4", chunks=(1024, features.shape[1]))
        array[:] = features

    return Way(
        write,
        lambda path: zarr.open_array(path, mode="r"),
        lambda held: held[:],
        lambda held, rows: held.oindex[rows],
    )


def lance() -> Way:
    import lancedb
    import pyarrow as pa

    def table(features: np.ndarray) -> pa.Table:
        flat = pa.array(features.reshape(-1))
        return pa.table({"vector": pa.FixedSizeListArray.from_arrays(flat, features.shape[1])})

    def array(found: pa.Table) -> np.ndarray:
        width = found["vector"].type.list_size
        return np.concatenate([chunk.flatten().to_numpy() for chunk in found["vector"].chunks]).reshape(
            -1, width
        )

    return Way(
        lambda path, features: lancedb.connect(path).create_table("features", table(features)),
        lambda path: lancedb.connect(path).open_table("features"),
        lambda held: array(held.to_arrow()),
        lambda held, rows: array(held.to_lance().take(rows)),
    )


def ways(items: int, batch: int) -> dict[str, Way]:
    found = {
        "crossgap": crossgap(items),
        ".npy": npy(),
        ".npy, synced": npy(synced=True),
        ".pt a batch": torch_batches(batch),
        "zarr folder": zarr_folder(),
    }
    if importlib.util.find_spec("h5py"):
        found["HDF5"] = hdf5()
    if importlib.util.find_spec("lancedb"):
        found["LanceDB"] = lance()
    return found


def timed(work: Callable[[], object]) -> tuple[float, object]:
    start = time.perf_counter()
    found = work()
    return time.perf_counter() - start, found


def files_of(path: Path) -> list[Path]:
    return sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]


def hashed(files: list[Path]) -> None:
    """As DVC names what it keeps."""
    for path in files:
        with path.open("rb") as file:
            hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--ways", nargs="*", help="these alone")
    asked = parser.parse_args()
    rng = np.random.default_rng(0)
    features = rng.random((asked.items, asked.width), np.float32)
    features -= 0.5
    rows = rng.integers(0, asked.items, asked.rows)
    print(
        f"{asked.items} items × {asked.width}, {features.nbytes / 1e9:.3g} GB; {asked.rows} random rows; seconds, "
        f"the best of {asked.rounds}"
    )
    print(f"{'':14}{'write':>9}{'hash':>9}{'open':>9}{'whole':>9}{'rows':>9}{'files':>8}{'GB':>8}")
    chosen = {
        name: way
        for name, way in ways(asked.items, asked.batch).items()
        if not asked.ways or name in asked.ways
    }
    found: dict[str, list[Measured]] = {name: [] for name in chosen}
    with tempfile.TemporaryDirectory(dir=asked.folder) as folder:
        for _ in range(asked.rounds):
            for name, way in chosen.items():
                found[name].append(measured(name, way, Path(folder) / "kept", features, rows))
    for name, rounds in found.items():
        times = "".join(
            f"{min(values):9.3f}" for values in zip(*(one.seconds for one in rounds), strict=True)
        )
        print(f"{name:14}{times}{rounds[0].files:8}{rounds[0].size / 1e9:8.3f}", flush=True)


class Measured(NamedTuple):
    """Seconds of write, hash, open, whole and rows; the number of files, and their bytes."""

    seconds: tuple[float, ...]
    files: int
    size: int


def measured(name: str, way: Way, path: Path, features: np.ndarray, rows: np.ndarray) -> Measured:
    """One way, once; SystemExit where it gives back other features."""
    written, _ = timed(lambda: way.write(path, features))
    files = files_of(path)
    digest, _ = timed(lambda: hashed(files))
    opened, held = timed(lambda: way.opened(path))
    some, few = timed(lambda: way.some(held, rows))
    whole, found = timed(lambda: way.whole(held))
    if not (np.array_equal(few, features[rows]) and np.array_equal(found, features)):
        raise SystemExit(f"{name} gives other features than it was given")
    size = sum(file.stat().st_size for file in files)
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    return Measured((written, digest, opened, whole, some), len(files), size)


if __name__ == "__main__":
    main()
