"""The code is as ruff would write it, breaks none of the rules in pyproject.toml, and its types agree."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    "command",
    [
        ("ruff", "check", "--quiet", "."),
        ("ruff", "format", "--check", "--quiet", "."),
        # what it knows of other libraries it keeps in .mypy_cache: a minute at first, then seconds
        ("mypy",),
    ],
    ids=" ".join,
)
def test_no_complaint(command) -> None:
    done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
