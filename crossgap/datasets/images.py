"""Images by path relative to a dataset's root, in folders and in uncompressed tars alike.

In `images.tar/sub/x.jpg` the tar stands for a folder; a tar may be the root itself. Offsets of members are
read once per process, their bytes with `os.pread`: threads and forked workers share nothing that moves.
"""

from __future__ import annotations

import errno
import io
import os
import posixpath
import tarfile
import threading
import weakref
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageFile, UnidentifiedImageError
from tqdm import tqdm

from crossgap import fingerprint
from crossgap.claims import MOST_IMAGE, MOST_PIXELS
from crossgap.errors import CrossgapError, of_machine

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
_SUBMITTED_AT_ONCE = 4096


class ImageError(CrossgapError):
    """An image can't be had: `path` names it, `problem` says why."""

    def __init__(self, path: str, problem: str):
        super().__init__(f"{path}: {problem}")
        self.path = path
        self.problem = problem

    def __reduce__(self) -> tuple:  # from a worker to who waits for its batch
        return type(self), (self.path, self.problem)


def read_bytes(root: str | Path, path: str) -> bytes:
    """The bytes of the file at a manifest's path.

    Raises:
        ImageError: the path leaves the root, names nothing or a link out of a tar, or may not be read.
    """
    if path.startswith("/") or "\0" in path or {"", ".", ".."} & set(path.split("/")):
        raise ImageError(path, "not a plain path inside the dataset's root")
    try:
        tar, member = _through_tar(Path(root), path)
        if tar:
            return _tar(tar).read(path, member)
        _bounded(path, (Path(root) / path).stat().st_size)
        return (Path(root) / path).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise ImageError(path, f"no such file{slashes(path)}") from None
    except (IsADirectoryError, PermissionError) as error:
        raise ImageError(path, f"can't be read: {error.strerror}") from None


def _bounded(path: str, size: int) -> None:
    """Raises ImageError where a file, or what a tar claims of a member, is larger than any image."""
    if size > MOST_IMAGE:
        raise ImageError(
            path, f"{size} bytes, more than the {MOST_IMAGE} that a file may have: it is no image"
        )


def slashes(path: str) -> str:
    """What to say beside a path that leads to nothing."""
    return ": write / between folders, not \\" if "\\" in path else ""


def open_image(root: str | Path, path: str) -> Image.Image:
    """The decoded image, in the mode it is stored in: open_clip's transforms resize it so and convert it to RGB after.

    - Palette and 1-bit images are therefore resized to the nearest pixel, as open_clip does.
    - Transparency is dropped, of a palette too; the colour under it shows.
    - CMYK is converted without its profile; a JPEG of it is taken for inverted, as Adobe writes them.
    - Of an animation it is the first frame, of a TIFF the first page.
    - EXIF orientation is not applied: open_clip does not.
    - 16 bits a channel keep their high byte; open_clip would clip 16-bit greyscale to white.
    - 32 bits a channel, integers and floats, are refused.

    Raises:
        ImageError: the file can't be read, is empty, truncated or no image.
    """
    return decode(path, read_bytes(root, path))


def list_images(root: str | Path, passed_by: list[str] | None = None) -> list[str]:
    """Sorted paths of the files under a folder or tar that end in one of EXTENSIONS and are not hidden.

    Args:
        passed_by: takes the paths of links that `walk` does not follow.

    Raises:
        FileNotFoundError: the root does not exist.
        ImageError: a tar is compressed or damaged.
    """
    root = Path(root)
    if not root.exists():
        raise FileNotFoundError(f"{root} does not exist")
    return sorted(path for path in _files(root, passed_by) if _is_image(path))


def check(root: str | Path, path: str) -> tuple[str | None, str | None]:
    """`(digest, problem)`: BLAKE2b-128 of the file in hexadecimal, and what is wrong with the image, or None.

    All of the file is decoded, a JPEG at an eighth of its size.
    """
    digest = None
    try:
        data = read_bytes(root, path)
        digest = fingerprint.of_content(data)
        decode(path, data, small=True)
    except ImageError as error:
        return digest, error.problem
    return digest, None


def check_all(root: str | Path, paths: Iterable[str], workers: int = 8) -> pd.DataFrame:
    """`check` of every path, in order, by threads: a table of `path`, `digest`, `problem`."""
    paths, rows = list(paths), []
    progress = tqdm(total=len(paths), desc="checking images", unit="image")
    with ThreadPoolExecutor(max(1, workers)) as pool, progress:
        for start in range(0, len(paths), _SUBMITTED_AT_ONCE):
            some = paths[start : start + _SUBMITTED_AT_ONCE]
            for path, result in zip(some, pool.map(partial(check, root), some), strict=True):
                rows.append((path, *result))
                progress.update()
    return pd.DataFrame(rows, columns=["path", "digest", "problem"], dtype=object)


def decode(path: str, data: bytes, small: bool = False) -> Image.Image:
    """`open_image` of bytes already read; `small` allows a JPEG to come out at an eighth of its size."""
    if not data:
        raise ImageError(path, "empty file (0 bytes)")
    ImageFile.LOAD_TRUNCATED_IMAGES = False  # some libraries set it: half an image would pass for a whole one
    try:
        image = Image.open(io.BytesIO(data))
        if image.width * image.height > MOST_PIXELS:  # whatever limit of Pillow's a library has set
            raise Image.DecompressionBombError(
                f"{image.width} × {image.height} pixels, more than the {MOST_PIXELS} that are decoded: scale it down"
            )
        if small:
            image.draft(None, (1, 1))
        image.load()
    except UnidentifiedImageError:
        raise ImageError(path, "not an image that Pillow can read") from None
    except Image.DecompressionBombError as error:
        raise ImageError(path, f"too large: {error}") from None
    except Exception as error:  # damaged files bring almost any exception out of Pillow's plugins
        if of_machine(error):
            raise
        raise ImageError(path, f"truncated or damaged: {error}") from None
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM")):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ImageError(path, "32-bit pixels have no agreed range: convert it to 8 bits a channel")
    return image


def crop(path: str, image: Image.Image, corners: tuple[float, float, float, float]) -> Image.Image:
    """The part of an image in a box `left, upper, right, lower`, in pixels.

    Sides are rounded to whole pixels, as Pillow does; those of ROxford's queries are fractions and may lie up to a
    pixel outside of the image.

    Raises:
        ImageError: the box leaves the image, or holds no whole pixel.
    """
    left, upper, right, lower = corners
    if min(left, upper) < -1 or right > image.width + 1 or lower > image.height + 1:
        problem = f"not within the image's {image.width} × {image.height} pixels"
    else:
        left, upper = max(round(left), 0), max(round(upper), 0)
        right, lower = min(round(right), image.width), min(round(lower), image.height)
        if left < right and upper < lower:
            return image.crop((left, upper, right, lower))
        problem = "it holds no whole pixel"
    raise ImageError(path, f"box {' '.join(f'{side:g}' for side in corners)}: {problem}: mend the box")


def _is_image(path: str) -> bool:
    hidden = any(part.startswith(".") and part != ".." for part in path.split("/"))
    return not hidden and Path(path).suffix.lower().removeprefix(".") in EXTENSIONS


def _files(root: Path, passed_by: list[str] | None) -> Iterator[str]:
    if root.is_file():
        yield from _tar(root).members
        return
    for path in walk(root, passed_by):
        if path.lower().endswith(".tar"):
            yield from (f"{path}/{member}" for member in _tar(root / path).members)
        else:
            yield path


def walk(root: Path, passed_by: list[str] | None = None) -> Iterator[str]:
    """Paths from a folder of the files under it that are not hidden, nor in hidden folders.

    A folder that links to another counts under both names; a link to a folder that it lies in is not followed.

    Args:
        passed_by: takes the paths of such links, and of those that lead nowhere, unless they are called as images are.
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
        if entry.is_symlink() and not _is_image(path) and not os.path.exists(entry.path):
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


def members(file: Path) -> Iterator[str]:
    """Names of a tar's files and links, in its order, as often as they are there.

    Raises:
        OSError, tarfile.TarError: it can't be read, is compressed or damaged.
    """
    return (name for name, place, target in _scan(file) if place or target)


def _scan(file: Path) -> Iterator[tuple[str, tuple[int, int] | None, str | None]]:
    """Name, (offset, bytes) of what is a regular file, and what a link names, from the tar's root."""
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


class _Tar:
    """Where the members of a tar lie: name → (offset, bytes), or None for what is neither a file nor a link to one.

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
        _bounded(path, size)
        data = os.pread(self.descriptor, size, offset)
        if len(data) < size:
            raise ImageError(path, f"truncated or damaged: the tar ends after {len(data)} of {size} bytes")
        return data


_tars: dict[Path, tuple[tuple[int, int], _Tar]] = {}
_lock = threading.Lock()


def _tar(file: Path) -> _Tar:
    status = file.stat()
    stamp = (status.st_mtime_ns, status.st_size)
    key = file.absolute()
    with _lock:
        if key not in _tars or _tars[key][0] != stamp:
            _tars[key] = (stamp, _Tar(file))
        return _tars[key][1]


def _unlock() -> None:
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_unlock)  # a thread that held the lock does not exist in the child
