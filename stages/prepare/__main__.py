"""Declaration → manifest: python -m stages.prepare DATASET"""

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter

from crossgap import judgements, manifest, transformations
from crossgap.datasets.declared import Declaration
from crossgap.datasets.preparing import prepare
from stages.common import dataset_folder, machine, run


def main(cell: Mapping[str, Any], name: str) -> None:
    folder = dataset_folder(name)
    folder.mkdir(parents=True, exist_ok=True)
    declared = TypeAdapter(Declaration).validate_python(cell["declared"])
    made = prepare(declared, folder, workers=machine()["workers"])
    manifest.write(made.items, folder)
    made.problems.to_csv(folder / "problems.csv", index=False)
    (folder / judgements.FILE).unlink(missing_ok=True)
    if made.judgements is not None:
        judgements.write(made.judgements, folder)
    transformations.remove(folder)
    if made.transformations is not None:
        transformations.write(made.transformations, folder)
    print(f"{name}: {len(made.items)} items, {len(made.problems)} set aside")


run(main)
