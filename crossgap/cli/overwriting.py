"""Where a command may write what the user named, and which files it may overwrite without being told to: those whose
content git holds.
"""

from __future__ import annotations

from pathlib import Path

from crossgap.cli import programs
from crossgap.errors import CrossgapError, making


def require_place(path: Path) -> None:
    """Refuse a file that can't be written, before any work for it.

    Raises:
        CrossgapError: there is no folder for it, or what is there is no file: a folder, a device, a pipe.
        OSError: the machine refuses it.
    """
    from crossgap.stores import temporary

    with making(path):
        if path.exists() and not path.is_file():
            what = "a folder" if path.is_dir() else "no file"
            raise CrossgapError(f"{path} is {what}: name a file in a folder that there is")
        target = path.resolve() if path.is_symlink() else path
        if not target.parent.is_dir():
            raise CrossgapError(f"{path} can't be written: there is no folder {target.parent}")
        with temporary.named(target) as beside:
            beside.touch()


def require_in_git(path: Path, otherwise: str = "overwrite it with --force") -> None:
    """Refuse to overwrite a file whose content git does not hold; a path without a file passes.

    Args:
        otherwise: what to do where git is not to hold it.

    Raises:
        CrossgapError: the file has changes that git doesn't hold, or git doesn't know it.
    """
    if not path.exists():
        return
    path = path.resolve()
    asked = ["git", "-C", str(path.parent)]
    try:
        tracked = programs.done([*asked, "ls-files", "--error-unmatch", path.name])
        changed = programs.done([*asked, "status", "--porcelain", "--", path.name])
    except FileNotFoundError:
        raise CrossgapError(f"{path} exists: {otherwise}") from None
    if tracked.returncode:
        raise CrossgapError(f"{path} exists, and git doesn't have it: commit it, or {otherwise}")
    if changed.returncode or changed.stdout:
        raise CrossgapError(f"{path} has changes that are not committed: commit them, or {otherwise}")
