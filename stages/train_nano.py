"""Train the embedded backbone by the recipe in params.yaml (frozen: its weights are in the repository)."""

from __future__ import annotations

from pathlib import Path

from crossgap import params
from crossgap.training.nano import Recipe, quality, train

FOLDER = Path("data/backbones/nano")


def main() -> None:
    recipe = Recipe(**params.load().nano)
    losses = train(recipe, FOLDER)
    print(
        f"loss: first {losses[0]:.3f}, mean of the last 100 steps {sum(losses[-100:]) / len(losses[-100:]):.3f}"
    )
    for name, value in quality(FOLDER, recipe.seed).items():
        print(f"{name}: {value:.4f}")


if __name__ == "__main__":
    main()
