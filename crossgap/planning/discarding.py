"""Remove outputs without losing any that can't be made again: DVC's cache holds them, or they are set aside.

A store may have been put there by hand, or made by `dvc repro --no-commit`, or its copy in the cache collected.
"""

from __future__ import annotations

import filecmp
import hashlib
import shutil
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

from crossgap.links import remove

SET_ASIDE = "set-aside"  # folder below the data
KEPT_BY_DVC = (".gitignore",)  # DVC writes it beside outputs that git doesn't ignore yet


class Cache:
    """DVC's cache of the project at `root`. It is looked for at the first question; without a project it is empty."""

    def __init__(self, root: Path = Path()) -> None:
        self.root = root

    def holds(self, path: Path) -> bool:
        """Whether the cache has the content of every file of `path`.

        False for a link, for an empty folder, and for a folder with links that are not DVC's own.
        """
        if path.is_symlink():
            return False
        entries = list(path.rglob("*")) if path.is_dir() else [path]
        if any(entry.is_symlink() and not self.linked(entry) for entry in entries):
            return False
        files = [entry for entry in entries if entry.is_file()]
        return bool(files) and all(map(self._has, files))

    def _has(self, file: Path) -> bool:
        held = None if self._folder is None else self.path_of(md5_of(file))
        return held is not None and filecmp.cmp(file, held, shallow=False)  # its copy may be damaged

    def linked(self, entry: Path) -> bool:
        """Whether a link is DVC's own, into its cache."""
        return self._folder is not None and entry.resolve().is_relative_to(self._folder.resolve())

    def path_of(self, md5: str) -> Path | None:
        """Where the cache keeps what has this MD5, or the list of a folder's files (`.dir`); None where it doesn't."""
        held = None if self._folder is None else self._folder / md5[:2] / md5[2:]
        return held if held is not None and held.is_file() else None

    @cached_property
    def _folder(self) -> Path | None:
        from dvc.exceptions import DvcException
        from dvc.repo import Repo

        try:
            with Repo(str(self.root)) as repo:
                return Path(repo.cache.local.path)
        except DvcException:
            return None


def md5_of(path: Path) -> str:
    """The MD5 of a file, by which DVC names what it keeps."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def discard(path: Path, data: Path, cache: Cache) -> Path | None:
    """Remove `path`, below `data`, if DVC's cache holds it; else move it to `SET_ASIDE`, and say where it is now."""
    if cache.holds(path) or (path.is_symlink() and cache.linked(path)):
        remove(path)
        return None
    wanted = data / SET_ASIDE / path.relative_to(data)
    target, number = wanted, 1
    while target.exists() or target.is_symlink():
        number += 1
        target = wanted.with_name(f"{wanted.name}.{number}")
    target.parent.mkdir(parents=True, exist_ok=True)
    if path.is_symlink():
        target.symlink_to(path.resolve())  # a relative one would point elsewhere
        path.unlink()
    else:
        shutil.move(path, target)
    return target


def behind_a_link(path: Path, data: Path) -> bool:
    """Whether `path` or a folder above it, below `data`, is a link: what it holds may be another project's too."""
    above = [path, *path.parents]
    return any(one.is_symlink() for one in above[: above.index(data)])


def entries(folder: Path) -> Iterable[Path]:
    """The entries of a folder, without files in progress and without those that DVC itself keeps there."""
    if not folder.is_dir():
        return []
    return [
        path for path in sorted(folder.iterdir()) if path.suffix != ".tmp" and path.name not in KEPT_BY_DVC
    ]
