"""Readers, a module a layout: `read(declaration, folder)` gives a `Reading` and opens no image.

`folder` exists and is where `prepare` keeps what it makes of the dataset; a reader of `Exported` images writes them
there.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from crossgap.datasets.declared import OnDisk
from crossgap.datasets.reading import Reading


def read(declaration: OnDisk, folder: Path) -> Reading:
    """The manifest of a declared dataset, its images listed but not yet opened.

    Raises:
        DatasetError: files are missing or malformed, or don't have the declared layout.
    """
    module = declaration.layout.replace("-", "_")
    return import_module(f"crossgap.datasets.readers.{module}").read(declaration, folder)
