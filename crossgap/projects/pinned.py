"""The code that a project runs by, where crossgap is installed and not part of it; and how Python is to run it.

In the repository, DVC compares the folder `crossgap`. A project made by `crossgap init` has no such folder: its file
`crossgap.json` stands for it, and no stage runs by other code.
"""

from __future__ import annotations

import json
import shlex
import sys
from importlib.metadata import version
from pathlib import Path

import crossgap
from crossgap import fingerprint
from crossgap.errors import CrossgapError
from crossgap.projects.files import TEMPLATE

PIN = Path("crossgap.json")


class PinError(CrossgapError):
    """The project was made by another crossgap than is installed."""


class PythonError(CrossgapError):
    """Python runs in a way that changes results, or that libraries can't work in."""


def pin() -> str:
    """What `PIN` holds for the installed crossgap: its version, and a digest of its files."""
    return json.dumps({"crossgap": version("crossgap"), "digest": _digest()}, indent=1) + "\n"


def require_usual_python() -> None:
    """Refuse to work where Python names files otherwise, of whose names ids are made, or leaves assertions out.

    Raises:
        PythonError: names of files are taken to be in another encoding than UTF-8, or Python optimises.
    """
    if (encoding := sys.getfilesystemencoding()) != "utf-8":
        raise PythonError(
            f"Python reads names of files as {encoding} here, by which they would be other items: set PYTHONUTF8=1 in "
            "the environment, or a locale of UTF-8"
        )
    if sys.flags.optimize:
        raise PythonError(
            "Python leaves assertions out (PYTHONOPTIMIZE or -O), without which zarr can't read: unset PYTHONOPTIMIZE"
        )


def require_pinned(root: Path = Path()) -> None:
    """Refuse to work by other code than the project's; the repository, which has its own, passes.

    Raises:
        PinError: another crossgap is installed.
    """
    path = root / PIN
    if not path.is_file():
        return
    update = f"`crossgap init --update {shlex.quote(str(root))}`"
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
        was, digest = str(held["crossgap"]), held["digest"]
    except (ValueError, TypeError, KeyError):
        raise PinError(f"{path} is damaged: {update} writes it again") from None
    if digest != _digest():
        installed = version("crossgap")
        if was == installed:
            other = (
                f"another crossgap {was} than the one installed, of the same version and other files ({path})"
            )
        else:
            other = f"crossgap {was} ({path}), and {installed} is installed"
        raise PinError(
            f"this project runs by {other}: install that one, or go on with this one by {update}; then what "
            "it computes otherwise runs again"
        )


def _digest() -> str:
    """Of every file of the package, but for the copies that new projects start with and what is compiled, by Python or
    by numba.
    """
    folder = Path(crossgap.__file__).parent
    parts = []
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(folder)
        compiled = path.suffix == ".pyc" or "__pycache__" in inside.parts
        if path.is_file() and not compiled and inside.parts[0] != TEMPLATE:
            parts += [inside.as_posix().encode(), path.read_bytes()]
    return fingerprint.of_bytes(*parts)
