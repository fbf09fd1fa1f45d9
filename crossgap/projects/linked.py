"""Links in the place of a project's folders, of which DVC takes some and refuses others."""

from __future__ import annotations

import os
from pathlib import Path
from shlex import quote

from crossgap.errors import CrossgapError

# Folders with outputs in them; the outputs may be links themselves.
_OF_OUTPUTS = (
    "data", "data/backbones", "data/datasets", "data/distilled", "data/distilled/*", "data/distilled/*/*",
    "data/features", "data/features/*", "data/features/*/*", "data/imports", "data/metrics", "data/metrics/*",
    "data/report",
)  # fmt: skip


class LinkError(CrossgapError):
    """A folder of outputs is a link to where DVC keeps none."""


def require_outputs_in_git(root: Path = Path()) -> None:
    """Refuse to work where DVC would refuse what a stage made, once it has made it.

    Raises:
        LinkError: a folder that outputs lie in is a link out of the git repository.
    """
    top = root.absolute()
    git = next((folder for folder in (top, *top.parents) if (folder / ".git").exists()), None)
    if git is None:
        return
    inside = Path(os.path.realpath(git))
    for pattern in _OF_OUTPUTS:
        for folder in root.glob(pattern):
            if not folder.is_symlink() or not folder.is_dir():
                continue
            target = Path(os.path.realpath(folder))
            if not target.is_relative_to(inside):
                raise LinkError(
                    f"{folder} is a link to {target}, and DVC takes no outputs outside of the git repository: make it "
                    f"a folder, and put DVC's cache there, `dvc cache dir {quote(str(target))}`, of which `dvc config "
                    "cache.type symlink` makes links"
                )
