"""What the stages oti and ovi share: one cell's store inverted."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from common import SCRATCH, features_folder, run

from crossgap import manifest
from crossgap.backbones import towers
from crossgap.params import Params
from crossgap.store import Store, creating, open_store

if TYPE_CHECKING:
    from crossgap.inversion.methods import Method


def stage(name: str, make: Callable[..., Method], *changeable: str) -> None:
    """Run an inversion's stage: STAGE BACKBONE DATASET [--seed N], and what else of the method is `changeable`.

    Args:
        make: `make(params, backbone, **changed)` gives the method.
    """

    def main(params: Params, *words: str) -> None:
        parser = ArgumentParser()
        parser.add_argument("backbone")
        parser.add_argument("dataset")
        for option in ("seed", *changeable):
            parser.add_argument(f"--{option}", type=int)
        given = vars(parser.parse_args(words))
        backbone, dataset = given.pop("backbone"), given.pop("dataset")
        _invert(params, backbone, dataset, name, make, **given)

    run(main)


def _invert(
    params: Params,
    backbone: str,
    dataset: str,
    name: str,
    make: Callable[..., Method],
    seed: int | None,
    **changed: int | None,
) -> None:
    """Write `<name>.zarr.zip` of a cell; with another seed or method, `<name>-…` of its query split only.

    With an image-only backbone, or a dataset without the modality, there is nothing to invert: the store is empty and
    says so.
    """
    folder, scratch = features_folder(backbone, dataset), SCRATCH / name
    native = open_store(folder / "native.zarr.zip")
    retrieval = params.datasets[dataset].retrieval
    beside = [str(value) for value in changed.values() if value is not None]
    beside += [] if seed is None else [f"seed-{seed}"]
    path = folder / f"{'-'.join([name, *beside])}.zarr.zip"
    weights = params.backbones[backbone].weights
    if reason := towers.image_only(weights.model) or _none_held(native, name, retrieval.query, beside):
        with creating(path, scratch, {"not_applicable": reason}):
            return

    # a cell without anything to invert need not wait for these
    from crossgap.backbones import load_backbone
    from crossgap.engines import Local, Ray
    from crossgap.inversion import stores

    machine, settings = params.machine, getattr(params, name)
    choose = stores.chosen_images if name == "oti" else stores.chosen_texts
    chosen = choose(native, retrieval.query, retrieval.gallery if settings.gallery and not beside else None)
    if beside:
        chosen = {group: rows for group, rows in chosen.items() if group.endswith(f"/{retrieval.query}")}
    on_ray = machine.engine == "ray"
    stores.invert_store(
        native,
        chosen,
        load_backbone(**weights.model_dump(), device="cpu" if on_ray else machine.device),
        make(params, backbone, **changed),
        settings.recipe if seed is None else replace(settings.recipe, seed=seed),
        path,
        scratch=scratch,
        batch_size=None if machine.inversion_batch_size == "auto" else machine.inversion_batch_size,
        engine=Ray(**machine.ray.model_dump()) if on_ray else Local(),
        on_problem=settings.on_problem,
    )


def _none_held(native: Store, name: str, query: str, beside: list[str]) -> str | None:
    """Why there is nothing to invert, if so: neither queries of the modality nor, for the main OVI, class prompts."""
    modality = "image" if name == "oti" else "text"
    splits = [query] if name == "oti" or beside else [query, manifest.CLASSES]
    if any(f"{modality}/{split}" in native for split in splits):
        return None
    return f"the dataset has no {modality}s in the split {query!r}"
