"""Image features → text features by textual inversion: python stages/oti.py BACKBONE DATASET"""

from common import SCRATCH, features_folder, run

from crossgap.backbones import load_backbone
from crossgap.backbones.injection import PseudoText
from crossgap.inversion import Recipe, chosen_images, invert_store
from crossgap.params import Params
from crossgap.store import open_store


def oti(params: Params, backbone: str, dataset: str) -> None:
    folder, machine, recipe = features_folder(backbone, dataset), params.machine, params.oti
    retrieval = params.datasets[dataset].retrieval
    native = open_store(folder / "native.zarr.zip")
    tokens = params.backbones[backbone].oti.tokens
    loaded = load_backbone(**params.backbones[backbone].weights.model_dump(), device=machine.device)
    invert_store(
        native,
        chosen_images(native, retrieval.query, retrieval.gallery if recipe.gallery else None),
        loaded,
        PseudoText(loaded, recipe.template, tokens),
        Recipe(recipe.steps, recipe.lr, recipe.weight_decay, recipe.seed),
        folder / "oti.zarr.zip",
        method={"name": "oti", "template": recipe.template, "tokens": tokens},
        scratch=SCRATCH / "oti",
        batch_size=machine.batch_size,
        shard_size=machine.inversion_shard_size,
    )


run(oti)
