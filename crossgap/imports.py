"""Which stores of `run.imports` are not there, and how to get them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crossgap.params import Params

IMPORTS = Path("data/imports")


def missing(params: Params) -> Iterator[str]:
    """A line for each import of the run without a store, as seen from the working directory."""
    for name in params.run.imports:
        folder = IMPORTS / name
        store, pointer = folder / "native.zarr.zip", IMPORTS / f"{name}.dvc"
        if store.is_file():
            continue
        if pointer.is_file():
            remedy = f"`dvc pull {folder}` brings it"
        else:
            remedy = (
                f"make it by `crossgap import {name} …`; or, where another has it, let them commit {pointer} and "
                "`dvc push`"
            )
        yield f"run.imports: {name!r}: {store} is not there: {remedy}"
