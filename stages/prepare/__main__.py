"""Declaration → manifest: python -m stages.prepare DATASET"""

import shutil
from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter

from crossgap.datasets.declared import Declaration
from crossgap.datasets.preparing import prepare
from crossgap.datasets.saying import summary
from crossgap.prepared import composed, judgements, manifest, problems, transformations
from stages.common import SCRATCH, dataset_folder, machine, run


def main(cell: Mapping[str, Any], name: str) -> None:
    folder, scheduled = dataset_folder(name), machine()
    shutil.rmtree(folder, ignore_errors=True)  # whose files may be links into a cache that others share
    folder.mkdir(parents=True, exist_ok=True)
    declared = TypeAdapter(Declaration).validate_python(cell["declared"])
    made = prepare(
        declared,
        folder,
        workers=scheduled["workers"],
        kept=SCRATCH / "prepare" / f"{name}.checks",
        rehash=scheduled["rehash"],
    )
    manifest.write(made.items, folder)
    problems.write(made.problems, folder)
    (folder / judgements.FILE).unlink(missing_ok=True)
    if made.judgements is not None:
        judgements.write(made.judgements, folder)
    transformations.remove(folder)
    if made.transformations is not None:
        transformations.write(made.transformations, folder)
    composed.remove(folder)
    if made.composed is not None:
        composed.write(made.composed, folder)
    print(f"{name}: {summary(made)}")


run(main)
