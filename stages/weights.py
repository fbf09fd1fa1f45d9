"""What a backbone's weights are: python stages/weights.py BACKBONE

Later stages depend on this file alone, so a training that ends with the same weights runs nothing again.
"""

import json

from common import DATA, run

from crossgap.backbones import towers
from crossgap.params import Params


def main(params: Params, name: str) -> None:
    weights = params.backbones[name].weights
    identity = {**weights.model_dump(), "files": towers.local_files(weights.model, weights.pretrained)}
    path = DATA / "weights" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(identity, indent=1) + "\n", encoding="utf-8")


run(main)
