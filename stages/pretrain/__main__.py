"""Train the embedded backbone, or another like it: python -m stages.pretrain NAME, `nano` or a row of `pretrain`"""

from collections.abc import Mapping
from typing import Any

from crossgap import fingerprint
from crossgap.training import made_by
from crossgap.training.nano import WEIGHTS, quality, train
from crossgap.training.nano_recipe import NanoRecipe
from stages.common import DATA, SCRATCH, machine, run


def main(cell: Mapping[str, Any], name: str) -> None:
    folder = DATA / "backbones" / name
    recipe = NanoRecipe.model_validate(cell["recipe"])
    made_from = fingerprint.of_json([recipe.model_dump(), cell["code"]])
    checkpoint = SCRATCH / "nano" / f"{made_from}.pt"
    losses = train(recipe, folder, checkpoint, save_seconds=machine()["checkpoint_seconds"])
    if name != "nano":
        made_by.mark(folder, "pretrain", name)
    print(f"loss: first {losses[0]:.3f}, last {losses[-1]:.3f}")
    for measure, value in quality(folder, recipe.seed).items():
        print(f"{measure}: {value:.4f}")
    print(
        f"sha256, for weights.sha256 of the backbone {name}: {fingerprint.sha256_of_files([folder / WEIGHTS])}"
    )


run(main)
