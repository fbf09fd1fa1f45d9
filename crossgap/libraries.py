"""Where other libraries lie: some of what they hold is read from their files, since importing them costs seconds."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path


def folder_of(library: str) -> Path:
    """The folder of an installed package, which is not imported.

    Raises:
        ModuleNotFoundError: there is none.
    """
    spec = find_spec(library)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(
            f"no package {library}: install crossgap again, with what it needs", name=library
        )
    return Path(spec.submodule_search_locations[0])
