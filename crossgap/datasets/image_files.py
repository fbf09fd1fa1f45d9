"""Files of images by path relative to a dataset's root, in folders and in uncompressed tars alike.

In `images.tar/sub/x.jpg` the tar stands for a folder; a tar may be the root itself.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from crossgap.datasets import tars
from crossgap.errors import ImageError

EXTENSIONS = frozenset(
    {
        "avif",
        "bmp",
        "gif",
        "jfif",
        "jpe",
        "jpeg",
        "jpg",
        "pbm",
        "pgm",
        "png",
        "pnm",
        "ppm",
        "tif",
        "tiff",
        "webp",
    }
)


def read_bytes(root: str | Path, path: str) -> bytes:
    """The bytes of the file at a manifest's path.

    Raises:
        ImageError: the path leaves the root, names nothing or a link out of a tar, or is a folder.
        OSError: this user may not read the file, or the disk doesn't answer: that says nothing of the image.
    """
    with _reaching(path):
        tar, member = _through_tar(Path(root), path)
        if tar:
            return tars.opened(tar).read(path, member)
        tars.check_size(path, (Path(root) / path).stat().st_size)
        return (Path(root) / path).read_bytes()


def stamp(root: str | Path, path: str) -> tuple[int, int, int, int]:
    """Size, times of writing and of change in ns, and place in its tar or 0, of the file that `read_bytes` reads.

    While they are the same, so are its bytes, but for what is written within one tick of the file system's clock. Size
    and times are those of a tar as a whole.

    Raises:
        ImageError, OSError: as `read_bytes`.
    """
    with _reaching(path):
        tar, member = _through_tar(Path(root), path)
        status = (tar or Path(root) / path).stat()
        place = tars.opened(tar).members.get(member) if tar else None
        return status.st_size, status.st_mtime_ns, status.st_ctime_ns, place[0] if place else 0


@contextmanager
def _reaching(path: str) -> Iterator[None]:
    """ImageError for a path that leaves the root, or names no file."""
    if path.startswith("/") or "\0" in path or {"", ".", ".."} & set(path.split("/")):
        raise ImageError(path, "not a plain path inside the dataset's root")
    try:
        yield
    except (FileNotFoundError, NotADirectoryError):
        raise ImageError(path, f"no such file{slashes(path)}") from None
    except IsADirectoryError as error:
        raise ImageError(path, f"can't be read: {error.strerror}") from None


def slashes(path: str) -> str:
    """The end of a message on a path that doesn't exist: what to write in place of backslashes, if it has any."""
    return ": write / between folders, not \\" if "\\" in path else ""


def list_images(
    root: str | Path, passed_by: list[str] | None = None, others: list[str] | None = None
) -> list[str]:
    """Sorted paths of the files under a folder or tar that end in one of EXTENSIONS and are not hidden.

    Args:
        passed_by: a list to which the paths of links are added that `walk` does not follow.
        others: a list to which the paths of files are added that are not hidden and end otherwise.

    Raises:
        FileNotFoundError: the root does not exist.
        ImageError: a tar is compressed or damaged.
    """
    root = Path(root)
    if not root.exists():
        raise FileNotFoundError(f"{root} does not exist")
    images: list[str] = []
    others = [] if others is None else others
    for path in _files(root, passed_by):
        if not _is_hidden(path):
            (images if is_image(path) else others).append(path)
    return sorted(images)


def _is_hidden(path: str) -> bool:
    return any(part.startswith(".") and part != ".." for part in path.split("/"))


def is_image(path: str) -> bool:
    """Whether its name ends as an image's does."""
    return Path(path).suffix.lower().removeprefix(".") in EXTENSIONS


def _files(root: Path, passed_by: list[str] | None) -> Iterator[str]:
    if root.is_file():
        yield from tars.opened(root).members
        return
    for path in walk(root, passed_by):
        if path.lower().endswith(".tar"):
            yield from (f"{path}/{member}" for member in tars.opened(root / path).members)
        else:
            yield path


def walk(root: Path, passed_by: list[str] | None = None) -> Iterator[str]:
    """Paths, relative to a folder, of all files below it that are neither hidden nor in hidden folders.

    A folder that links to another counts under both names; a link to a folder that it lies in is not followed.

    Args:
        passed_by: a list to which the paths of such links are added, and of links that lead nowhere and don't end
            like an image.
    """
    yield from _walk(str(root), "", frozenset(), [] if passed_by is None else passed_by)


def _walk(folder: str, inside: str, above: frozenset[str], passed_by: list[str]) -> Iterator[str]:
    real = os.path.realpath(folder)
    if real in above:
        passed_by.append(inside.removesuffix("/"))
        return
    with os.scandir(folder) as held:
        entries = sorted(held, key=lambda entry: entry.name)
    for entry in entries:
        if entry.name.startswith("."):
            continue
        path = f"{inside}{entry.name}"
        if _is_folder(entry):
            yield from _walk(entry.path, f"{path}/", above | {real}, passed_by)
            continue
        if entry.is_symlink() and not is_image(path) and not os.path.exists(entry.path):
            passed_by.append(path)
        yield path


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError as error:
        if error.errno == errno.ELOOP:  # a link to itself
            return False
        raise


def _through_tar(root: Path, path: str) -> tuple[Path | None, str]:
    """The tar that a path goes through, if any, and what follows it."""
    if root.is_file():
        return root, path
    parts = path.split("/")
    for end, part in enumerate(parts[:-1], start=1):
        if part.lower().endswith(".tar") and (tar := root.joinpath(*parts[:end])).is_file():
            return tar, "/".join(parts[end:])
    return None, path
