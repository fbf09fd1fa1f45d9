"""Uncompressed tars, read as folders.

Offsets of members are read once per process, their bytes with `os.pread`: threads and forked workers share nothing
that moves.
"""

from __future__ import annotations

import os
import posixpath
import tarfile
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path

from crossgap.claims import MOST_IMAGE
from crossgap.errors import ImageError


def members(file: Path) -> Iterator[str]:
    """Names of a tar's files and links, in its order, as often as they are there.

    Raises:
        OSError, tarfile.TarError: it can't be read, is compressed or damaged.
    """
    return (name for name, place, target in _scan(file) if place or target)


def _scan(file: Path) -> Iterator[tuple[str, tuple[int, int] | None, str | None]]:
    """For every member but folders: its name; offset and size, if it is a regular file; its target, if it is a link."""
    with tarfile.open(file, "r:") as tar:
        while (member := tar.next()) is not None:
            tar.members = []  # type: ignore[attr-defined]  # else tarfile keeps an object for each of maybe a million members
            if member.isdir():
                continue
            name = member.name.removeprefix("./")
            plain = member.isreg() and not member.issparse()
            target = posixpath.normpath(member.linkname) if member.islnk() else None
            if member.issym():
                target = posixpath.normpath(posixpath.join(posixpath.dirname(name), member.linkname))
            yield name, (member.offset_data, member.size) if plain else None, target


class Tar:
    """Where the members of a tar lie: name → (offset, size); None for one that is neither a file nor a link to one.

    A link to a folder of the tar stands for all that lies in it.
    """

    def __init__(self, file: Path):
        self.members: dict[str, tuple[int, int] | None] = {}
        links: dict[str, str] = {}
        try:
            for name, place, target in _scan(file):
                self.members[name] = place
                links.pop(name, None)
                if target is not None:
                    links[name] = target
        except tarfile.TarError as error:
            problem = f"not a whole uncompressed tar ({error}): unpack it, or pack it again"
            raise ImageError(str(file), problem) from None
        for name in links:
            self.members[name] = self._linked(name, links)
        self._open_folders({name: links[name] for name in links if self.members[name] is None})
        self.descriptor = os.open(file, os.O_RDONLY)
        weakref.finalize(self, os.close, self.descriptor)

    def _linked(self, name: str, links: dict[str, str]) -> tuple[int, int] | None:
        met = set()
        while name in links and name not in met:
            met.add(name)
            name = links[name]
        return None if name in met else self.members.get(name)

    def _open_folders(self, links: dict[str, str]) -> None:
        if not links:
            return
        held = list(self.members.items())
        for name, folder in links.items():
            inside = {
                name + member[len(folder) :]: place
                for member, place in held
                if place is not None and member.startswith(f"{folder}/") and not name.startswith(f"{folder}/")
            }
            if inside:
                del self.members[name]
                self.members |= inside

    def read(self, path: str, member: str) -> bytes:
        if member not in self.members:
            raise FileNotFoundError
        place = self.members[member]
        if place is None:
            problem = "a link or special member of the tar, and no file: pack it itself, `tar --dereference`"
            raise ImageError(path, problem)
        offset, size = place
        check_size(path, size)
        data = os.pread(self.descriptor, size, offset)
        if len(data) < size:
            raise ImageError(path, f"truncated or damaged: the tar ends after {len(data)} of {size} bytes")
        return data


def check_size(path: str, size: int) -> None:
    """Raises ImageError where a file, or what a tar claims of a member, is larger than any image."""
    if size > MOST_IMAGE:
        raise ImageError(
            path, f"{size} bytes, more than the {MOST_IMAGE} that a file may have: it is no image"
        )


_tars: dict[Path, tuple[tuple[int, int], Tar]] = {}
_lock = threading.Lock()


def opened(file: Path) -> Tar:
    """The tar's index, read again once the file has changed."""
    status = file.stat()
    stamp = (status.st_mtime_ns, status.st_size)
    key = file.absolute()
    with _lock:
        if key not in _tars or _tars[key][0] != stamp:
            _tars[key] = (stamp, Tar(file))
        return _tars[key][1]


def _unlock() -> None:
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_unlock)  # a thread that held the lock does not exist in the child
