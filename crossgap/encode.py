"""Manifest → feature store: every image and text through its tower, once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from socket import gethostname
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from crossgap import closure, fingerprint
from crossgap.backbones.batches import filled, rows_at_once
from crossgap.backbones.settings import own_settings
from crossgap.datasets.image_files import read_bytes
from crossgap.datasets.images import crop, decode
from crossgap.errors import BackboneError, DatasetError
from crossgap.machine import processor
from crossgap.prefetching import prefetched
from crossgap.prepared.manifest import BOX, content, corners
from crossgap.stores import shards, writing

if TYPE_CHECKING:
    from jaxtyping import Shaped
    from PIL import Image
    from torch import Tensor

    from crossgap.backbones import Backbone, Encoded
    from crossgap.backbones.backbone import Tokenizer
    from crossgap.prepared.composed import Composed
    from crossgap.prepared.transformations import Transformations
    from crossgap.stores import engines

COLUMNS = ("id", "group", "rank", BOX)
READ = {"image": ("id", "path", "digest", BOX), "text": ("id", "text")}  # columns that encoding reads


@own_settings()
def encode(
    manifest: pd.DataFrame,
    root: str | Path,
    backbone: Backbone,
    path: str | Path,
    *,
    provenance: dict,
    scratch: str | Path,
    code: str | None = None,
    judgements: pd.DataFrame | None = None,
    transformations: Transformations | None = None,
    composed: Composed | None = None,
    batch_size: int = 256,
    workers: int = 0,
    shard_size: int = 1024,
    engine: engines.Engine | None = None,
) -> None:
    """Encode every item of a manifest and write the feature store at `path`, the towers' projections beside them.

    Equal content is encoded once: an item is known by the digest of its bytes and its box. An image-only
    backbone leaves texts out; the store's attribute `texts_left_out` says how many.

    Args:
        root: folder that the manifest's image paths are relative to.
        provenance: attributes of the store beside the backbone's.
        scratch: where done shards lie until they are no longer wanted.
        code: a name of what encodes, as of `closure.digest`: shards of other code aren't taken up, and the store says
            it; that of this module and of loading backbones, if not given.
        judgements, transformations, composed: validated; the store takes them along.
        batch_size: items encoded at once; fewer on a CPU (`batches.rows_at_once`). Changes nothing beyond rounding.
        workers, shard_size: scheduling; like the items already in `scratch`, they change no bit on one machine.
        engine: where shards are computed; in this process, if not given. Its workers read the images themselves, under
            the same root.

    Raises:
        DatasetError: an image changed since the manifest was made.
        ImageError: an image's box leaves it.
        BackboneError: features that are NaN, infinite or all zero, before the shard with them is written.
    """
    code = code or closure.digest("crossgap.encode", "crossgap.backbones.loading")
    manifest = manifest.assign(content=content(manifest))
    root = Path(root).absolute()
    encoded = manifest["modality"].isin(backbone.modalities)
    left_out = {} if encoded.all() else {"texts_left_out": int((~encoded).sum())}
    manifest = manifest[encoded]
    if (manifest["modality"] == "text").any():
        _ = backbone.tokenizer  # where it can't be had, that is told before images are encoded
    done = {}
    for modality, items in manifest.groupby("modality", sort=True):
        done[modality] = shards.compute(
            list(items["content"]),
            _Shard(modality, backbone, root, batch_size, workers).work(items.reset_index(drop=True), engine),
            scratch,
            {"modality": modality, "backbone": backbone.provenance, "code": code},
            size=shard_size,
            label=f"{modality}s",
        )
    provenance = {
        **provenance,
        **left_out,
        "backbone_provenance": backbone.provenance,
        "made_on": processor(backbone.device),
        "code": code,
        "fingerprint": fingerprint.of_json(
            [backbone.provenance, code, manifest["id"].tolist(), manifest["content"].tolist()]
        ),
    }
    biases = backbone.biases()
    with writing.creating(path, scratch, provenance) as writer:
        for modality, weight in backbone.projections().items():
            writer.add_projection(modality, weight, biases.get(modality))
        for (modality, split), items in manifest.groupby(["modality", "split"], sort=True):
            blocks = done[modality].blocks(list(items["content"]), writing.ROWS_A_SHARD)
            writer.add(f"{modality}/{split}", _columns(items), blocks)
        if judgements is not None:
            writer.add_judgements(judgements)
        if transformations is not None:
            writer.add_transformations(transformations)
        if composed is not None and "text" in backbone.modalities:
            writer.add_composed(composed)


@dataclass(frozen=True)
class _Shard:
    """The arrays of rows of a manifest, all of one modality; an engine's function."""

    modality: str
    backbone: Backbone
    root: Path
    batch_size: int
    workers: int

    def work(self, items: pd.DataFrame, engine: engines.Engine | None) -> shards.Work:
        if engine is None:
            return self._here(items)
        items, backbone = items[[name for name in READ[self.modality] if name in items]], self.backbone
        if self.modality == "text":  # its files are in this process's reach alone
            backbone = replace(backbone, load_tokenizer=partial(_held, backbone.tokenizer))
        return engine.work(partial(_rows, items), replace(self, backbone=backbone))

    def to(self, device: str) -> _Shard:
        """The same on another device, of another machine perhaps.

        Raises:
            DatasetError: that machine doesn't have the images.
        """
        if self.modality == "image" and not self.root.exists():
            raise DatasetError(
                f"machine.engine: a worker of Ray on {gethostname()} finds no images at {self.root}: make them "
                "readable under this path on every machine of the cluster, or choose engine local"
            )
        return replace(self, backbone=self.backbone.to(device))

    def __call__(self, items: pd.DataFrame, advance: Callable[[int], None]) -> shards.Arrays:
        (arrays,) = self._here(items)([list(range(len(items)))], advance)
        return arrays

    def _here(self, items: pd.DataFrame) -> shards.Work:
        size = rows_at_once(self.batch_size, self.backbone.device)
        if self.modality == "text":
            return _texts(self.backbone, items, size)
        return _images(self.backbone, items, self.root, size, self.workers)


def _rows(items: pd.DataFrame, cut: list[int]) -> pd.DataFrame:
    return items.iloc[cut].reset_index(drop=True)


def _held(tokenizer: Tokenizer) -> Tokenizer:
    return tokenizer


def _columns(items: pd.DataFrame) -> dict[str, np.ndarray]:
    names = [name for name in items if name in COLUMNS or name.startswith("label.")]
    filled = {name: items[name] for name in names if items[name].notna().any()}
    return {
        name: (column if name == "rank" else column.fillna("").astype(str)).to_numpy()
        for name, column in filled.items()
    }


def _arrays(parts: list[Encoded], count: int) -> dict[str, np.ndarray]:
    """The first `count` rows of whole batches: what comes after them only filled the last one up."""
    names = [name for name in ("features", "preprojection") if getattr(parts[0], name) is not None]
    return {
        name: np.concatenate([getattr(part, name).cpu().numpy() for part in parts])[:count] for name in names
    }


def _check_features(encoded: Encoded, ids: list[str], backbone: Backbone) -> None:
    """BackboneError, by items' ids, where a feature, or what its projection is applied to, is of no use.

    Rows beyond those of `ids` only filled the batch up.
    """
    broken = ~encoded.features.isfinite().all(dim=1) | ~encoded.features.any(dim=1)
    if encoded.preprojection is not None:
        broken |= ~encoded.preprojection.isfinite().all(dim=1)
    broken = broken[: len(ids)]
    if not bool(broken.any()):
        return
    named = [ids[position] for position in broken.nonzero().flatten().tolist()]
    precision = backbone.provenance.get("precision", "fp32")
    raise BackboneError(
        f"features of {len(named)} of {len(ids)} items are NaN, infinite or all zero in {backbone.provenance['model']} "
        f"({precision}): {', '.join(named[:3])}{', …' if len(named) > 3 else ''}; "
        + (
            "its weights are damaged or of a training that diverged: get them again, or an earlier checkpoint"
            if precision == "fp32"
            else "the precision is too narrow for the model: give its weights `precision: fp32` in params.yaml"
        )
    )


def _texts(backbone: Backbone, items: pd.DataFrame, batch_size: int) -> shards.Work:
    def work(cuts: list[list[int]], advance: Callable[[int], None]) -> Iterator[shards.Arrays]:
        for cut in cuts:
            parts, truncated = [], []
            for start in range(0, len(cut), batch_size):
                texts = items["text"].iloc[cut[start : start + batch_size]].tolist()
                ids, cut_short = backbone.tokenize(texts)
                parts.append(backbone.encode_texts(filled(ids, batch_size)))
                batch = cut[start : start + batch_size]
                _check_features(parts[-1], items["id"].iloc[batch].tolist(), backbone)
                truncated.append(cut_short.numpy())
                advance(len(texts))
            yield {**_arrays(parts, len(cut)), "truncated": np.concatenate(truncated)}

    return work


def _images(
    backbone: Backbone, items: pd.DataFrame, root: Path, batch_size: int, workers: int
) -> shards.Work:
    def work(cuts: list[list[int]], advance: Callable[[int], None]) -> Iterator[shards.Arrays]:
        # one loader for all shards, so that decoding runs ahead over their borders
        batches = [
            cut[start : start + batch_size] for cut in cuts for start in range(0, len(cut), batch_size)
        ]
        from crossgap.backbones.batch_transform import BatchTransform

        pixels, pinned = BatchTransform(backbone.transform), backbone.device.type == "cuda"
        dataset = Images(items, root, pixels.one)
        loader = prefetched(dataset, batches, collate=pixels.batch, num_workers=workers, pin_memory=pinned)
        for cut in cuts:
            parts = []
            for start in range(0, len(cut), batch_size):
                parts.append(backbone.encode_images(filled(next(loader), batch_size)))
                batch = cut[start : start + batch_size]
                _check_features(parts[-1], items["id"].iloc[batch].tolist(), backbone)
                advance(len(batch))
            yield _arrays(parts, len(cut))

    return work


class Images:
    """A map-style torch dataset of images, each checked against its digest, cropped to its box and transformed."""

    def __init__(self, items: pd.DataFrame, root: Path, transform: Callable) -> None:
        self.paths, self.digests = items["path"].tolist(), items["digest"].tolist()
        self.boxes = items[BOX].tolist() if BOX in items else [None] * len(items)
        self.root, self.transform = root, transform

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, position: int) -> Shaped[Tensor, "*shape"]:
        return self.transform(self.open(position))

    def open(self, position: int) -> Image.Image:
        """The image, cropped to its box."""
        path = self.paths[position]
        content = read_bytes(self.root, path)
        if fingerprint.of_content(content) != self.digests[position]:
            raise DatasetError(
                f"{self.root / path} is not the file that the manifest was made from; "
                "raise the dataset's `revision` in params.yaml to prepare it again, with `rehash: true` under "
                "`machine` if its size and times are as they were"
            )
        image, box = decode(path, content), self.boxes[position]
        return image if box is None else crop(path, image, corners(box))
