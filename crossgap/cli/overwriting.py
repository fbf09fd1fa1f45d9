"""Which files a command may overwrite without being told to: those whose content git holds."""

from __future__ import annotations

import subprocess
from pathlib import Path

from crossgap.errors import CrossgapError


def require_in_git(path: Path, force: bool = True) -> None:
    """Refuse to overwrite a file whose content git does not hold; a path without a file passes.

    Args:
        force: whether the command has --force, which overwrites it all the same.

    Raises:
        CrossgapError: the file has changes that git doesn't hold, or git doesn't know it.
    """
    if not path.exists():
        return
    path = path.resolve()
    asked = ["git", "-C", str(path.parent)]
    new = "name another, or overwrite it with --force" if force else "commit it, or move it away"
    try:
        tracked = subprocess.run([*asked, "ls-files", "--error-unmatch", path.name], capture_output=True)
        changed = subprocess.run([*asked, "status", "--porcelain", "--", path.name], capture_output=True)
    except FileNotFoundError:
        raise CrossgapError(f"{path} exists, and there is no git here to ask: {new}") from None
    if tracked.returncode:
        raise CrossgapError(f"{path} exists, and git doesn't have it: {new}")
    if changed.returncode or changed.stdout:
        others = ", or overwrite them with --force" if force else ""
        raise CrossgapError(f"{path} has changes that are not committed: commit them{others}")
