"""Text features → image features by visual inversion: python stages/ovi.py BACKBONE DATASET"""

from common import SCRATCH, features_folder, run

from crossgap.backbones import load_backbone
from crossgap.backbones.injection import PseudoPatches
from crossgap.inversion import Recipe, chosen_texts, invert_store
from crossgap.params import Params
from crossgap.store import open_store


def ovi(params: Params, backbone: str, dataset: str) -> None:
    folder, machine, recipe = features_folder(backbone, dataset), params.machine, params.ovi
    retrieval = params.datasets[dataset].retrieval
    native = open_store(folder / "native.zarr.zip")
    patches = params.backbones[backbone].ovi.patches
    loaded = load_backbone(**params.backbones[backbone].weights.model_dump(), device=machine.device)
    invert_store(
        native,
        chosen_texts(native, retrieval.query, retrieval.gallery if recipe.gallery else None),
        loaded,
        PseudoPatches(loaded, patches),
        Recipe(recipe.steps, recipe.lr, recipe.weight_decay, recipe.seed),
        folder / "ovi.zarr.zip",
        method={"name": "ovi", "patches": patches},
        scratch=SCRATCH / "ovi",
        batch_size=machine.batch_size,
        shard_size=machine.inversion_shard_size,
    )


run(ovi)
