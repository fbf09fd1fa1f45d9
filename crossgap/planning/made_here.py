"""What is known of a run on this machine alone: git's revision, seconds, and the outputs' hashes in DVC's locks.

None of it is in an output of the pipeline, whose bytes are the same wherever it is made.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from crossgap.machine import processor
from crossgap.planning.verifying import LOCKS, of_dvc
from crossgap.planning.written import ENDING, read

HEADS = ("stage", "items", "seconds", "ended", "made on", "output", "md5", "bytes")
TIMES = Path("scratch/times")  # below data; `stages.common` writes it
_SHORT = 12
ORDER = (
    "resolve", "prepare", "nano", "pretrain", "finetune", "weights", "encode", "distil", "oti", "ovi", "sweep",
    "seeds", "distilled", "idealised", "elsewhere", "evaluate", "report",
)  # fmt: skip
_UNKNOWN = "–"


def facts(root: Path) -> list[list[str]]:
    """Names with their values: revision, command, machine."""
    revision, changed = _git(root, "rev-parse", "HEAD"), _git(root, "diff", "--name-only", "-z", "HEAD")
    found = []
    if revision:
        files = [name for name in changed.split("\0") if name]
        state = (
            f"{revision}, with changes that are not committed in {', '.join(files)}" if files else revision
        )
        found.append(["revision of git", state])
    again = f"git checkout {revision[:_SHORT]} && dvc repro" if revision and not changed else "dvc repro"
    return [*found, ["exactly again by", again], ["this machine", processor()]]


def stages(root: Path) -> list[list[str]]:
    """`HEADS` as text, a row an output that is here of each stage that a lock knows, in the order of the pipeline.

    Raises:
        PipelineError: a lock can't be read.
    """
    rows = []
    for name, held in sorted(_locked(root), key=lambda one: place(one[0])):
        times = _times(root, held.get("cmd", ""))
        # locks keep older cells
        there = [out for out in held.get("outs", []) if (root / out["path"]).exists()]
        for number, out in enumerate(there):
            items, processors = _of_output(root / out["path"])
            seconds = times.get("seconds")
            rows.append([
                name if not number else f"{name} ({number + 1})",
                _UNKNOWN if items is None else f"{items:,}",
                _UNKNOWN if number or seconds is None else f"{seconds:,.1f}",
                _UNKNOWN if number else times.get("ended", _UNKNOWN),
                processors or _UNKNOWN,
                out["path"],
                str(out.get("md5", _UNKNOWN)),
                f"{out['size']:,}" if "size" in out else _UNKNOWN,
            ])  # fmt: skip
    return rows


def _locked(root: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Names and entries of the stages in all locks."""
    for pattern in LOCKS:
        for path in sorted(root.glob(pattern)):
            yield from of_dvc(path, lambda held: {**held.get("stages", {})}).items()


def place(name: str) -> int:
    """Of a stage in the order of the pipeline."""
    kind = name.partition("@")[0].removesuffix("-import")
    return ORDER.index(kind) if kind in ORDER else len(ORDER)


def _times(root: Path, command: str) -> dict[str, Any]:
    """What the last run of a stage's command left; nothing where it came out of DVC's cache."""
    head, _, rest = command.partition("stages.")
    path = (root / "data" / TIMES).joinpath(*rest.split()) if head and rest else None
    return (read(path.with_name(f"{path.name}.json")) if path else None) or {}


def _of_output(path: Path) -> tuple[int | None, str]:
    """Items of a store or of a folder with a manifest, and the processor that a store was made on."""
    from crossgap.prepared import manifest
    from crossgap.stores.store import StoreError, open_store

    if path.name.endswith(ENDING) and path.is_file():
        try:
            store = open_store(path)
            return sum(len(store[name]) for name in store.groups), str(store.provenance.get("made_on", ""))
        except StoreError:
            return None, ""
    if (path / manifest.FILE).is_file():
        import pyarrow.parquet as pq

        return pq.read_metadata(path / manifest.FILE).num_rows, ""
    return None, ""


def _git(root: Path, *words: str) -> str:
    """What git says; nothing without git, or outside of a repository."""
    try:
        done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True)
    except FileNotFoundError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
