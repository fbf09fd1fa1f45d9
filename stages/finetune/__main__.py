"""Backbone and captioned dataset → another backbone: python -m stages.finetune NAME, a row of `finetune`"""

from collections.abc import Mapping
from typing import Any

from crossgap.backbones.noted import require_noted
from crossgap.prepared import manifest
from crossgap.stores import temporary
from crossgap.training import made_by
from crossgap.training.finetune_recipe import Finetune
from stages.common import (
    DATA,
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
    recipe, scheduled = Finetune.model_validate(cell["recipe"]), machine()
    items = manifest.read(dataset_folder(recipe.dataset))
    # pairs are looked at before a model is loaded
    from crossgap.backbones import load_backbone
    from crossgap.training.finetune import captions_of, finetune
    from crossgap.training.live import live

    pairs = captions_of(items, recipe)
    made, out = DATA / "backbones" / name, metrics_folder("training", name)
    require_noted(recipe.backbone, cell["weights"], cell["files"], "resolve")
    with temporary.room_for(out):
        with live(emptied(out)) as log:
            finetune(
                load_backbone(**cell["weights"], device=scheduled["device"]),
                pairs,
                images_root(recipe.dataset),
                recipe,
                made,
                code=cell["code"],
                scratch=SCRATCH / "finetune",
                forward_size=scheduled["training_batch_size"],
                workers=scheduled["workers"],
                save_seconds=scheduled["checkpoint_seconds"],
                log=log,
            )
        made_by.mark(made, "finetune", name)
        write_json(out / "recipe.json", recipe.model_dump())


run(main)
