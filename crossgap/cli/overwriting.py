"""Files that a command may overwrite unasked: those that git has as they are."""

from __future__ import annotations

import subprocess
from pathlib import Path

from crossgap.errors import CrossgapError


def require_in_git(path: Path) -> None:
    """Nothing, where nothing is at a path, or what git has there.

    Raises:
        CrossgapError: a file that git doesn't have as it is.
    """
    if not path.exists():
        return
    path = path.resolve()
    asked = ["git", "-C", str(path.parent)]
    try:
        tracked = subprocess.run([*asked, "ls-files", "--error-unmatch", path.name], capture_output=True)
        changed = subprocess.run([*asked, "status", "--porcelain", "--", path.name], capture_output=True)
    except FileNotFoundError:
        raise CrossgapError(f"{path} exists: overwrite it with --force") from None
    if tracked.returncode:
        raise CrossgapError(
            f"{path} exists, and git doesn't have it: name another, or overwrite it with --force"
        )
    if changed.returncode or changed.stdout:
        raise CrossgapError(
            f"{path} has changes that are not committed: commit them, or overwrite them with --force"
        )
