"""Parts of an evaluation, computed by the workers of an engine before the evaluation takes them.

An evaluation that computes nothing says which parts it lacks: `MissingParts`. So every worker, which opens the same
stores and reads the same kept parts, knows how each of them is computed, and is told no more than their names. This
process alone writes parts. What builds on other parts is listed once those are there.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from socket import gethostname
from typing import Any

import numpy as np

from crossgap.evaluation.parts import Found, Parts, packed
from crossgap.progress import Bar
from crossgap.stores import digested, engines, shards

OF_RESULTS = ("comparisons", "looked")  # families whose parts depend on what other parts found
LAG = 60.0  # seconds for which a machine may not see what another has written to a shared folder
Evaluating = Callable[[Parts, str], Any]  # an evaluation by the parts that it is given, on a device


class MissingParts(Parts):
    """Computes no part and writes none: notes those that the folder lacks."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.used = folder, set()
        self.missing: dict[str, Callable[[], Found]] = {}  # by the file's name
        self._results = True  # whether all that other parts build on is there

    def lacking(self, path: Path, family: str, compute: Callable[[], Found]) -> Found:
        of_results = family in OF_RESULTS
        if self._results or not of_results:
            self.missing[path.name] = compute
        self._results &= of_results
        return None, []


def compute(evaluating: Evaluating, folder: Path, engine: engines.Engine, device: str = "cpu") -> None:
    """Compute the parts of an evaluation that the folder lacks, and keep them there.

    Args:
        evaluating: picklable by Ray.
        engine: its workers read the stores and the folder under the paths that this process knows them by.

    Raises:
        EngineError: as of the engine; or a worker lacks the folder.
    """
    names: list[str] = []
    cuts: list[list[int]] = []

    def ask() -> None:
        listed = MissingParts(folder)
        evaluating(listed, device)
        names.extend(name for name in listed.missing if name not in names)
        cuts.extend([place] for place in range(len(cuts), len(names)))

    ask()
    work = engine.work(partial(_name, names), _Parts(evaluating, Path.cwd(), folder, device))
    with Bar(desc="parts", unit="part", dynamic_ncols=True) as bar:
        for place, arrays in enumerate(work(cuts, bar.update) if cuts else ()):
            if content := arrays["content"].tobytes():
                digested.write(folder / names[place], content)
            if place == len(cuts) - 1:
                ask()


def _name(names: list[str], cut: list[int]) -> str:
    return names[cut[0]]


@dataclass
class _Parts:
    """What the file of a part holds, by its name; an engine's function."""

    evaluating: Evaluating | bytes
    project: Path  # that relative paths begin from
    folder: Path
    device: str
    _missing: dict[str, Callable[[], Found]] = field(default_factory=dict)

    def __getstate__(self) -> dict[str, Any]:
        """The stores of an evaluation are opened as it is unpickled: so not before `to` has found the project."""
        pickled = engines.require_ray().cloudpickle.dumps(self.evaluating)
        return {**self.__dict__, "evaluating": pickled, "_missing": {}}

    def to(self, device: str) -> _Parts:
        """The same on another device, of another machine perhaps.

        Raises:
            EngineError: that machine doesn't have the project.
        """
        if not (self.project / self.folder).is_dir():
            raise engines.EngineError(
                f"machine.engine: a worker of Ray on {gethostname()} finds no {self.project / self.folder}: make the "
                "project readable under this path on every machine of the cluster, or choose engine local"
            )
        os.chdir(self.project)
        evaluating = self.evaluating
        if isinstance(evaluating, bytes):
            evaluating = engines.require_ray().cloudpickle.loads(evaluating)
        return replace(self, evaluating=evaluating, device=device, _missing={})

    def __call__(self, name: str, advance: Callable[[int], None]) -> shards.Arrays:
        """No content, if what the part builds on has not come to this machine: it is left to the evaluation."""
        until = time.monotonic() + LAG
        while name not in self._missing and not isinstance(self.evaluating, bytes):
            listed = MissingParts(self.folder)
            self.evaluating(listed, self.device)
            self._missing = listed.missing
            if name not in self._missing:
                if time.monotonic() >= until:
                    return {"content": np.empty(0, np.uint8)}
                time.sleep(1)
                list(self.folder.iterdir())  # network file systems look anew then
        found = self._missing[name]()
        advance(1)
        return {"content": np.frombuffer(packed(*found), np.uint8)}
