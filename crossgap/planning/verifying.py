"""Whether what is kept is what was made, byte for byte: outputs, DVC's copies of them, and what lies in scratch.

Three kinds of digests say so. DVC's locks, and the pointers of imports, hold the MD5 of each output. A store has a
checksum of every part of it. A shard and a part of an evaluation hold a digest of all that they say. All bytes are read
and hashed here: DVC itself trusts a file whose time and size are unchanged, and a copy in its cache that is read-only.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import yaml

from crossgap.datasets.stamps import ENDING
from crossgap.errors import of_machine
from crossgap.links import remove
from crossgap.planning import written
from crossgap.planning.discarding import Cache, behind_a_link, discard, md5_of
from crossgap.planning.pipeline import PipelineError
from crossgap.stores.layout import FORMAT

LOCKS = ("dvc.lock", "stages/*/dvc.lock")
POINTERS = "imports/*.dvc"  # below the data
UNREADABLE = "what made it can't be read: it may have been another machine, or an older crossgap"
DAMAGED, CHANGED, NEWER, STRAY, COPY, SCRATCH = "damaged", "changed", "newer", "stray", "copy", "scratch"
_NAME, _, _VERSION = FORMAT.partition("/")
_T = TypeVar("_T")


@dataclass(frozen=True)
class Finding:
    """A file that is not what it was made as.

    Attributes:
        kind: `DAMAGED`: its own digest says so. `CHANGED`: it is not what the lock says, and nothing else is known.
            `NEWER`: a store of a newer crossgap's format. `STRAY`: a file in an output's folder that no stage made.
            `COPY`: of an output, in DVC's cache. `SCRATCH`: work in progress, which the next run does again by itself.
        target: what `dvc repro` takes to make it again, or `dvc checkout` to bring an import back; None of what no
            lock names.
        differs: why `dvc repro` makes a damaged store as other bytes than its lock names, `UNREADABLE` where it may;
            empty where it doesn't, or where DVC's cache has a whole copy.
    """

    path: Path
    kind: str
    problem: str
    target: str | None = None
    differs: str = ""

    @property
    def lost(self) -> bool:
        """Whether `dvc repro` makes no such bytes again, for sure."""
        return self.differs not in ("", UNREADABLE)

    @property
    def imported(self) -> bool:
        """Whether no stage makes it."""
        return self.target is not None and self.target.endswith(".dvc")


@dataclass(frozen=True)
class _Output:
    """An output as DVC wrote it down: `md5` ends in `.dir` for a folder."""

    path: Path
    md5: str
    target: str
    by: Path


def verify(root: Path, data: Path, cache: Cache) -> Iterator[Finding]:
    """All that is not as it should be, of what there is; what is missing is none of it.

    Args:
        root: the project's; paths are relative to it.
        data: `root / "data"`, however it is reached.

    Raises:
        PipelineError: a lock or a pointer of DVC's can't be read.
        OSError: something can't be read, which says nothing of what it holds.
    """
    seen: set[Path] = set()
    for output in _outputs(root, data):
        yield from _output(output, cache, seen)
    for path in written.stores(data):
        if path not in seen and (finding := of_store(path)):
            yield finding
    yield from _scratch(data / "scratch")


def repair(findings: Iterable[Finding], data: Path, cache: Cache) -> tuple[list[str], list[str]]:
    """Take away what is damaged, so that `dvc repro` makes exactly that again.

    A file that is damaged by its own digest is removed. One that only differs from the lock goes to the set-aside
    folder unless DVC's cache holds it: it may be newer than the lock. There too goes a damaged store that would be made
    as other bytes: some of it is whole. What no stage can make again, lies behind a link,
    or is of a newer crossgap, stays.

    Returns:
        Sentences on what was done, and on what was left and why.
    """
    done, left = [], []
    findings = list(findings)
    for one in findings:  # copies first: what is whole in the cache is then known by being there
        if one.kind in (COPY, SCRATCH):
            one.path.unlink(missing_ok=True)
            done.append(f"removed {one.path}")
    for one in findings:
        if one.kind in (COPY, SCRATCH):
            continue
        if one.kind == NEWER:
            left.append(f"{one.path}: install the crossgap that made it; nothing is lost")
        elif one.path.is_relative_to(data) and _foreign(one.path, data, cache):
            left.append(f"{one.path}: it lies behind a link, and may be another project's too: mend it there")
        elif one.target is None:
            left.append(f"{one.path}: no lock names it: remove it yourself if you don't need it")
        elif one.kind != STRAY and _of_git(one.path, data):
            left.append(f"{one.path}: it comes with the project: `git checkout -- {one.path}` brings it back")
        elif one.kind == DAMAGED and not one.imported and not one.lost:
            remove(one.path)
            done.append(f"removed {one.path}")
        else:
            moved = discard(one.path, data, cache)
            done.append(f"moved {one.path} to {moved}" if moved else f"removed {one.path}")
    return done, left


def commands(findings: Iterable[Finding]) -> list[str]:
    """What makes again, or brings back, what `repair` took away."""
    named = [one for one in findings if one.target and one.kind in (DAMAGED, CHANGED, COPY)]
    differ = {one.target: one.path.as_posix() for one in named if one.lost}
    stages = dict.fromkeys(one.target for one in named if not one.imported and one.target not in differ)
    lost = dict.fromkeys(one.target for one in named if one.imported and one.kind == COPY)
    lost |= dict.fromkeys(differ.values())
    kept = dict.fromkeys(one.target for one in named if one.imported and one.target not in lost)
    words = {"dvc pull": lost, "dvc checkout": kept, "dvc repro": stages}
    return [" ".join([command, *map(str, targets)]) for command, targets in words.items() if targets]


def warnings(findings: Iterable[Finding]) -> list[str]:
    """Sentences on stores that `dvc repro` makes, or may make, as other bytes than their locks name: the remedy."""
    return [
        f"{one.path}: `dvc repro` {'would' if one.lost else 'may'} make other bytes than its lock names: "
        f"{one.differs}. After `--repair`, `dvc pull {one.path}` takes the same bytes from a remote that has them; "
        f"where none does, `dvc repro {one.target}` computes them anew, and what reads them runs again"
        for one in findings
        if one.differs
    ]


def of_store(path: Path, target: str | None = None) -> Finding | None:
    """What is wrong with a store by its own checksums and format; None where it is whole."""
    import zarr

    from crossgap.stores.zipped import ZipReader

    try:
        with zipfile.ZipFile(path) as archive:
            if (bad := archive.testzip()) is not None:
                return Finding(path, DAMAGED, f"its part {bad} is not what its checksum says", target)
        said = zarr.open_group(ZipReader(path), mode="r", zarr_format=3).attrs.get("format")
    except Exception as error:  # damaged archives bring almost any exception out of zipfile and zarr
        if of_machine(error):
            raise
        return Finding(path, DAMAGED, f"cut short or damaged: {error}", target)
    name, _, version = str(said).partition("/")
    if name == _NAME and version.isdecimal() and int(version) > int(_VERSION):
        return Finding(path, NEWER, f"of the format {said}; this crossgap knows {FORMAT}", target)
    if said != FORMAT:
        return Finding(path, DAMAGED, f"no finished {FORMAT} store (format: {said!r})", target)
    return None


def _outputs(root: Path, data: Path) -> Iterator[_Output]:
    locks = [path for pattern in LOCKS for path in sorted(root.glob(pattern))]
    for lock in locks:
        where = lock.with_suffix(".yaml").relative_to(root).as_posix()
        for name, outs in of_dvc(
            lock, lambda held: [(n, _outs(s)) for n, s in (held.get("stages") or {}).items()]
        ):
            address = name if where == "dvc.yaml" else f"{where}:{name}"
            for path, md5 in outs:
                yield _Output(root / path, md5, address, lock)
    for pointer in sorted(data.glob(POINTERS)):
        for path, md5 in of_dvc(pointer, _outs):
            yield _Output(pointer.parent / path, md5, pointer.as_posix(), pointer)


def _outs(held: dict[str, Any]) -> list[tuple[str, str]]:
    """Path and MD5 of the outputs that have one."""
    return [(str(out["path"]), str(out["md5"])) for out in held.get("outs") or () if out.get("md5")]


def _output(output: _Output, cache: Cache, seen: set[Path]) -> Iterator[Finding]:
    """Findings of an output's files and of their copies in the cache."""
    if not output.md5.endswith(".dir"):
        yield from _file(output.path, output.md5, output, cache, seen)
        return
    listed = None
    listing = cache.path_of(output.md5)
    if listing is not None:
        content = listing.read_bytes()
        if hashlib.md5(content, usedforsecurity=False).hexdigest() == output.md5.removesuffix(".dir"):
            listed = {entry["relpath"]: entry["md5"] for entry in json.loads(content)}
        else:
            yield Finding(
                listing, COPY, f"DVC's list of the files of {output.path} is damaged", output.target
            )
    if output.path.is_file():
        yield Finding(output.path, CHANGED, f"a file, and {output.by} says a folder", output.target)
    held_there = _kept(output.path)
    if listed is not None:
        for name, md5 in listed.items():
            yield from _file(output.path / name, md5, output, cache, seen)
        for path in held_there:
            if path.relative_to(output.path).as_posix() not in listed:
                yield Finding(path, STRAY, f"no file that {output.by} knows", output.target)
        return
    if not output.path.is_dir():
        return
    files = {path.relative_to(output.path).as_posix(): path for path in held_there}
    seen.update(files.values())
    held = [{"md5": md5_of(path), "relpath": name} for name, path in sorted(files.items())]
    said = json.dumps(held, sort_keys=True).encode()
    if f"{hashlib.md5(said, usedforsecurity=False).hexdigest()}.dir" != output.md5:
        yield Finding(output.path, CHANGED, f"not what {output.by} says", output.target)


def _file(path: Path, md5: str, output: _Output, cache: Cache, seen: set[Path]) -> Iterator[Finding]:
    copy = cache.path_of(md5)
    one = copy is not None and path.exists() and path.samefile(copy)  # a hard link, or a link into the cache
    if path.is_file():
        seen.add(path)
        whole = md5_of(path) == md5
        own = of_store(path, output.target) if path.name.endswith(written.ENDING) else None
        if own is not None and (own.kind != NEWER or whole):
            lost = own.kind == DAMAGED and (copy is None or md5_of(copy) != md5)
            imported = output.target.endswith(".dvc")
            yield replace(own, differs=_differs(path)) if lost and not imported else own
        elif not whole:
            yield Finding(path, CHANGED, f"not what {output.by} says", output.target)
        if one and not whole:
            yield Finding(copy, COPY, f"DVC's copy of {path} is damaged", output.target)  # type: ignore[arg-type]
    if copy is not None and not one and md5_of(copy) != md5:
        yield Finding(copy, COPY, f"DVC's copy of {path} is damaged", output.target)


def _differs(path: Path) -> str:
    """Why a store that is made again has other bytes than a damaged one once had: its layout, or the machine."""
    import zarr

    from crossgap.planning.elsewhere import elsewhere
    from crossgap.stores.store import open_store
    from crossgap.stores.writing import is_laid_out_as_now

    try:
        store = open_store(path)
        made = elsewhere(store.provenance)
        old = [
            f"{group}/{name}"
            for group in store.groups
            for name, array in store[group].zarr_group.members()
            if isinstance(array, zarr.Array) and not is_laid_out_as_now(name, array)
        ]
    except Exception as error:
        if of_machine(error):
            raise
        return UNREADABLE
    found = [f"an older crossgap laid out {', '.join(sorted(old))}"] if old else []
    return "; ".join(found + ([f"it was made elsewhere: {made}"] if made else []))


def _scratch(scratch: Path) -> Iterator[Finding]:
    from crossgap.stores import digested
    from crossgap.stores.shards import keys_of_whole

    again = "cut short or damaged: the next run computes its items again"
    for path in sorted(scratch.rglob("*.safetensors")):
        if (path.parent / "recipe.json").is_file() and keys_of_whole(path) is None and path.exists():
            yield Finding(path, SCRATCH, again)
    noted = (
        "cut short or damaged: what changes in its dataset's files is not told until a run reads them again"
    )
    for path in sorted(
        path for ending in (".part", ".checks", ENDING) for path in scratch.rglob(f"*{ending}")
    ):
        if digested.read(path) is None:
            yield Finding(path, SCRATCH, noted if path.suffix == ENDING else again)


def _kept(folder: Path) -> list[Path]:
    """What DVC counts as a folder's: `.dvcignore` leaves the rest out."""
    return [
        path
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pyc"
    ]


def _of_git(path: Path, data: Path) -> bool:
    """Whether it lies in git, and `dvc repro` doesn't make it: its stage is frozen."""
    return path.is_relative_to(data / "backbones" / "nano")


def _foreign(path: Path, data: Path, cache: Cache) -> bool:
    return behind_a_link(path, data) and not cache.linked(path)


def of_dvc(path: Path, what: Callable[[dict[str, Any]], _T]) -> _T:
    """What a file of DVC's says; PipelineError where it can't be read, as with the marks of a merge in it."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        held = yaml.load(path.read_text(encoding="utf-8"), Loader=loader)  # noqa: S506 - it is a safe one
        return what(held or {})
    except (yaml.YAMLError, UnicodeDecodeError, AttributeError, KeyError, TypeError) as error:
        first = str(error).partition("\n")[0]
        raise PipelineError(
            f"{path} can't be read: {first}: mend it, or take it from git: `git checkout -- {path}`"
        ) from None
