"""A zarr hierarchy as one zip file: parts of entries read by their place, folders packed to equal bytes."""

from __future__ import annotations

import os
import shutil
import struct
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zarr.abc.store import RangeByteRequest, SuffixByteRequest
from zarr.storage import ZipStore

from crossgap import claims

if TYPE_CHECKING:
    from zarr.abc.store import ByteRequest
    from zarr.core.buffer import Buffer, BufferPrototype

_ZSTD, _FRAME = b"\x28\xb5\x2f\xfd", 18  # what a frame begins with, and the longest head of one


class ZipReader(ZipStore):
    """A zip to read, whose entries are stored: a part of one is read without what lies before it in the entry."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, mode="r")
        self._index()

    def _index(self) -> None:
        self._archive = self._opened()
        for entry in self._archive.infolist():
            if entry.compress_type != zipfile.ZIP_STORED:
                raise zipfile.BadZipFile(
                    f"{entry.filename} is compressed by the zip, which no store's parts are"
                )
            if entry.filename.startswith("/") or ".." in entry.filename.split("/"):
                raise zipfile.BadZipFile(f"{entry.filename} leads out of it")
        self._stored = {entry.filename: entry for entry in self._archive.infolist()}

    def _opened(self) -> zipfile.ZipFile:
        return zipfile.ZipFile(str(self.path))

    @property
    def held(self) -> int:
        """Bytes of all entries."""
        return sum(entry.file_size for entry in self._stored.values())

    def __getstate__(self) -> dict[str, Any]:
        own = ("_archive", "_stored")
        return {name: held for name, held in super().__getstate__().items() if name not in own}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._index()

    async def get(
        self, key: str, prototype: BufferPrototype, byte_range: ByteRequest | None = None
    ) -> Buffer | None:
        entry, file = self._stored.get(key), self._archive.fp
        if entry is None or file is None or not isinstance(byte_range, (RangeByteRequest, SuffixByteRequest)):
            found = await super().get(key, prototype, byte_range)
            if found is not None:
                _check_frame(f"{self.path}: {key}", found.as_numpy_array()[:_FRAME].tobytes(), len(found))
            return found
        file.seek(entry.header_offset + 26)  # the lengths of the two fields before the content
        content = entry.header_offset + 30 + sum(struct.unpack("<HH", file.read(4)))
        if isinstance(byte_range, SuffixByteRequest):
            start, stop = max(0, entry.file_size - byte_range.suffix), entry.file_size
        else:
            start, stop = byte_range.start, min(byte_range.end, entry.file_size)
        file.seek(content + start)
        data = file.read(stop - start)
        _check_frame(f"{self.path}: {key}", data[:_FRAME], len(data))
        return prototype.buffer.from_bytes(data)


def _check_frame(what: str, start: bytes, size: int) -> None:
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


def pack(folder: Path, target: Path) -> None:
    """A zip of the folder's files, stored, in order and without dates: equal content, equal bytes.

    Each file goes once it is packed: the disk never holds the store twice.
    """
    with target.open("wb") as out:
        with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
            for file in sorted(path for path in folder.rglob("*") if path.is_file()):
                entry = zipfile.ZipInfo(file.relative_to(folder).as_posix())
                with file.open("rb") as source, archive.open(entry, "w", force_zip64=True) as packed:
                    shutil.copyfileobj(source, packed, 1 << 22)
                file.unlink()
        out.flush()
        os.fsync(out.fileno())
