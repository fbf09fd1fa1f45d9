"""A zarr hierarchy as one zip file: parts of entries read by their place, folders packed to equal bytes."""

from __future__ import annotations

import io
import os
import struct
import zipfile
from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isal import isal_zlib
from zarr.abc.store import OffsetByteRequest, RangeByteRequest, SuffixByteRequest
from zarr.storage import ZipStore

from crossgap import claims
from crossgap.errors import CrossgapError

if TYPE_CHECKING:
    from zarr.abc.store import ByteRequest
    from zarr.core.buffer import Buffer, BufferPrototype

_HEAD = 30  # bytes before an entry's name
_PIECE = 1 << 22  # bytes that are read and written at once
_PARTS = 512  # of memory, written at once
_WAITING = 4  # pieces that may wait to be written
_SYNCED = 64 << 20  # bytes after which those written begin to go to the disk
_BROKEN = (NotImplementedError, EOFError, struct.error)  # of zipfile, at fields that are damaged
_ZSTD, _FRAME = b"\x28\xb5\x2f\xfd", 18  # what a frame begins with, and the longest head of one


class ArchiveError(CrossgapError):
    """A zip is no store's, or is damaged; the message names the file and the entry."""


class ZipReader(ZipStore):
    """A zip to read, whose entries are stored: a part of one is read without what lies before it in the entry.

    Its table of contents has no checksum: what it says is held against itself here, against the head of an entry
    when that is read, and against the arrays' shapes by `crossgap.stores.store`.

    Raises:
        ArchiveError: it is damaged, when it is opened or read.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, mode="r")
        self._index()

    def _index(self) -> None:
        try:
            self._archive = self._opened()
        except _BROKEN as error:
            raise self._damaged(f"its table of contents is damaged: {error}") from None
        self._stored: dict[str, zipfile.ZipInfo] = {}
        end = 0
        for entry in sorted(self._archive.infolist(), key=lambda entry: entry.header_offset):
            name = entry.filename
            if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size:
                raise self._damaged(f"{name} is compressed by the zip, which no store's parts are")
            if name.startswith("/") or ".." in name.split("/"):
                raise self._damaged(f"{name} leads out of it")
            if name in self._stored:
                raise self._damaged(f"it has two entries {name}")
            if entry.header_offset < end:
                raise self._damaged(f"{name} lies where another entry does")
            end = entry.header_offset + _HEAD + len(_encoded(entry)) + entry.file_size
            if end > self._archive.start_dir:
                raise self._damaged(f"{name} would end beyond the last entry")
            self._stored[name] = entry
        for name in self._stored:
            if not name.endswith("/") and _described_by(name) not in self._stored:
                raise self._damaged(f"{name} belongs to no array")
            # elsewhere each would be asked for
            if name.endswith("zarr.json") and self.descriptor is not None:
                self.place(name)

    def _opened(self) -> zipfile.ZipFile:
        return zipfile.ZipFile(str(self.path))

    def _damaged(self, what: str) -> ArchiveError:
        return ArchiveError(f"{self}: {what}")

    @property
    def held(self) -> int:
        """Bytes of all entries."""
        return sum(entry.file_size for entry in self._stored.values())

    @property
    def checksums(self) -> list[tuple[str, int, int]]:
        """Of each entry, in the order of the file, its name, bytes and CRC-32: nothing is read."""
        return [(name, entry.file_size, entry.CRC) for name, entry in self._stored.items()]

    @property
    def descriptor(self) -> int | None:
        """Of the open file; None where it is elsewhere."""
        return None if self._archive.fp is None else self._archive.fp.fileno()

    def names(self, folder: str) -> list[str]:
        """Of the entries in a folder, without it."""
        return [name.removeprefix(folder) for name in self._stored if name.startswith(folder)]

    def place(self, key: str) -> tuple[int, int] | None:
        """Where in the file an entry's content begins, and its bytes; None where there is no such entry.

        Raises:
            ArchiveError: at its place is another one, or none.
        """
        entry = self._stored.get(key)
        if entry is None:
            return None
        name = _encoded(entry)
        head = self._read(entry.header_offset, _HEAD + len(name))
        if head[:4] != b"PK\3\4" or head[_HEAD:] != name or struct.unpack("<H", head[26:28]) != (len(name),):
            raise self._damaged(f"{key} is not where its table of contents says")
        return entry.header_offset + len(head) + struct.unpack("<H", head[28:30])[0], entry.file_size

    def _read(self, at: int, size: int) -> bytes:
        file, descriptor = self._archive.fp, self.descriptor
        if file is None:
            raise self._damaged("it is closed")
        if descriptor is None:
            file.seek(at)
            held = file.read(size)
        else:  # threads share the file's position
            held = os.pread(descriptor, size, at)
        if len(held) != size:
            raise self._damaged("it is cut short")
        return held

    def __getstate__(self) -> dict[str, Any]:
        own = ("_archive", "_stored")
        return {name: held for name, held in super().__getstate__().items() if name not in own}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._index()

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        place = self.place(key)
        if place is None:
            return None
        content, length = place
        match byte_range:
            case SuffixByteRequest(suffix=suffix):
                start, stop = max(0, length - suffix), length
            case RangeByteRequest(start=start, end=end):
                stop = min(end, length)
            case OffsetByteRequest(offset=start):
                stop = length
            case _:
                start, stop = 0, length
        start = min(start, stop)
        data = self._read(content + start, stop - start)
        if stop - start == length and isal_zlib.crc32(data) != self._stored[key].CRC:
            raise self._damaged(f"{key} is not what its checksum says")
        check_frame(f"{self.path}: {key}", data[:_FRAME], len(data))
        return prototype.buffer.from_bytes(data)


def _described_by(name: str) -> str:
    """The entry that describes the array that one is a part of; a part that describes, itself."""
    folder, _, _ = f"/{name}".rpartition("/c/" if "/c/" in f"/{name}" else "/")
    return f"{folder}/zarr.json".removeprefix("/")


def _encoded(entry: zipfile.ZipInfo) -> bytes:
    """An entry's name as the file has it."""
    return entry.orig_filename.encode("utf-8" if entry.flag_bits & 0x800 else "cp437")


def check_frame(what: str, start: bytes, size: int) -> None:
    """ClaimError where a chunk begins with a frame of zstd that claims more than its bytes can hold (RFC 8878)."""
    if len(start) < _FRAME or not start.startswith(_ZSTD):
        return
    flags = start[4]
    single = bool(flags & 0x20)
    width = (int(single), 2, 4, 8)[flags >> 6]
    at = 5 + (not single) + (0, 1, 2, 4)[flags & 3]
    claimed = int.from_bytes(start[at : at + width], "little") + (256 if width == 2 else 0)
    claims.check(what, claimed, size)


def size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


class Packer:
    """A zip in progress, its entries stored, without dates: equal entries in equal order, equal bytes.

    Another thread writes its file.
    """

    def __init__(self, target: Path) -> None:
        self._out = _Behind(target)
        self._archive = zipfile.ZipFile(self._out, "w", zipfile.ZIP_STORED)
        self._entries: list[zipfile.ZipInfo] = []

    def add(self, name: str, parts: Iterable[bytes | memoryview]) -> None:
        """One entry; the memory that is given is not to change until the end."""
        entry = zipfile.ZipInfo(name)
        entry.external_attr = 0o600 << 16  # as zipfile has it
        entry.header_offset, entry.CRC = self._out.tell(), 0
        self._out.write(entry.FileHeader(zip64=True))  # its place: sum and size are known when all is written
        for part in parts:
            entry.CRC = isal_zlib.crc32(part, entry.CRC)
            entry.file_size += self._out.write(part)
        entry.compress_size = entry.file_size
        self._entries.append(entry)

    def add_folder(self, folder: Path) -> None:
        """A folder's files, in order. Each goes once it is packed: the disk never holds the store twice."""
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            with file.open("rb") as source:
                self.add(file.relative_to(folder).as_posix(), iter(lambda: source.read(_PIECE), b""))
            file.unlink()

    def finish(self) -> None:
        """Write its table of contents; all is on the disk then."""
        self._out.flush()
        self._archive.start_dir = self._out.tell()
        for entry in self._entries:
            self._out.seek(entry.header_offset)
            self._out.write(entry.FileHeader(zip64=True))
        self._archive.filelist.extend(self._entries)
        self._archive.close()
        self._out.sync()

    def close(self) -> None:
        """Give the file back, whether it is finished or not."""
        self._out.abandon()
        self._archive.close()
        self._out.close()


class _Behind(io.RawIOBase):
    """A file that another thread writes while this one makes what comes next.

    What is long written is brought to the disk meanwhile, by a third.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb", buffering=0)
        self._pool, self._syncs = ThreadPoolExecutor(1), ThreadPoolExecutor(1)
        self._at, self._size, self._parts = 0, 0, list[memoryview]()
        self._abandoned = False
        self._waiting: deque[Future[None]] = deque()
        self._unsynced, self._syncing = 0, Future[None]()
        self._syncing.set_result(None)

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, at: int, whence: int = os.SEEK_SET) -> int:
        self._hand_over()
        self._at = at + {os.SEEK_SET: 0, os.SEEK_CUR: self._at}[whence]
        return self._at

    def write(self, part: Any) -> int:
        held = memoryview(part).cast("B")
        self._parts.append(held)
        self._at += len(held)
        self._size += len(held)
        if self._size >= _PIECE or len(self._parts) >= _PARTS:
            self._hand_over()
        return len(held)

    def flush(self) -> None:
        if not self.closed:
            self._hand_over()
            self._wait(0)

    def abandon(self) -> None:
        """Write nothing more."""
        self._abandoned = True
        self._waiting.clear()

    def sync(self) -> None:
        self.flush()
        self._syncing.result()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        if not self.closed:
            for pool in (self._pool, self._syncs):
                pool.shutdown(cancel_futures=True)
            self._file.close()
            super().close()

    def _hand_over(self) -> None:
        if self._abandoned:
            self._parts, self._size = [], 0
        if self._parts:
            parts, at = self._parts, self._at - self._size
            self._unsynced += self._size
            self._parts, self._size = [], 0
            self._waiting.append(self._pool.submit(self._put, parts, at))
            if self._unsynced >= _SYNCED and self._syncing.done():
                self._syncing.result()  # an error of the disk is told once
                self._unsynced = 0
                self._syncing = self._syncs.submit(os.fsync, self._file.fileno())
        self._wait(_WAITING)

    def _wait(self, most: int) -> None:
        while len(self._waiting) > most:
            self._waiting.popleft().result()

    def _put(self, parts: list[memoryview], at: int) -> None:
        self._file.seek(at)
        while parts:
            done = os.writev(self._file.fileno(), parts)
            while parts and done >= len(parts[0]):
                done -= len(parts.pop(0))
            if done:
                parts[0] = parts[0][done:]
