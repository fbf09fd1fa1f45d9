"""Backbone and captioned dataset → another backbone: python stages/finetune.py NAME, a row of `finetune`"""

import json
import shutil

from common import DATA, SCRATCH, dataset_folder, run

from crossgap import manifest
from crossgap.params import Params


def main(params: Params, name: str) -> None:
    recipe, machine = params.finetune[name], params.machine
    items = manifest.read(dataset_folder(recipe.dataset))
    # pairs are looked at before a model is loaded
    from crossgap.backbones import load_backbone
    from crossgap.training.finetune import captions_of, finetune
    from crossgap.training.live import live

    pairs = captions_of(items, recipe)
    out = DATA / "metrics" / "training" / name
    shutil.rmtree(out, ignore_errors=True)
    with live(out) as log:
        finetune(
            load_backbone(**params.backbones[recipe.backbone].weights.model_dump(), device=machine.device),
            pairs,
            params.datasets[recipe.dataset].images_root(dataset_folder(recipe.dataset)),
            recipe,
            DATA / "backbones" / name,
            scratch=SCRATCH / "finetune",
            forward_size=machine.training_batch_size,
            workers=machine.workers,
            save_seconds=machine.checkpoint_seconds,
            log=log,
        )
    (out / "recipe.json").write_text(json.dumps(recipe.model_dump(), indent=1) + "\n", encoding="utf-8")


run(main)
