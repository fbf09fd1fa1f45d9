"""Manifest → feature store: python -m stages.encode BACKBONE DATASET"""

import os
from collections.abc import Mapping
from typing import Any

from crossgap.encode import encode
from crossgap.prepared import composed, judgements, manifest, problems, transformations
from stages.common import SCRATCH, dataset_folder, features_folder, images_root, machine, run, weights
from stages.computing import loaded, require_as_before
from stages.workers import ray


def main(cell: Mapping[str, Any], backbone: str, dataset: str) -> None:
    folder, scheduled = dataset_folder(dataset), machine()
    items = manifest.read(folder)
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # waiting threads leave the cores to the decoders
    noted = weights(backbone)
    encoded_by = loaded(backbone, noted)
    require_as_before(backbone, noted, encoded_by)
    encode(
        items,
        images_root(dataset),
        encoded_by,
        features_folder(backbone, dataset) / "native.zarr.zip",
        code=cell["code"],
        provenance={"backbone": backbone, "dataset": dataset, "set_aside": problems.read(folder)},
        scratch=SCRATCH / "encode",
        judgements=judgements.read(folder),
        transformations=transformations.read(folder),
        composed=composed.read(folder),
        batch_size=scheduled["batch_size"],
        workers=scheduled["workers"],
        shard_size=scheduled["shard_size"],
        engine=ray(),
    )


run(main)
