"""What the stages oti and ovi share: one cell's store inverted."""

from __future__ import annotations

from collections.abc import Callable

from common import SCRATCH, features_folder

from crossgap.backbones import load_backbone
from crossgap.engines import Local, Ray
from crossgap.inversion.methods import Method
from crossgap.inversion.stores import invert_store
from crossgap.params import Inversion, Params
from crossgap.store import open_store


def invert(
    params: Params,
    backbone: str,
    dataset: str,
    method: Method,
    settings: Inversion,
    choose: Callable,
    name: str,
    with_gallery: bool,
) -> None:
    """Write `<name>.zarr.zip` of a cell: the items that `choose` takes of its native store, inverted."""
    folder, machine = features_folder(backbone, dataset), params.machine
    retrieval = params.datasets[dataset].retrieval
    native = open_store(folder / "native.zarr.zip")
    on_ray = machine.engine == "ray"
    weights = params.backbones[backbone].weights.model_dump()
    invert_store(
        native,
        choose(native, retrieval.query, retrieval.gallery if with_gallery else None),
        load_backbone(**weights, device="cpu" if on_ray else machine.device),
        method,
        settings.recipe,
        folder / f"{name}.zarr.zip",
        scratch=SCRATCH / method.name,
        batch_size=None if machine.inversion_batch_size == "auto" else machine.inversion_batch_size,
        engine=Ray(**machine.ray.model_dump()) if on_ray else Local(),
        on_problem=settings.on_problem,
    )
