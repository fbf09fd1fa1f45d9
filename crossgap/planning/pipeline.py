"""What DVC itself holds to be out of date."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def outdated(root: Path) -> set[str]:
    """Names of the stages that `dvc repro` would look into: changed, or after one that is.

    It is the most that can run: a stage after a changed one is left out where what it reads comes out as it was, and a
    changed one where DVC's run cache holds its result.

    Args:
        root: the project's, with dvc.yaml and params.yaml.
    """
    import logging

    from dvc.repo import Repo

    logging.getLogger("dvc").setLevel(logging.ERROR)  # it warns of the frozen stage
    with Repo(str(root)) as repo:
        graph = repo.index.graph  # from each stage to those that it reads from
        stages = {stage.addressing: stage for stage in graph}
        changed = {stages[name] for name, told in repo.status().items() if told and name in stages}
        return {stage.addressing for stage in changed | _after(graph, changed) if not stage.frozen}


def _after(graph: Any, changed: set) -> set:
    """The stages that read, at first or second hand, from the changed ones."""
    met, ahead = set(), list(changed)
    while ahead:
        for stage in graph.predecessors(ahead.pop()):
            if stage not in met:
                met.add(stage)
                ahead.append(stage)
    return met
