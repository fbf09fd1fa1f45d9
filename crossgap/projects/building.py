"""The build of a wheel: the package, and the files that a new project starts with.

They stand once in the repository, and a wheel has copies. `pyproject.toml` names the class; setuptools runs this file
alone, before anything is installed.
"""

from __future__ import annotations

import runpy
import shutil
from pathlib import Path

from setuptools.command.build_py import build_py

_FILES = runpy.run_path(str(Path("crossgap/projects/files.py")))


class BuildWithTemplate(build_py):
    """The package's build; an editable one has the files where they stand."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        for path in _FILES["starting"](Path()):
            target = Path(self.build_lib, "crossgap", _FILES["TEMPLATE"], path)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)

    def get_source_files(self) -> list[str]:
        """What a source distribution has to hold."""
        return [*super().get_source_files(), *map(str, _FILES["starting"](Path()))]
