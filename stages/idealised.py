"""Images of a dataset → the gap between two encoders of them: python stages/idealised.py NAME, a row of `idealised`"""

import json
import shutil

from common import DATA, SCRATCH, dataset_folder, run

from crossgap import manifest
from crossgap.params import Params


def main(params: Params, name: str) -> None:
    recipe, machine = params.idealised[name], params.machine
    items = manifest.read(dataset_folder(recipe.dataset))
    from crossgap.backbones.backbone import resolve_device
    from crossgap.training.idealised import idealised, tables
    from crossgap.training.live import live

    out = DATA / "metrics" / "idealised" / name
    shutil.rmtree(out, ignore_errors=True)
    with live(out) as log:
        done = idealised(
            recipe,
            items,
            params.datasets[recipe.dataset].images_root(dataset_folder(recipe.dataset)),
            scratch=SCRATCH / "idealised",
            device=resolve_device(machine.device),
            name=name,
            save_seconds=machine.checkpoint_seconds,
            log=log,
        )
    found = tables(recipe, done)
    folder = out / "tables"
    folder.mkdir()
    for table in ("curves", "runs", "toy"):
        getattr(found, table).to_csv(folder / f"{table}.csv", index=False)
    (out / "metrics.json").write_text(json.dumps(found.metrics, indent=1) + "\n", encoding="utf-8")


run(main)
