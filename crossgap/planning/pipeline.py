"""Which stages are out of date, by DVC itself."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from crossgap.errors import CrossgapError


class PipelineError(CrossgapError):
    """DVC can't say what is out of date; the message names the folder or file, and the remedy."""


def outdated(root: Path, resolving: Collection[str]) -> set[str]:
    """Names of the changed stages, and of all stages after them.

    At most these run. `dvc repro` skips a stage whose inputs come out as they were, and takes the result of a changed
    stage from its run cache where that has it.

    Args:
        root: the project's, with dvc.yaml and params.yaml.
        resolving: names of the stages that `resolve` would write something else for. Where it is changed, so are they,
            and no other stage is for it alone.

    Raises:
        PipelineError: `root` is no project of DVC's, one of DVC's files in it can't be read, or another process of
            DVC's holds its lock.
    """
    import logging

    from dvc.exceptions import DvcException, NotDvcRepoError
    from dvc.lock import LockError
    from dvc.repo import Repo

    logging.getLogger("dvc").setLevel(logging.ERROR)  # it warns of the frozen stage
    try:
        with Repo(str(root)) as repo:
            graph = repo.index.graph  # from each stage to those that it reads from
            stages = {stage.addressing: stage for stage in graph}
            changed = {name for name, told in repo.status().items() if told} & stages.keys()
            settled = {"resolve"} & changed
            if settled:
                changed |= set(resolving) & stages.keys()
            found = {stages[name] for name in changed}
            found |= _after(graph, {stages[name] for name in changed - settled})
            return {stage.addressing for stage in found if not stage.frozen}
    except NotDvcRepoError:
        raise PipelineError(
            f"{root.resolve()} is no project of DVC's: go to the project's root, or make it one by `dvc init`"
        ) from None
    except LockError:
        raise PipelineError(
            f"another process of DVC's works on {root.resolve()}, a `dvc repro` perhaps: wait until it ends"
        ) from None
    except DvcException as error:
        first = str(error).strip().partition("\n")[0]
        raise PipelineError(
            f"DVC can't read the pipeline of {root.resolve()}: {first}: mend that file; `dvc status` says where"
        ) from error


def _after(graph: Any, changed: set) -> set:
    """The stages that read from the changed ones, directly or through other stages."""
    met, ahead = set(), list(changed)
    while ahead:
        for stage in graph.predecessors(ahead.pop()):
            if stage not in met:
                met.add(stage)
                ahead.append(stage)
    return met
