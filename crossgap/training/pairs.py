"""Images with their captions, in the order of a training: a function of the seed and of the items' ids."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import Tensor

from crossgap.datasets.hashing import hashed, uniform
from crossgap.encode import Images
from crossgap.errors import listed
from crossgap.prefetching import prefetched
from crossgap.prepared.manifest import LABEL, labellings, select
from crossgap.training.augment import two_views
from crossgap.training.trainer import TrainingError

if TYPE_CHECKING:
    from jaxtyping import Float, Integer, UInt64

HELD = 2**28  # bytes of decoded images that a process keeps, if all of them fit


class PairBatch(NamedTuple):
    """Pairs: pixels `(n, 3, h, w)`, token ids `(n, context)` and, where wanted, two views of each image."""

    pixels: Float[Tensor, "n 3 h w"]
    ids: Integer[Tensor, "n context"]
    views: tuple[Float[Tensor, "n 3 size size"], Float[Tensor, "n 3 size size"]] | None


@dataclass(frozen=True)
class CaptionedImages:
    """Captioned images: rows of the manifest, the captions of each in order, and a 64-bit key of each id."""

    images: pd.DataFrame
    captions: list[list[str]]
    keys: UInt64[np.ndarray, " n"]

    def __len__(self) -> int:
        return len(self.captions)

    def batches(self, seed: int, size: int, first: int, last: int) -> Iterator[list[tuple[int, int]]]:
        """The batches of steps `first` to `last`, each a list of (row, step). Every epoch has another order."""
        a_time = len(self) // size
        order, epoch = np.array([], int), -1
        for step in range(first, last):
            if step // a_time != epoch:
                epoch = step // a_time
                order = np.argsort(hashed(seed, "order", epoch, self.keys), kind="stable")
            at = step % a_time * size
            yield [(int(row), step) for row in order[at : at + size]]


def captioned(
    manifest: pd.DataFrame, split: str, *, captions: str = "first", silent_on: Sequence[str] = ()
) -> CaptionedImages:
    """The images of a split that have a caption, in the order of their ids.

    Args:
        captions: `first` keeps one of each image, `any` all.
        silent_on: labellings; a caption with a label of one of them is left out.

    Raises:
        TrainingError: no such split, no captions, or a labelling that the dataset hasn't got.
    """
    images, texts = select(manifest, "image", split), select(manifest, "text", split)
    if images.empty:
        held = ", ".join(sorted(manifest.loc[manifest["modality"] == "image", "split"].unique())) or "none"
        raise TrainingError(f"split: the dataset has no images of split {split!r}; of its splits: {held}")
    if unknown := [name for name in silent_on if LABEL + name not in manifest]:
        raise TrainingError(
            f"silent_on: no labelling {', '.join(unknown)}; labellings: {listed(labellings(manifest)) or 'none'}"
        )
    for name in silent_on:
        texts = texts[texts[LABEL + name].isna()]
    texts = texts[texts["group"].isin(images["id"])].sort_values(["group", "rank"], kind="stable")
    if texts.empty:
        silent = f" without {' or '.join(silent_on)}" if silent_on else ""
        raise TrainingError(
            f"dataset: its split {split!r} has {len(images)} images and no captions{silent}: a training needs a "
            "captioned dataset (layout captions, for one)"
        )
    if captions == "first":
        texts = texts.drop_duplicates("group")
    of_image = texts.groupby("group", sort=False)["text"].agg(list)
    images = images[images["id"].isin(of_image.index)].sort_values("id").reset_index(drop=True)
    return CaptionedImages(images, of_image.loc[images["id"]].tolist(), hashed_ids(images["id"]))


def hashed_ids(ids: Sequence[str]) -> UInt64[np.ndarray, " n"]:
    """A 64-bit key `(n,)` of each id."""
    return pd.util.hash_array(np.asarray(ids, object), categorize=False)


def load(
    pairs: CaptionedImages,
    batches: Iterator[list[tuple[int, int]]],
    root: Path,
    transform: Callable,
    tokenize: Callable[[list[str]], Tensor],
    *,
    seed: int = 0,
    view: Callable | None = None,
    workers: int = 0,
    pin_memory: bool = False,
) -> Iterator[PairBatch]:
    """The batches' pixels, ids and views, decoded ahead by `workers` processes.

    Raises:
        DatasetError, ImageError: an image is not the one of the manifest, or is none.
        OSError: as `image_files.read_bytes`.
    """
    dataset = _PairItems(pairs, root, transform, seed, view)
    return prefetched(
        dataset,
        batches,
        num_workers=workers,
        pin_memory=pin_memory,
        generator=torch.Generator(),  # the global one stays as it is
        collate=partial(_collate, tokenize=tokenize),
    )


class _PairItems:
    """A map-style torch dataset by (row, step): pixels, a caption, views."""

    def __init__(
        self, pairs: CaptionedImages, root: Path, transform: Callable, seed: int, view: Callable | None
    ) -> None:
        self.pairs, self.transform, self.seed, self.view = pairs, transform, seed, view
        self.images = Images(pairs.images, root, transform)
        self.held: dict[int, Image.Image] = {}

    def __getitem__(self, at: tuple[int, int]) -> tuple[Tensor, str, tuple[Tensor, Tensor] | None]:
        row, step = at
        image = self._image(row)
        key = hashed(self.seed, step, self.pairs.keys[row])
        said = self.pairs.captions[row]
        caption = said[int(uniform(hashed(key, "caption"))[0] * len(said))]
        views = two_views(self.view, image.convert("RGB"), int(key[0])) if self.view else None
        return self.transform(image), caption, views

    def _image(self, row: int) -> Image.Image:
        if row in self.held:
            return self.held[row]
        image = self.images.open(row)
        if image.width * image.height * len(image.getbands()) * len(self.pairs) <= HELD:
            image.load()
            self.held[row] = image
        return image


def _collate(items: list, tokenize: Callable[[list[str]], Tensor]) -> PairBatch:
    pixels, captions, views = zip(*items, strict=True)
    both = None
    if views[0] is not None:
        first, second = zip(*views, strict=True)
        both = torch.stack(first), torch.stack(second)
    return PairBatch(torch.stack(pixels), tokenize(list(captions)), both)
