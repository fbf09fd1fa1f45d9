"""What a new project starts with: files of the repository, which a wheel has in its folder `template`.

This module is also run alone, by the build of a wheel: it imports nothing of ours.
"""

from __future__ import annotations

from pathlib import Path

TEMPLATE = "template"
OWN = ("params.yaml", "dvc.lock", ".dvcignore", ".gitignore", ".dvc/config")  # a project goes on with its own
PATTERNS = (
    *OWN,
    "dvc.yaml",
    ".dvc/plots/*.json",
    "stages/*.py",
    "stages/*/*.py",
    "stages/*/dvc.yaml",
    "data/backbones/nano/*",
    "data/reference/published*.csv",
)


def starting(root: Path) -> list[Path]:
    """The files of a repository or a template that a project starts with, relative to it."""
    found = {path for pattern in PATTERNS for path in root.glob(pattern) if path.is_file()}
    return sorted(path.relative_to(root) for path in found)
