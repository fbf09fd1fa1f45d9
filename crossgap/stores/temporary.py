"""Files in progress: their names say which process writes them, so that those of dead processes can be removed.

A name ends in `.<host>.<process id>.<random>.tmp`. Only leftovers of this host can be judged; others stay.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import socket
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from crossgap.errors import number_of

_HOST = re.sub(r"[^A-Za-z0-9-]", "_", socket.gethostname()) or "_"
_NAME = re.compile(r"\.(?P<host>[^.]+)\.(?P<process>\d+)\.[0-9a-f]{8}\.tmp$")
_REMEDIES = {
    "ENOSPC": "make room",
    "EDQUOT": "make room, or raise the quota,",
    "EFBIG": "raise the limit of a file's size (`ulimit -f`)",
}
_FULL = {getattr(errno, name): remedy for name, remedy in _REMEDIES.items() if hasattr(errno, name)}
_mine: set[str] = set()


class DiskFullError(OSError):
    """There is no room for a file; the message says for which, how much it needs and how much is free."""

    def __init__(self, message: str, number: int = errno.ENOSPC) -> None:
        super().__init__(message)
        self.errno = number  # by it an error is known for the machine's, and told in its own words


@contextmanager
def named(path: Path) -> Iterator[Path]:
    """A name for a file or folder in progress, beside `path`. At the end, what has this name is removed; an error of
    the operating system says `path` in its place.
    """
    name = f"{path.name}.{_HOST}.{os.getpid()}.{uuid.uuid4().hex[:8]}.tmp"
    temporary = path.with_name(name)
    _mine.add(name)
    try:
        yield temporary
    except OSError as error:
        if isinstance(error.filename, str | Path):
            error.filename = str(error.filename).replace(str(temporary), str(path))
        raise
    finally:
        try:
            _remove(temporary)
        except BaseException:  # a signal's, in the middle of it
            _remove(temporary)
            raise
        finally:
            _mine.discard(name)


def write(path: Path, *parts: bytes | memoryview) -> None:
    """Write a file that is there whole or not at all, whenever the process is killed.

    Raises:
        DiskFullError: there is no room for it.
    """
    with named(path) as temporary, room_for(path, sum(map(len, parts))):
        with temporary.open("wb") as file:
            file.writelines(parts)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)


def write_through(path: Path, *parts: bytes | memoryview) -> None:
    """As `write`, but where `path` is a link, the link stays, and the file that it leads to is written."""
    write(path.resolve(), *parts)


def move(source: Path, target: Path) -> None:
    """Move a file in one step, also to another file system: `target` is never there in part."""
    try:
        os.replace(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        remove_leftovers(target.parent)
        with named(target) as beside, room_for(target, source.stat().st_size):
            shutil.copyfile(source, beside)
            os.replace(beside, target)


def in_use(folder: Path) -> bool:
    """Whether `folder` has files in progress of a process that lives, or of another host, which can't be judged."""
    made = [found for entry in folder.glob("*.tmp") if (found := _NAME.search(entry.name))]
    return any(one["host"] != _HOST or psutil.pid_exists(int(one["process"])) for one in made)


def remove_leftovers(folder: Path) -> None:
    """Remove the files and folders in progress that processes of this host left in `folder` when they died."""
    for entry in folder.glob("*.tmp"):
        made = _NAME.search(entry.name)
        if made is None or made["host"] != _HOST or entry.name in _mine:
            continue
        process = int(made["process"])
        # a living process with our own id is us, and this file isn't ours: ids repeat in containers
        if process == os.getpid() or not psutil.pid_exists(process):
            _remove(entry)


@contextmanager
def room_for(path: Path, size: int | None = None, folder: Path | None = None) -> Iterator[None]:
    """Turn the error of a full disk into one that says how much room is needed.

    Args:
        path: what is being made.
        size: bytes that it needs, if known.
        folder: where it is being made; beside `path` if not given.
    """
    try:
        yield
    except Exception as error:
        number = number_of(error) or 0
        if (remedy := _FULL.get(number)) is None or isinstance(error, DiskFullError):
            raise
        folder = folder or path.parent
        words = getattr(error, "strerror", None) or os.strerror(number)
        needs = "" if size is None else f" of {readable(size)}"
        raise DiskFullError(
            f"no room for {path}{needs}: {words}, with {readable(shutil.disk_usage(folder).free)} free "
            f"under {folder}; what is whole is kept: {remedy} and run it again",
            number,
        ) from error


def _remove(path: Path) -> None:
    if not path.is_dir() or path.is_symlink():
        path.unlink(missing_ok=True)
        return
    for _ in range(20):  # a thread of zarr's may be writing into it still
        shutil.rmtree(path, ignore_errors=True)
        if not path.exists():
            return
        time.sleep(0.05)


def readable(size: float) -> str:
    """A number of bytes to three digits."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"
