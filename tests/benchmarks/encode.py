"""Images from JPEG files to the store against the slower of decoding alone, on all cores, and the forward pass alone;
then captions that repeat against each of them once. In turn, over rounds.

On a CPU both works are for the same cores: they can't be done sooner than one after the other. The benchmark says what
share that is. OpenMP's threads that wait by spinning take the cores from the decoders, hence the policy.

OMP_WAIT_POLICY=passive python tests/benchmarks/encode.py [--images 1000] [--captions 2000] [--large 256] [--rounds 3]
"""

from __future__ import annotations

import argparse
import os
import tarfile
import tempfile
import warnings
from collections.abc import Callable
from functools import partial
from io import BytesIO
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader
from training import in_turn

from crossgap import fingerprint
from crossgap.backbones import Backbone, load_backbone
from crossgap.encode import encode
from crossgap.prepared import manifest

ROOT = Path(__file__).parents[2]
PHOTOS = ROOT.parent / "shared" / "real" / "flickr8k" / "images.tar"
CORES = os.cpu_count()
BATCH = 64
COCO_SIDE = 640


def photos(count: int) -> list[Image.Image]:
    """Flickr8k's, 200 pixels at the longer side; without them, random ones that compress as photos do."""
    if not PHOTOS.is_file():
        random = np.random.default_rng(0)
        coarse = random.integers(0, 256, (count, 40, 53, 3), dtype=np.uint8)
        return [Image.fromarray(one).resize((200, 150), Image.Resampling.BICUBIC) for one in coarse]
    with tarfile.open(PHOTOS) as tar:
        files = [member for member in tar if member.isreg()][:count]
        return [Image.open(BytesIO(tar.extractfile(file).read())).convert("RGB") for file in files]


def written(images: list[Image.Image], folder: Path, side: int | None) -> pd.DataFrame:
    """Write the photos as JPEG, the longer side of this many pixels; their manifest."""
    rows = []
    for number, image in enumerate(images):
        name, scale = f"{number}.jpg", side / max(image.size) if side else 1
        size = tuple(round(length * scale) for length in image.size)
        image.resize(size, Image.Resampling.BICUBIC).save(folder / name, quality=90)
        digest = fingerprint.of_content((folder / name).read_bytes())
        rows.append({"id": name, "modality": "image", "path": name, "group": name, "digest": digest})
    return valid(rows)


def captions(count: int, distinct: int) -> pd.DataFrame:
    """A manifest of texts, so many of them different."""
    texts = [f"a photo of {row % distinct} things" for row in range(count)]
    digests = map(manifest.text_digest, texts)
    rows = [
        {"id": str(row), "modality": "text", "text": text, "digest": digest}
        for row, (text, digest) in enumerate(zip(texts, digests, strict=True))
    ]
    return valid(rows)


def valid(rows: list[dict]) -> pd.DataFrame:
    """The manifest of these rows, completed."""
    frame = pd.DataFrame(rows, columns=list(manifest.COLUMNS), dtype=object)
    return manifest.validate(frame.assign(split="test", rank=0))


class Plain:
    """What no loader of images can do without: open and transform."""

    def __init__(self, files: list[Path], transform: Callable) -> None:
        self.files, self.transform = files, transform

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, position: int) -> Tensor:
        return self.transform(Image.open(self.files[position]))


def decode(dataset: Plain) -> list[Tensor]:
    """On all cores; the batches."""
    return list(DataLoader(dataset, batch_size=BATCH, num_workers=CORES))


@torch.inference_mode()
def forward(backbone: Backbone, batches: list[Tensor]) -> None:
    for batch in batches:
        backbone.model.encode_image(batch)


def ours(items: pd.DataFrame, root: Path, backbone: Backbone) -> None:
    """All of the work, anew: no shard is done before."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        where = {"scratch": folder / "scratch", "provenance": {}}
        where["code"] = "benchmark"  # a stage is given it by `resolve`
        encode(items, root, backbone, folder / "native.zarr.zip", **where, batch_size=BATCH, workers=CORES)


def images(name: str, backbone: Backbone, pictures: list[Image.Image], side: int | None, rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        items = written(pictures, root, side)
        dataset = Plain([root / path for path in items["path"]], backbone.transform)
        batches = decode(dataset)
        works = {
            "decoding": partial(decode, dataset),
            "forward": partial(forward, backbone, batches),
            "crossgap": partial(ours, items, root, backbone),
        }
        seconds = in_turn(works, rounds)
    decoding, passes, whole = (np.array(seconds[work]) for work in works)
    print(f"{name}, {len(pictures)} photos of {side or 200} pixels, {CORES} cores, float32")
    for work, found in seconds.items():
        print(
            f"  {work:10} {' '.join(f'{one:.2f}' for one in found)} s, {len(items) / min(found):.0f} a second"
        )
    slower = max(min(decoding), min(passes))
    each = " ".join(f"{one:.2f}" for one in np.maximum(decoding, passes) / whole)
    print(
        f"  ratio      {slower / min(whole):.2f} of the slower (round by round: {each}); "
        f"one after the other {slower / (min(decoding) + min(passes)):.2f}",
        flush=True,
    )


def texts(name: str, backbone: Backbone, count: int, repeats: int, rounds: int) -> None:
    works = {
        "repeating": partial(ours, captions(count, count // repeats), Path(), backbone),
        "distinct": partial(ours, captions(count, count), Path(), backbone),
        "once": partial(ours, captions(count // repeats, count // repeats), Path(), backbone),
    }
    seconds = in_turn(works, rounds)
    fastest = {work: min(found) for work, found in seconds.items()}
    print(
        f"{name}, {count} captions, each {repeats} times: {fastest['repeating']:.2f} s, all distinct "
        f"{fastest['distinct']:.2f} s (ratio {fastest['distinct'] / fastest['repeating']:.1f}), "
        f"each of them once {fastest['once']:.2f} s",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--captions", type=int, default=2000)
    parser.add_argument("--large", type=int, default=256, help="photos through ViT-B/32; 0 leaves it out")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    nano = load_backbone(f"local-dir:{ROOT / 'data/backbones/nano'}")
    pictures = photos(max(given.images, given.large))
    for side in (None, COCO_SIDE):
        images("nano", nano, pictures[: given.images], side, given.rounds)
    texts("nano", nano, given.captions, 5, given.rounds)
    if given.large:
        images("ViT-B-32", load_backbone("ViT-B-32"), pictures[: given.large], None, given.rounds)


if __name__ == "__main__":
    main()
