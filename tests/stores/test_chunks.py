"""Rows as they lie in a store's file, against zarr: what it writes and reads of the same arrays."""

from __future__ import annotations

import errno
import itertools
import os
import random
import signal
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import zarr
from zarr.codecs import BytesCodec, Crc32cCodec, ZstdCodec

from crossgap import open_store
from crossgap.stores import store, temporary, writing, zipped
from crossgap.stores.chunks import StoredRows, _sum, shard

ROWS, SHARD = 150, 64
RNG = np.random.default_rng(0)
ARRAYS = {
    "features": RNG.standard_normal((ROWS, 6)).astype(np.float32),
    "preprojection": RNG.standard_normal((ROWS, 9)),
    "tokens": RNG.standard_normal((ROWS, 2, 5)).astype(np.float16),
    "loss": RNG.standard_normal(ROWS).astype(np.float32),
    "truncated": RNG.random(ROWS) < 0.5,
}


@pytest.fixture(autouse=True)
def few_rows_are_many(monkeypatch) -> None:
    monkeypatch.setattr(writing, "ROWS_A_SHARD", SHARD)
    monkeypatch.setattr(writing, "ROWS_A_CHUNK", SHARD // 2)
    monkeypatch.setattr(writing, "BYTES_A_CHUNK", 60)


def written(path: Path, sizes: list[int], arrays: dict[str, np.ndarray] = ARRAYS) -> Path:
    """A store whose arrays come in blocks of these numbers of rows."""
    ends = np.cumsum([0, *sizes])
    blocks = [
        {name: held[start:end] for name, held in arrays.items()} for start, end in itertools.pairwise(ends)
    ]
    rows = len(next(iter(arrays.values())))
    with store.creating(path, path.parent / "scratch", {}) as writer:
        writer.add("image/test", {"id": np.arange(rows).astype(str)}, blocks)
    return path


@pytest.fixture
def path(tmp_path) -> Path:
    return written(tmp_path / "s.zarr.zip", [ROWS])


@pytest.mark.parametrize("name", ARRAYS)
def test_a_file_is_that_of_zarr(name, path) -> None:
    values, memory = ARRAYS[name], zarr.storage.MemoryStore()
    held = open_store(path)["image/test"].zarr_group[name]
    assert isinstance(held.compressors[0], Crc32cCodec) and held.chunks[0] < SHARD
    again = zarr.create_array(
        memory,
        shape=values.shape,
        dtype=values.dtype,
        chunks=held.chunks,
        shards=held.shards,
        compressors=Crc32cCodec(),
        config={"write_empty_chunks": True},
    )
    again[:] = values
    with zipfile.ZipFile(path) as archive:
        files = [one for one in archive.namelist() if one.startswith(f"image/test/{name}/c/")]
        assert len(files) == -(-ROWS // SHARD)
        for one in files:
            theirs = memory._store_dict[one.removeprefix(f"image/test/{name}/")].to_bytes()
            assert archive.read(one) == theirs


@pytest.mark.parametrize("name", ARRAYS)
def test_zarr_and_we_read_the_same(name, path) -> None:
    group, archive = open_store(path)["image/test"], zarr.storage.ZipStore(path, mode="r")
    theirs = zarr.open_group(archive, mode="r")[f"image/test/{name}"]
    positions = RNG.integers(0, ROWS, 40)
    assert StoredRows.of(group.zarr_group[name]) is not None
    assert group[name].dtype == ARRAYS[name].dtype
    np.testing.assert_array_equal(group[name], theirs[:])
    np.testing.assert_array_equal(group[name], ARRAYS[name])
    np.testing.assert_array_equal(group.rows(name, positions), ARRAYS[name][positions])
    assert group.rows(name, []).shape == (0, *ARRAYS[name].shape[1:])
    archive.close()


def test_several_threads_read_one_store(path) -> None:
    group = open_store(path)["image/test"]
    with ThreadPoolExecutor(8) as pool:
        for name, found in zip(
            list(ARRAYS) * 20, pool.map(group.__getitem__, list(ARRAYS) * 20), strict=True
        ):
            np.testing.assert_array_equal(found, ARRAYS[name])


@pytest.mark.parametrize("sizes", [[1] * ROWS, [37] * 4 + [2], [64, 64, 22], [5, 100, 45]])
def test_the_size_of_blocks_changes_no_byte(sizes, path, tmp_path) -> None:
    assert written(tmp_path / "other.zarr.zip", sizes).read_bytes() == path.read_bytes()


@pytest.mark.parametrize("codec", [Crc32cCodec(), ZstdCodec(checksum=True)])
@pytest.mark.parametrize("empty", [True, False])
def test_shards_that_zarr_wrote_are_read(codec, empty, tmp_path) -> None:
    """In another order of chunks too, with those of zeros left out."""
    values = ARRAYS["features"].copy()
    values[20:70] = 0
    path = tmp_path / "s.zip"
    with zarr.storage.ZipStore(path, mode="w") as archive:
        array = zarr.create_array(
            archive, name="a", shape=values.shape, dtype="f4", chunks=(8, 6), shards=(SHARD, 6),
            compressors=codec, config={"write_empty_chunks": empty},
        )  # fmt: skip
        for start in (128, 64, 0):
            array[start : start + SHARD] = values[start : start + SHARD]
    held = StoredRows.of(zarr.open_array(store.ZipReader(path), path="a", mode="r"))
    assert held is not None and held.compressed == isinstance(codec, ZstdCodec)
    positions = RNG.integers(0, ROWS, 30)
    np.testing.assert_array_equal(held.whole(), values)
    np.testing.assert_array_equal(held.some(positions), values[positions])


@pytest.mark.parametrize(
    "options",
    [
        {"compressors": ZstdCodec(checksum=False)},
        {"compressors": Crc32cCodec(), "chunks": (8, 3)},
        {"compressors": Crc32cCodec(), "fill_value": 1.0},
        {"compressors": Crc32cCodec(), "shards": None},
        {"compressors": Crc32cCodec(), "serializer": BytesCodec(endian="big")},
        {"compressors": Crc32cCodec(), "chunk_key_encoding": {"name": "v2", "separator": "."}},
    ],
)
def test_what_lies_otherwise_is_left_to_zarr(options, tmp_path) -> None:
    path = tmp_path / "s.zip"
    usual = {"shape": (ROWS, 6), "dtype": "f4", "chunks": (8, 6), "shards": (SHARD, 6)}
    with zarr.storage.ZipStore(path, mode="w") as archive:
        zarr.create_array(archive, name="a", **(usual | options))[:] = ARRAYS["features"]
    assert StoredRows.of(zarr.open_array(store.ZipReader(path), path="a", mode="r")) is None


@pytest.mark.parametrize("few", [False, True])
def test_a_bit_flipped_anywhere_in_a_shard_is_noticed(few, path) -> None:
    with zipfile.ZipFile(path) as archive:
        name = "image/test/features/c/1/0"
        entry = archive.getinfo(name)
    content = path.read_bytes()
    begins = content.index(name.encode(), entry.header_offset) + len(name) + 20  # and zip64's sizes
    for at in RNG.integers(0, entry.file_size, 60):
        flipped = bytearray(content)
        flipped[begins + at] ^= 1 << RNG.integers(8)
        path.write_bytes(flipped)
        group = open_store(path)["image/test"]
        with pytest.raises(store.StoreError, match=r"image/test.*features.*damaged"):
            group.rows("features", np.arange(SHARD, 2 * SHARD, 2)) if few else group["features"]


def test_a_store_that_is_cut_short_while_it_is_open_is_damaged(path) -> None:
    group = open_store(path)["image/test"]
    assert len(group.rows("tokens", [0])) == 1
    os.truncate(path, 3000)
    for read in (lambda: group["tokens"], lambda: group.rows("tokens", [149])):
        with pytest.raises(store.StoreError, match=r"tokens.*damaged"):
            read()


def forged(path: Path, parts: list[bytes], index: np.ndarray, check: bytes | None = None) -> StoredRows:
    """Four rows in two chunks, with this list of where they lie, and its checksum if none is given."""
    content = b"".join([*parts, index.astype("<u8").tobytes(), check or _sum(index.astype("<u8"))])
    with zarr.storage.ZipStore(path, mode="w") as archive:
        zarr.create_array(archive, name="a", shape=(4,), dtype="f4", chunks=(2,), shards=(4,),
                          compressors=Crc32cCodec())  # fmt: skip
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("a/c/0", content)
    held = StoredRows.of(zarr.open_array(store.ZipReader(path), path="a", mode="r"))
    assert held is not None
    return held


@pytest.mark.parametrize("place", [(2**63, 2**63), (0, 2**62), (12, 13)])
def test_a_chunk_that_would_lie_beyond_its_shard_is_damaged(place, tmp_path) -> None:
    *parts, _, _ = (bytes(part) for part in shard(ARRAYS["loss"][:4], 2, 2))
    held = forged(tmp_path / "forged.zip", parts, np.array([(0, 12), place], np.uint64))
    with pytest.raises(ValueError, match=r"a/c/0 has a chunk beyond its end"):
        held.whole()


def test_chunks_are_where_their_list_says_if_it_is_what_its_checksum_says(tmp_path) -> None:
    """A file may hold them in any order; each has its own checksum, and so only that of the list tells their places."""
    *parts, index, check = (bytes(part) for part in shard(ARRAYS["loss"][:4], 2, 2))
    turned = np.frombuffer(index, "<u8").reshape(2, 2)[::-1]
    held = forged(tmp_path / "turned.zip", [*parts[2:], *parts[:2]], turned)
    np.testing.assert_array_equal(held.whole(), ARRAYS["loss"][:4])
    np.testing.assert_array_equal(held.some(np.array([3, 0])), ARRAYS["loss"][[3, 0]])
    held = forged(tmp_path / "damaged.zip", parts, turned, check)
    with pytest.raises(ValueError, match=r"the list of chunks of a/c/0 is not what its checksum says"):
        held.whole()


def test_a_disk_that_fills_up_leaves_what_was_there(path, tmp_path, monkeypatch) -> None:
    before, write, left = path.read_bytes(), os.writev, [3000]

    def fills_up(descriptor: int, parts: list[memoryview]) -> int:
        left[0] -= sum(map(len, parts))
        if left[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(descriptor, parts)

    monkeypatch.setattr(os, "writev", fills_up)
    with pytest.raises(temporary.DiskFullError, match=r"no room for .*s\.zarr\.zip"):
        written(path, [50, 100])
    assert path.read_bytes() == before and not list((tmp_path / "scratch").iterdir())


@pytest.mark.slow
def test_a_store_killed_at_random_moments_is_whole_or_not_there(tmp_path, monkeypatch) -> None:
    """100 times at work; its folder is on the disk, its rows many enough for several pieces and syncs."""
    monkeypatch.undo()
    monkeypatch.setattr(zipped, "_SYNCED", 1 << 20)
    rng = random.Random(0)
    arrays = {"features": np.random.default_rng(0).standard_normal((40_000, 64)).astype(np.float32)}
    sizes = [10_000] * 4
    since = time.monotonic()
    whole = written(tmp_path / "whole.zarr.zip", sizes, arrays).read_bytes()
    took = time.monotonic() - since
    path, killed = tmp_path / "s.zarr.zip", 0
    while killed < 100:
        if rng.random() < 0.7:
            path.unlink(missing_ok=True)
        before = path.read_bytes() if path.exists() else None
        child = os.fork()
        if not child:
            try:
                written(path, sizes, arrays)
            finally:
                os._exit(0)
        time.sleep(rng.uniform(0, took))
        os.kill(child, signal.SIGKILL)
        killed += os.WIFSIGNALED(os.waitpid(child, 0)[1])
        assert (path.read_bytes() if path.exists() else None) in (before, whole)
    assert written(path, sizes, arrays).read_bytes() == whole
    assert not list((tmp_path / "scratch").iterdir())
