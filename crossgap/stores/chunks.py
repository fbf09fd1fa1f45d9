"""Rows of a store's arrays, as they lie in its file: read and written without zarr's pipeline, which takes longer.

An array of more than a few rows is a file a shard (zarr's `sharding_indexed`): chunks of whole rows, then for each
chunk where it begins and how long it is (two little-endian uint64, both 2⁶⁴ − 1 where all of it is zero), then the
CRC32C of these numbers. A chunk is a frame of zstd with its checksum, or the rows themselves with their CRC32C: what
is damaged is known either way, however few rows are read.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import google_crc32c
import numpy as np
import pyarrow as pa

from crossgap.machine import cores
from crossgap.stores.zipped import ZipReader

if TYPE_CHECKING:
    import zarr
    from jaxtyping import Int64, Shaped

_ABSENT = 2**64 - 1
_SUM = 4  # bytes of a CRC32C
_THREADS = 4
_PARTS = 512  # of memory that one call of the system reads into, or writes


def shard(rows: Shaped[np.ndarray, "n ..."], rows_a_chunk: int, chunks: int) -> Iterator[memoryview | bytes]:
    """The bytes of one shard's file, in parts, of `chunks` chunks that are not compressed.

    Args:
        rows: `(n, …)`; fewer than the shard has room for at the end of an array.
    """
    index = np.full((chunks, 2), _ABSENT, "<u8")
    at = 0
    for number, start in enumerate(range(0, len(rows), rows_a_chunk)):
        chunk = rows[start : start + rows_a_chunk]
        if len(chunk) < rows_a_chunk:
            chunk = np.concatenate(
                [chunk, np.zeros((rows_a_chunk - len(chunk), *rows.shape[1:]), rows.dtype)]
            )
        content = _bytes(np.ascontiguousarray(chunk))
        check = _sum(content)
        index[number] = at, len(content) + len(check)
        at += len(content) + len(check)
        yield content.data
        yield check
    yield index.tobytes()
    yield _sum(index)


@dataclass(frozen=True)
class StoredRows:
    """An array of a store on this machine, in shards of whole rows."""

    reader: ZipReader
    descriptor: int  # of its open file
    key: str  # of its first shard, without the shard's number
    shape: tuple[int, ...]
    dtype: np.dtype
    rows_a_shard: int
    rows_a_chunk: int
    compressed: bool

    @classmethod
    def of(cls, array: zarr.Array) -> StoredRows | None:
        """None where the array lies otherwise, or elsewhere: zarr reads it."""
        reader, said = array.store, cast("Any", array.metadata.to_dict())
        if not isinstance(reader, ZipReader) or reader.descriptor is None or sys.byteorder != "little":
            return None
        match said:
            case {
                "zarr_format": 3,
                "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": shards}},
                "chunk_key_encoding": {"name": "default", "configuration": {"separator": "/"}},
                "fill_value": 0,
                "codecs": [{"name": "sharding_indexed", "configuration": sharding}],
            }:
                pass
            case _:
                return None
        match sharding:
            case {
                "chunk_shape": chunks,
                "codecs": [{"name": "bytes", **order}, check],
                "index_codecs": [
                    {"name": "bytes", "configuration": {"endian": "little"}},
                    {"name": "crc32c"},
                ],
                "index_location": "end",
            }:
                pass
            case _:
                return None
        compressed = check["name"] == "zstd" and check["configuration"].get("checksum") is True
        dtype, shape = np.dtype(array.dtype), array.shape
        whole = tuple(shards[1:]) == tuple(chunks[1:]) == shape[1:] and 0 not in shape
        if not whole or not (compressed or check["name"] == "crc32c"):
            return None
        big = dtype.itemsize > 1 and order.get("configuration") != {"endian": "little"}
        if dtype.kind not in "fiub" or big or not dtype.isnative:
            return None
        return cls(
            reader, reader.descriptor, f"{array.path}/c/", shape, dtype, shards[0], chunks[0], compressed
        )

    def whole(self) -> Shaped[np.ndarray, "n ..."]:
        """All rows.

        Raises:
            ValueError: they are damaged.
        """
        out = np.empty(self.shape, self.dtype)
        starts = range(0, self.shape[0], self.rows_a_shard)
        _each(lambda start: self._read_shard(start, out[start : start + self.rows_a_shard]), starts)
        return out

    def some(self, positions: Int64[np.ndarray, " n"]) -> Shaped[np.ndarray, "n ..."]:
        """The rows at these positions `(n)`, in any order; only the chunks that hold them are read.

        Raises:
            ValueError: one of the chunks is damaged.
        """
        out = np.empty((len(positions), *self.shape[1:]), self.dtype)
        if not len(positions):
            return out
        order = np.argsort(positions, kind="stable")
        chunks, first = np.unique(positions[order] // self.rows_a_chunk, return_index=True)
        asked = list(zip(chunks.tolist(), np.split(order, first[1:]), strict=True))
        shards = sorted({chunk * self.rows_a_chunk // self.rows_a_shard for chunk in chunks.tolist()})
        places = dict(zip(shards, map(self._places, shards), strict=True))

        def read(one: tuple[int, np.ndarray]) -> None:
            chunk, at = one
            start = chunk * self.rows_a_chunk
            number, within = divmod(start, self.rows_a_shard)
            held = self._chunk(*places[number][within // self.rows_a_chunk].tolist())
            out[at] = held[positions[at] - start]

        _each(read, asked)
        return out

    @property
    def _bytes_a_chunk(self) -> int:
        return self.rows_a_chunk * math.prod(self.shape[1:]) * self.dtype.itemsize

    def _places(self, number: int) -> Int64[np.ndarray, "chunk 2"]:
        """Where in the store's file each chunk of a shard begins, and its bytes; −1 where there's none."""
        name = f"{self.key}{number}" + "/0" * (len(self.shape) - 1)
        chunks = self.rows_a_shard // self.rows_a_chunk
        place = self.reader.place(name)
        if place is None:
            return np.full((chunks, 2), -1)
        start, size = place
        tail = 16 * chunks + _SUM
        if size < tail:
            raise ValueError(f"{name} is cut short")
        held = self._read(start + size - tail, tail)
        index = np.frombuffer(held, "<u8", 2 * chunks).reshape(chunks, 2)
        if _sum(index) != held[-_SUM:]:
            raise ValueError(f"the list of chunks of {name} is not what its checksum says")
        absent = (index == _ABSENT).all(1)
        begins, sizes = index[:, 0], index[:, 1]
        room = size - tail
        if not (absent | (begins <= room) & (sizes <= room - np.minimum(begins, room))).all():
            raise ValueError(f"{name} has a chunk beyond its end")
        places = np.where(absent[:, None], np.uint64(0), index).astype(np.int64)
        places[:, 0] += start
        places[absent] = -1
        return places

    def _read_shard(self, start: int, out: Shaped[np.ndarray, "n ..."]) -> None:
        places = self._places(start // self.rows_a_shard)
        pieces = [out[at : at + self.rows_a_chunk] for at in range(0, len(out), self.rows_a_chunk)]
        straight = 0 if self.compressed else len(out) // self.rows_a_chunk
        for first in range(0, straight, _PARTS // 2):
            last = min(first + _PARTS // 2, straight)
            if not self._read_straight(places[first:last], pieces[first:last]):
                straight = 0
                break
        for (at, size), piece in list(zip(places.tolist(), pieces, strict=False))[straight:]:
            piece[:] = self._chunk(at, size)[: len(piece)]

    def _read_straight(self, places: Int64[np.ndarray, "chunk 2"], pieces: list[np.ndarray]) -> bool:
        """Chunks that follow one another, into their rows by one call; False where they lie otherwise."""
        size = self._bytes_a_chunk + _SUM
        if (places[:, 1] != size).any() or (np.diff(places[:, 0]) != size).any():
            return False
        sums = [bytearray(_SUM) for _ in pieces]
        parts: list[Any] = [
            part for piece, held in zip(pieces, sums, strict=True) for part in (_bytes(piece), held)
        ]
        if os.preadv(self.descriptor, parts, int(places[0, 0])) != size * len(pieces):
            raise ValueError(f"{self.key} is cut short")
        for piece, held in zip(pieces, sums, strict=True):
            self._check(_bytes(piece), bytes(held))
        return True

    def _chunk(self, at: int, size: int) -> Shaped[np.ndarray, "n ..."]:
        """One whole chunk."""
        shape = (self.rows_a_chunk, *self.shape[1:])
        if at < 0:
            return np.zeros(shape, self.dtype)
        held = self._read(at, size)
        if not self.compressed:
            content = np.frombuffer(held, np.uint8)[:-_SUM]
            if len(content) != self._bytes_a_chunk:
                raise ValueError(f"a chunk of {self.key} has {len(content)} bytes, not {self._bytes_a_chunk}")
            self._check(content, held[-_SUM:])
            return content.view(self.dtype).reshape(shape)
        try:
            found = pa.decompress(held, self._bytes_a_chunk, codec="zstd")
        except (OSError, ValueError) as error:
            # pyarrow says of bytes that are wrong what others say of a disk
            raise ValueError(f"a chunk of {self.key}: {error}") from None
        return np.frombuffer(found, self.dtype).reshape(shape)

    def _read(self, at: int, size: int) -> bytes:
        held = os.pread(self.descriptor, size, at)
        if len(held) != size:
            raise ValueError(f"{self.key} is cut short")
        return held

    def _check(self, content: np.ndarray, said: bytes) -> None:
        if _sum(content) != said:
            raise ValueError(f"a chunk of {self.key} is not what its checksum says")


def _bytes(rows: np.ndarray) -> np.ndarray:
    """`(bytes)` of contiguous rows, not copied."""
    return rows.reshape(-1).view(np.uint8)


def _sum(content: np.ndarray) -> bytes:
    held = content.reshape(-1).view(np.uint8)
    held.flags.writeable = False  # of this view: the library takes no other
    return int(google_crc32c.value(held)).to_bytes(_SUM, "little")


def _each(work: Callable[[Any], None], on: Iterable[Any]) -> None:
    """Several at once, as many as there are cores; the first error of one is raised."""
    on = list(on)
    threads = min(cores(), _THREADS, len(on))
    if threads < 2:
        for one in on:
            work(one)
        return
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(work, on):
            pass
