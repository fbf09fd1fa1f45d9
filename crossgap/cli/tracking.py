"""What a command makes beside the pipeline, put under DVC, and its pointer under git."""

from __future__ import annotations

import subprocess
from pathlib import Path


class TrackingError(ValueError):
    """DVC can't track a folder; the message says what to do, the folder is there."""


def track(folder: Path) -> Path | None:
    """`dvc add` a folder below the working directory and `git add` its pointer, as far as there are DVC and git here.

    An output that no pointer tracks is not part of the project: a clone lacks it, and `dvc exp run` removes it.

    Returns:
        the pointer; None where the working directory is no project of DVC's.

    Raises:
        TrackingError: DVC or git refuses.
    """
    if not Path(".dvc").is_dir():
        return None
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    pointer = folder.with_name(f"{folder.name}.dvc")
    try:
        with Repo(".") as repo:
            repo.add(folder.as_posix())
        if Path(".git").exists():
            said = subprocess.run(["git", "add", "--", pointer], capture_output=True, text=True)
            if said.returncode:
                raise TrackingError(said.stderr.strip())
    except (DvcException, TrackingError, FileNotFoundError) as error:
        raise TrackingError(
            f"{folder} is there, but not tracked: {error}. Mend that, then run `dvc add {folder}` and `git add "
            f"{pointer}`: `dvc exp run` removes what is not tracked"
        ) from error
    return pointer
