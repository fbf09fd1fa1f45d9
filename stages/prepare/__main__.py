"""Declaration → manifest: python -m stages.prepare DATASET"""

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter

from crossgap.datasets import stamps
from crossgap.datasets.declared import Declaration
from crossgap.datasets.preparing import prepare
from crossgap.datasets.saying import summary
from crossgap.prepared import composed, judgements, manifest, problems, transformations
from crossgap.stores import temporary
from stages.common import SCRATCH, dataset_folder, emptied, machine, run


def main(cell: Mapping[str, Any], name: str) -> None:
    folder, scheduled = emptied(dataset_folder(name)), machine()
    declared = TypeAdapter(Declaration).validate_python(cell["declared"])
    before = stamps.of(declared)
    with temporary.room_for(folder):
        made = prepare(
            declared,
            folder,
            workers=scheduled["workers"],
            kept=SCRATCH / "prepare" / f"{name}.checks",
            rehash=scheduled["rehash"],
        )
        manifest.write(made.items, folder)
        problems.write(made.problems, folder)
        if made.judgements is not None:
            judgements.write(made.judgements, folder)
        if made.transformations is not None:
            transformations.write(made.transformations, folder)
        if made.composed is not None:
            composed.write(made.composed, folder)
    stamps.write(stamps.note_of(SCRATCH, name, cell["declared"]), before)
    print(f"{name}: {summary(made)}")


run(main)
