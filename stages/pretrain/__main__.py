"""Train the embedded backbone, or another like it: python -m stages.pretrain NAME, `nano` or a row of `pretrain`"""

from collections.abc import Mapping
from typing import Any

from crossgap import fingerprint
from crossgap.training import made_by, scratch
from crossgap.training.nano import WEIGHTS, quality, train
from crossgap.training.nano_recipe import NanoRecipe
from stages.common import DATA, SCRATCH, machine, run


def main(cell: Mapping[str, Any], name: str) -> None:
    folder = DATA / "backbones" / name
    recipe = NanoRecipe.model_validate(cell["recipe"])
    made_from = {"recipe": recipe.model_dump(), "code": cell["code"]}
    kept = scratch.folder(SCRATCH / "pretrain", made_from, made_from)
    losses = train(recipe, folder, kept / scratch.CHECKPOINT, save_seconds=machine()["checkpoint_seconds"])
    scratch.remove(kept)
    if name != "nano":
        made_by.mark(folder, "pretrain", name)
    print(f"loss: first {losses[0]:.3f}, last {losses[-1]:.3f}")
    for measure, value in quality(folder, recipe.seed).items():
        print(f"{measure}: {value:.4f}")
    print(
        f"sha256, for weights.sha256 of the backbone {name}: {fingerprint.sha256_of_files([folder / WEIGHTS])}"
    )


run(main)
