"""Train the embedded backbone by the recipe in params.yaml: python stages/train_nano.py"""

from common import DATA, run

from crossgap.params import Params
from crossgap.training.nano import quality, train
from crossgap.training.recipe import Recipe

FOLDER = DATA / "backbones" / "nano"


def main(params: Params) -> None:
    recipe = Recipe.model_validate(params.nano)
    losses = train(recipe, FOLDER)
    last = losses[-100:]
    print(f"loss: first {losses[0]:.3f}, mean of the last {len(last)} {sum(last) / len(last):.3f}")
    for name, value in quality(FOLDER, recipe.seed).items():
        print(f"{name}: {value:.4f}")


run(main)
