"""Paths of a dataset's images: found below its root, and written as a manifest has them."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from crossgap.datasets.declared.base import DatasetError
from crossgap.datasets.image_files import EXTENSIONS, list_images
from crossgap.errors import ImageError, listed

_TRIED = 3  # how many of a folder's images are looked for in another folder


def image_paths(root: Path, passed_by: list[str] | None = None, others: list[str] | None = None) -> list[str]:
    """`list_images` of a declared root.

    Raises:
        DatasetError: it does not exist, holds no images, or a tar of it is damaged.
    """
    others = [] if others is None else others
    try:
        paths = list_images(root, passed_by, others)
    except FileNotFoundError:
        raise DatasetError(f"root {root} does not exist: paths start at the project's root") from None
    except ImageError as error:
        raise DatasetError(str(error)) from None
    if not paths:
        where = f"folders or uncompressed tars and end in {', '.join(sorted(EXTENSIONS))}"
        found = f"; it holds {_by_ending(others)}" if others else ""
        raise DatasetError(f"no images under {root}: they lie in {where}{found}")
    return paths


def left_out(root: Path, others: Sequence[str]) -> tuple[str, ...]:
    """A note for the user on files that `image_paths` took for no images; empty without any."""
    if not others:
        return ()
    return (
        f"{len(others)} files under {root} don't end like images and are left out ({_by_ending(others)})",
    )


def _by_ending(paths: Iterable[str]) -> str:
    """How many files have each ending, the most frequent first."""
    suffixes = (PurePosixPath(path).suffix.lower().encode(errors="replace").decode() for path in paths)
    endings = Counter(suffix or "without an ending" for suffix in suffixes)
    return listed(f"{count} {ending}" for ending, count in endings.most_common())


def not_followed(links: Sequence[str]) -> tuple[str, ...]:
    """A note for the user on links that `image_paths` did not follow; empty without any."""
    if not links:
        return ()
    found = listed(sorted(links))
    return (
        f"{len(links)} links lead nowhere or to a folder that they lie in, and are not followed ({found})",
    )


def plain(path: str, root: Path) -> str:
    """The path, relative to the root, that a user means by `./a//1.jpg`, `a/../1.jpg` or an absolute path.

    A path that leaves the root, or has `..` behind a link, stays as it is.
    """
    if path.startswith("/"):
        try:
            path = PurePosixPath(path).relative_to(root.absolute().as_posix()).as_posix()
        except ValueError:
            return path
    parts: list[str] = []
    for part in path.split("/"):
        if part == "..":
            if not parts or (root / "/".join(parts)).is_symlink():
                return path
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)


def on_disk(path: str, root: Path) -> str:
    """The path below the root with its letters composed or decomposed as the file's are; as it is, without a file."""
    if path.isascii():
        return path
    forms = (path, *(unicodedata.normalize(form, path) for form in ("NFC", "NFD")))
    return next((form for form in forms if (root / form).exists()), path)


def one_file(root: Path, paths: Sequence[str]) -> list[str]:
    """The paths without those that are links to the file of another; a path without links is preferred."""
    if len(paths) < 2:
        return list(paths)
    files: dict[str, str] = {}
    base = os.path.realpath(root)
    for path in paths:
        real = os.path.realpath(root / path)
        if real not in files or real == os.path.join(base, path):
            files[real] = path
    return list(files.values())


def name_of(path: str) -> str:
    return "/".join(parts_of(path))


def by_name(paths: Iterable[str]) -> dict[str, list[str]]:
    named = defaultdict(list)
    for path in paths:
        named[name_of(path)].append(path)
    return named


def parts_of(path: str) -> list[str]:
    """A path's folders, tars without `.tar`, and its file name, in Unicode's composed form, unlike macOS's."""
    *folders, name = unicodedata.normalize("NFC", path).split("/")
    return [*(part[:-4] if part.lower().endswith(".tar") else part for part in folders), name]


def require_flat(root: Path, paths: Iterable[str]) -> None:
    """Raise DatasetError where images lie one folder too deep, as in `test/test/1.jpg`.

    That happens when an archive that holds a folder is unpacked into a folder of the same name.
    """
    folders: dict[str, list[str]] = defaultdict(list)
    for path in paths:
        folder, _, name = path.rpartition("/")
        folders[folder].append(name)
    for folder, names in folders.items():
        tried = names[:_TRIED]
        parts = folder.split("/") if folder else []
        for end in range(1, len(parts) + 1):
            outer, rest = "/".join(parts[:end]), "/".join(parts[end:])
            inner = f"{outer}/{parts[end - 1]}"
            if not (root / inner).is_dir() or any((root / folder / name).exists() for name in tried):
                continue
            if any((root / inner / rest / name).exists() for name in tried):
                count = sum(
                    len(held) for under, held in folders.items() if f"{under}/".startswith(f"{outer}/")
                )
                raise DatasetError(
                    f"{count} images are listed in {outer} and lie one folder deeper, in {inner}: move what is in "
                    f"{root / inner} up into {root / outer}"
                )


def without_images(root: Path, folders: Iterable[str], paths: Iterable[str]) -> tuple[str, ...]:
    """A note for the user on class folders that exist and hold none of the images; empty without any.

    Args:
        folders: the paths, relative to the root, where the images of a class may lie.
    """
    inner = {path.rpartition("/")[0] for path in paths}
    held = {"/".join(folder.split("/")[:end]) for folder in inner for end in range(1, folder.count("/") + 2)}
    bare = [folder for folder in folders if folder not in held and (root / folder).is_dir()]
    return (
        (f"{len(bare)} folders of classes hold no image ({listed(bare)}): they are no classes",)
        if bare
        else ()
    )


def is_unicode(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True
