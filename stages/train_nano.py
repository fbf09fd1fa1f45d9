"""Train the embedded backbone by the recipe in params.yaml: python stages/train_nano.py"""

from common import DATA, run

from crossgap import fingerprint
from crossgap.params import Params
from crossgap.training.nano import WEIGHTS, quality, train

FOLDER = DATA / "backbones" / "nano"


def main(params: Params) -> None:
    losses = train(params.nano, FOLDER)
    last = losses[-100:]
    print(f"loss: first {losses[0]:.3f}, mean of the last {len(last)} {sum(last) / len(last):.3f}")
    for name, value in quality(FOLDER, params.nano.seed).items():
        print(f"{name}: {value:.4f}")
    print(
        f"sha256, for backbones.nano.weights in params.yaml: {fingerprint.sha256_of_files([FOLDER / WEIGHTS])}"
    )


run(main)
