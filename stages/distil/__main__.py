"""Features without labels → φ, which gives their pseudo-tokens: python -m stages.distil BACKBONE DATASET METHOD LOSS"""

from collections.abc import Mapping
from typing import Any

from crossgap.backbones import towers
from crossgap.errors import DatasetError
from crossgap.stores.store import open_store
from stages.common import DISTILLED, SCRATCH, features_folder, machine, run, weights
from stages.computing import as_noted
from stages.workers import ray

OF = {"oti": "image", "ovi": "text"}


def main(cell: Mapping[str, Any], backbone: str, dataset: str, method: str, loss: str) -> None:
    """Train φ on a split of a dataset; of an image-only backbone, φ's file says why there is none."""
    out, noted, scheduled = DISTILLED / cell["phi"], weights(backbone), machine()
    native, group = (
        open_store(features_folder(backbone, dataset) / "native.zarr.zip"),
        f"{OF[method]}/{cell['split']}",
    )
    from crossgap.inversion.phi import save_nothing

    if reason := towers.image_only(noted["model"]):
        save_nothing(out, reason)
        return
    if group not in native or not len(native[group]):
        raise DatasetError(
            f"{dataset} has no {OF[method]}s in the split {cell['split']!r} to distil on; it has "
            f"{', '.join(native.groups)}: name another split as distil.{method}.split, or take {method!r} out of "
            "run.distil.methods"
        )
    from crossgap.inversion.distil_recipe import Distil
    from crossgap.inversion.distil_stores import distil_store
    from crossgap.inversion.methods import method_of
    from crossgap.inversion.recipes import Recipe

    size = scheduled["inversion_batch_size"]
    distil_store(
        native,
        group,
        as_noted(backbone, noted, scheduled["device"]),
        method_of(cell["method"]),
        Distil(**cell["recipe"]),
        loss,
        out,
        on={"dataset": dataset, "split": cell["split"]},
        targets=Recipe(**cell["targets"]) if cell["targets"] else None,
        code=cell["code"],
        scratch=SCRATCH,
        batch_size=None if size == "auto" else size,
        engine=ray(),
        save_seconds=scheduled["checkpoint_seconds"],
    )


run(main)
