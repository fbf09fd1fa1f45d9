"""Manifest → feature store: python stages/encode.py BACKBONE DATASET"""

import os

import pandas as pd
from common import SCRATCH, dataset_folder, features_folder, run

from crossgap import judgements, manifest, transformations
from crossgap.encode import encode
from crossgap.params import Params


def main(params: Params, backbone: str, dataset: str) -> None:
    items = manifest.read(dataset_folder(dataset))
    set_aside = pd.read_csv(dataset_folder(dataset) / "problems.csv", dtype=str).to_dict("records")
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # waiting threads leave the cores to the decoders
    from crossgap.backbones import load_backbone

    machine = params.machine
    encode(
        items,
        params.datasets[dataset].images_root(dataset_folder(dataset)),
        load_backbone(**params.backbones[backbone].weights.model_dump(), device=machine.device),
        features_folder(backbone, dataset) / "native.zarr.zip",
        provenance={"backbone": backbone, "dataset": dataset, "set_aside": set_aside},
        scratch=SCRATCH / "encode",
        judgements=judgements.read(dataset_folder(dataset)),
        transformations=transformations.read(dataset_folder(dataset)),
        batch_size=machine.batch_size,
        workers=machine.workers,
        shard_size=machine.shard_size,
    )


run(main)
