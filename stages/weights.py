"""Hashes of the weights of all backbones of a run: python -m stages.weights

Later stages depend on these small files alone, so a training that ends with the same weights runs nothing again.
"""

from collections.abc import Mapping
from typing import Any

from crossgap.backbones import towers
from crossgap.errors import BackboneError
from stages.common import WEIGHTS, emptied, run, weights_file, write_json


def main(cell: Mapping[str, Any]) -> None:
    noted = {}
    for name, row in cell["backbones"].items():
        try:
            files = towers.local_files(row["model"], row["pretrained"])
        except FileNotFoundError as error:
            raise BackboneError(
                f"backbone {name!r}: {error.filename} is not there: `dvc pull` brings what a colleague trained, and "
                "`dvc repro` trains it"
            ) from None
        noted[name] = {**row, "files": files}
    emptied(WEIGHTS)
    for name, row in noted.items():
        write_json(weights_file(name), row)


run(main)
