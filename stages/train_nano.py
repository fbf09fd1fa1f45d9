"""Train the embedded backbone, or another like it: python stages/train_nano.py [NAME], a row of `pretrain`"""

from common import DATA, SCRATCH, run

from crossgap import fingerprint
from crossgap.params import Params
from crossgap.training.nano import WEIGHTS, quality, train


def main(params: Params, name: str = "nano") -> None:
    folder = DATA / "backbones" / name
    recipe = params.nano if name == "nano" else params.pretrained(name)
    made_from = [
        recipe.model_dump(),
        fingerprint.of_code("crossgap.training", "crossgap.losses", "crossgap.datasets"),
    ]
    checkpoint = SCRATCH / "nano" / f"{fingerprint.of_json(made_from)}.pt"
    losses = train(recipe, folder, checkpoint, save_seconds=params.machine.checkpoint_seconds)
    print(f"loss: first {losses[0]:.3f}, last {losses[-1]:.3f}")
    for measure, value in quality(folder, recipe.seed).items():
        print(f"{measure}: {value:.4f}")
    print(
        f"sha256, for backbones.{name}.weights in params.yaml: {fingerprint.sha256_of_files([folder / WEIGHTS])}"
    )


run(main)
