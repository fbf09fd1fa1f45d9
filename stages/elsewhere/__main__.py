"""A note on another dataset's features, for corrections: python -m stages.elsewhere BACKBONE DATASET SOURCE

An evaluation depends on its own folder of features. The note in it says what the other dataset's store holds, so that
DVC evaluates again where that changes, and no features are copied.
"""

from collections.abc import Mapping
from typing import Any

from crossgap.evaluation.inversions import content
from crossgap.stores.store import open_store
from stages.common import features_folder, run, write_json


def main(cell: Mapping[str, Any], backbone: str, dataset: str, source: str) -> None:
    path = features_folder(backbone, source) / "native.zarr.zip"
    splits = {name: cell[name] for name in ("query", "gallery", "support")}
    said = {"store": path.as_posix(), "content": content(open_store(path)), **splits}
    write_json(features_folder(backbone, dataset) / f"elsewhere-{source}.json", said)


run(main)
