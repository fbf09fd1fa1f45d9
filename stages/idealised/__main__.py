"""Images of a dataset → the gap between two encoders of them: python -m stages.idealised NAME, a row of `idealised`"""

from collections.abc import Mapping
from typing import Any

from crossgap.backbones.noted import require_noted_architecture
from crossgap.prepared import manifest
from crossgap.stores import temporary
from crossgap.training.idealised_recipe import Idealised
from stages.common import (
    SCRATCH,
    dataset_folder,
    emptied,
    images_root,
    machine,
    metrics_folder,
    run,
    write_json,
)


def main(cell: Mapping[str, Any], name: str) -> None:
    recipe, scheduled = Idealised.model_validate(cell["recipe"]), machine()
    require_noted_architecture(name, recipe.architecture, cell["files"])
    items = manifest.read(dataset_folder(recipe.dataset))
    from crossgap.backbones.backbone import resolve_device
    from crossgap.training.idealised import idealised, tables
    from crossgap.training.live import live

    out = metrics_folder("idealised", name)
    with temporary.room_for(out):
        with live(emptied(out)) as log:
            done = idealised(
                recipe,
                items,
                images_root(recipe.dataset),
                code=cell["code"],
                scratch=SCRATCH / "idealised",
                device=resolve_device(scheduled["device"]),
                name=name,
                save_seconds=scheduled["checkpoint_seconds"],
                log=log,
            )
        found = tables(recipe, done)
        folder = out / "tables"
        folder.mkdir()
        for table in ("curves", "runs", "toy"):
            getattr(found, table).to_csv(folder / f"{table}.csv", index=False)
        write_json(out / "metrics.json", {"idealised": found.metrics})


run(main)
