"""What all stage scripts share: their arguments, the settings of their cell, and where files lie.

No stage but `resolve` reads params.yaml: that one writes what each cell depends on, and how the work is scheduled.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from crossgap import links
from crossgap.errors import STOPPED, CrossgapError, exits_at_signals, is_told, like, said
from crossgap.projects.linked import require_outputs_in_git
from crossgap.projects.pinned import require_pinned, require_usual_python

DATA = Path("data")
SCRATCH = DATA / "scratch"
_LOOKED_EVERY = 0.5  # seconds
TIMES = SCRATCH / "times"  # of each stage's last run, for `crossgap report`; no output has them
RESOLVED = DATA / "resolved"
DISTILLED = DATA / "distilled"
WEIGHTS = DATA / "weights"
# the tables of a cell that `evaluate` writes and `report` reads, by their names in `Evaluation` and `report.Cell`
CELL_TABLES = (
    "comparisons", "corrections", "similarities", "histograms", "seeds", "shifts", "dimensions", "spectrum",
    "mixed", "composed", "arithmetic", "unavailable",
)  # fmt: skip


def dataset_folder(dataset: str) -> Path:
    return DATA / "datasets" / dataset


def features_folder(backbone: str, dataset: str) -> Path:
    return DATA / "features" / backbone / dataset


def metrics_folder(*cell: str) -> Path:
    return DATA / "metrics" / Path(*cell)


def machine() -> dict[str, Any]:
    """How the work is scheduled: the section `machine` of params.yaml; no result depends on it."""
    return read(RESOLVED / "machine.json")


def images_root(dataset: str) -> Path:
    """What the paths of a manifest are relative to. No result depends on it: a manifest knows what files hold."""
    return Path(machine()["roots"][dataset])


def weights_file(backbone: str) -> Path:
    return WEIGHTS / f"{backbone}.json"


def weights(backbone: str) -> dict[str, Any]:
    """What the stage `weights` noted of a backbone: all that `load_backbone` takes, and the digests of its `files`."""
    return read(weights_file(backbone))


def write_json(path: Path, content: object) -> None:
    links.write(path, json.dumps(content, indent=1) + "\n")


def emptied(folder: Path) -> Path:
    """The folder, new and empty: what was in it may be links into a cache that others share."""
    links.remove(folder)
    folder.mkdir(parents=True)
    return folder


def run(stage: Callable[..., None]) -> None:
    """Make `python -m stages.STAGE WORDS` call `stage(cell, *words)`; `cell` is what `resolve` wrote for it.

    An error of the user's or of the machine's becomes one sentence; any other keeps its traceback. SIGTERM, by which
    schedulers end a job, and SIGINT, of Ctrl-C, become an exit that removes half-written files.
    """
    words = sys.argv[1:]
    script = Path(sys.argv[0])
    name = script.parent.name if script.stem == "__main__" else script.stem
    started = time.monotonic()
    guarded(name, lambda: stage(_resolved(name, words), *words))
    path = TIMES.joinpath(name, *words)
    ended = datetime.now(UTC).isoformat(timespec="seconds")
    times = {"seconds": round(time.monotonic() - started, 1), "ended": ended}
    try:
        write_json(path.with_name(f"{path.name}.json"), times)
    except OSError as error:  # the stage's work is done and whole
        print(f"{name}: its seconds are not kept: {said(error)}", file=sys.stderr)


def guarded(name: str, work: Callable[[], None]) -> None:
    """Do the work of a stage, with errors and signals handled as `run` says; it ends with the DVC that started it."""
    with exits_at_signals(f"{name}: {STOPPED}"):
        if "DVC_STAGE" in os.environ:
            threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
        try:
            require_usual_python()
            require_pinned()
            require_outputs_in_git()
            work()
        except BaseException as error:
            if is_told(error):
                sys.exit(f"{name}: {said(error)}")
            if isinstance(error, FileNotFoundError) and _in_scratch(error.filename):
                sys.exit(
                    f"{name}: {error.filename} was removed while the stage worked in {SCRATCH}: run it again"
                )
            raise


def _end_with(dvc: int) -> None:
    """End this process by SIGTERM once DVC, which started it, is gone: the next `dvc repro` may ask for another output.

    A stage that is started by hand outlives its shell.
    """
    while os.getppid() == dvc:
        time.sleep(_LOOKED_EVERY)
    os.kill(os.getpid(), signal.SIGTERM)


def _in_scratch(file: object) -> bool:
    return isinstance(file, str | Path) and Path(file).absolute().is_relative_to(SCRATCH.absolute())


def _resolved(stage: str, words: list[str]) -> Mapping[str, Any]:
    path = RESOLVED.joinpath(stage, *words)
    path = path.with_name(f"{path.name}.json")
    if not path.is_file():
        found = (RESOLVED / stage).rglob("*.json")
        cells = [" ".join(one.relative_to(RESOLVED).with_suffix("").parts) for one in found]
        cell = " ".join([stage, *words])
        raise CrossgapError(
            f"{cell} is no cell of this run{like(cell, cells)}: {path} is not there. Name it in params.yaml under "
            "run, and let `dvc repro`, or `python -m stages.resolve`, write the file"
        )
    return read(path)


def read(path: Path) -> dict[str, Any]:
    """What a file of JSON holds that an earlier stage writes.

    Raises:
        CrossgapError: it isn't there.
    """
    return json.loads(written(path).read_text(encoding="utf-8"))


def written(path: Path) -> Path:
    """The path of a file that an earlier stage writes, or that comes with the project.

    Raises:
        CrossgapError: it isn't there.
    """
    if not path.is_file():
        raise CrossgapError(f"{path} is not there: `dvc repro` makes what is made, and git has the rest")
    return path
