"""What a GPU gives, in parts; each ratio in one run on one machine. `data/reference/gpu.md` has the figures.

- `inversion`: OTI and OVI against the plain recipe, which runs in float16 autocast at a batch of 64 as the paper's code
  does; crossgap in float32 and bfloat16 at the batch size that it finds by itself, its passes captured as a CUDA graph,
  as they are by default, and given to the GPU kernel by kernel. A whole recipe's time follows from some of its steps.
- `ranking`: on the GPU against the CPU, all columns equal; and ImageNet's size, whose first queries the CPU ranks too.
- `encoding`: JPEG files to the store, against decoding alone on all cores and the forward passes alone.
- `precision`: features, OTI's losses and mAP on the embedded world, each against float32 on the CPU.

python tests/benchmarks/gpu.py [--part inversion ranking encoding precision] [--models ViT-B-32 ViT-L-14]
"""

from __future__ import annotations

import argparse
import os
import tempfile
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from encode import BATCH, COCO_SIDE, Plain, decode, photos, valid
from PIL import Image
from plain import Encode, encoder, flops_a_step, items, matrix_rate, ours, recipe, timed
from retrieval import clouds

from crossgap import fingerprint, load_backbone, oti, retrieval_metrics
from crossgap.backbones import Backbone
from crossgap.datasets import world
from crossgap.encode import encode
from crossgap.inversion.batch_size import fitting
from crossgap.inversion.methods import Method, Oti, Ovi
from crossgap.inversion.recipes import PRESETS
from crossgap.prepared import manifest

NANO = f"local-dir:{Path(__file__).parents[2] / 'data/backbones/nano'}"
PLAIN_BATCH = 64
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
WAYS = ("plain", "fp32 by kernel", "fp32", "bf16 by kernel", "bf16")
LABELS = [f"label.{factor}" for factor in world.FACTORS]


def inversion(given: argparse.Namespace) -> None:
    size = given.matrix or (8192 if given.on_gpu else 1024)
    peaks = {name: matrix_rate(given.place, dtype, size) for name, dtype in DTYPES.items()}
    print("matrix products " + ", ".join(f"{name} {peak / 1e12:.1f} TFLOP/s" for name, peak in peaks.items()))
    for model in given.models:
        backbones = {precision: _loaded(model, given, precision) for precision in DTYPES}
        for method in (Oti(), Ovi()):
            print(
                f"{method.name.upper()}, {model}, {PRESETS[method.name]['paper']['steps']} steps", flush=True
            )
            rates = {}
            for way in WAYS:
                precision = "fp32" if way == "plain" else way.split()[0]
                peak = peaks["bf16" if way == "plain" else precision]
                rates[way] = _inverted(backbones[precision], method, way, given, peak)
            ratios = ", ".join(f"{way} {rates[way] / rates['plain']:.1f}" for way in WAYS[1:])
            print(f"  times the plain recipe: {ratios}", flush=True)


def _inverted(backbone: Backbone, method: Method, way: str, given: argparse.Namespace, peak: float) -> float:
    """Items a second of the whole recipe: what a few steps take, and each of the others by the difference that more
    make."""
    if given.on_gpu:
        torch.cuda.empty_cache()
    injection, whole = method.inject(backbone), PRESETS[method.name]["paper"]["steps"]
    tower: Encode = encoder(backbone, method) if way == "plain" else injection
    if way.endswith("by kernel"):
        tower = partial(injection)  # of which nobody knows that it can be captured
    batch = PLAIN_BATCH if way == "plain" else given.batch or fitting(injection, backbone.device)
    targets, initial = items(backbone, injection.shape, batch)
    flops = flops_a_step(tower, initial[:2]) * batch / 2

    def run(steps: int) -> float:
        if way == "plain":
            return recipe(tower, targets, initial, steps, given.half)
        return ours(tower, batch, targets, initial, steps)

    few = given.steps or 10
    run(few)
    start = timed(partial(run, few), given.place)[0]
    more = given.steps or min(whole - few, max(10, int(given.seconds / start * few)))
    if given.on_gpu:
        torch.cuda.reset_peak_memory_stats()
    seconds, loss = timed(partial(run, few + more), given.place)
    memory = f"{torch.cuda.max_memory_allocated() / 2**30:6.2f} GiB" if given.on_gpu else "     –    "
    each = max(seconds - start, 1e-9) / more
    rate = batch / (start + each * (whole - few))
    print(
        f"  {way:15} batch {batch:5} {rate:9.2f} items/s {memory} {flops / each / peak:5.0%} of peak, "
        f"{1e3 * each:.2f} ms a step, loss after {few + more} steps {loss:.5f}",
        flush=True,
    )
    return rate


def ranking(given: argparse.Namespace) -> None:
    _ranked(round(10_000 * given.share), round(100_000 * given.share), 10_000, given)
    _ranked(round(50_000 * given.share), round(1_281_167 * given.share), given.cpu_queries, given)


def _ranked(n: int, m: int, asked: int, given: argparse.Namespace) -> None:
    """All on the GPU, and the first queries asked for on the CPU."""
    queries, gallery, *labels = clouds(n, m)
    retrieval_metrics(queries[:9], gallery[:9], labels[0][:9], labels[1][:9], device=given.device)
    if given.on_gpu:
        torch.cuda.reset_peak_memory_stats()
    whole = partial(retrieval_metrics, queries, gallery, *labels, device=given.device)
    seconds, table = timed(whole, given.place)
    memory = f"{torch.cuda.max_memory_allocated() / 2**30:.2f} GiB" if given.on_gpu else "–"
    some = partial(retrieval_metrics, queries[:asked], gallery, labels[0][:asked], labels[1])
    alone, wanted = timed(some, given.place)
    pd.testing.assert_frame_equal(table.head(len(wanted)), wanted, check_exact=True)
    print(
        f"ranking, {n} × {m} × {queries.shape[1]}: {seconds:.1f} s, {memory} of the GPU's memory; CPU, "
        f"{os.cpu_count()} cores, {len(wanted)} queries: {alone:.1f} s, {alone / len(wanted) * n / seconds:.1f} times "
        "as long a query; all columns equal",
        flush=True,
    )


def encoding(given: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        manifest_ = _photos(given.images, root)
        for model in given.models:
            for precision in ("fp32", "bf16"):
                _encoded(model, precision, manifest_, root, given)


def _photos(count: int, root: Path) -> pd.DataFrame:
    """Distinct JPEG files, 640 pixels at the longer side, cut from the photos a little differently each time."""
    originals = photos(min(count, 1000))

    def write(number: int) -> dict[str, str]:
        cut, image = number // len(originals), originals[number % len(originals)]
        image = image.crop((cut, cut, *image.size))
        image = image.resize(
            [round(side * COCO_SIDE / max(image.size)) for side in image.size], Image.BICUBIC
        )
        name = f"{number}.jpg"
        image.save(root / name, quality=90)
        digest = fingerprint.of_content((root / name).read_bytes())
        return {"id": name, "modality": "image", "path": name, "group": name, "digest": digest}

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return valid(list(pool.map(write, range(count))))


def _encoded(model: str, precision: str, files: pd.DataFrame, root: Path, given: argparse.Namespace) -> None:
    backbone = _loaded(model, given, precision)
    dataset = Plain([root / path for path in files["path"]], backbone.transform)
    decoding, batches = min(
        (timed(lambda: decode(dataset), given.place) for _ in range(2)), key=lambda it: it[0]
    )
    batch = torch.cat(batches[:4])  # of 256, as the stage's default

    def forward() -> None:
        for _ in range(0, len(files), len(batch)):
            backbone.encode_images(batch)

    def whole() -> None:
        with tempfile.TemporaryDirectory() as name:
            where = {"scratch": Path(name) / "scratch", "provenance": {}}
            encode(
                files,
                root,
                backbone,
                Path(name) / "n.zip",
                **where,
                batch_size=4 * BATCH,
                workers=os.cpu_count(),
            )

    backbone.encode_images(batch)
    passes = min(timed(forward, given.place)[0] for _ in range(2))
    seconds = min(timed(whole, given.place)[0] for _ in range(2))
    print(
        f"encoding, {model}, {precision}, {len(files)} photos of {COCO_SIDE} pixels, {os.cpu_count()} cores: "
        f"{len(files) / seconds:.0f} a second; decoding alone {len(files) / decoding:.0f} (share "
        f"{decoding / seconds:.2f}), forward alone {len(files) / passes:.0f} (the GPU works {passes / seconds:.0%} of "
        "the time)",
        flush=True,
    )


def precision(given: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        test = manifest.validate(world.write(root, 0, {"test": given.world}))
        test = manifest.select(test, "image", "test")
        exact = load_backbone(NANO)
        truth, tower = _features(exact, test, root), Oti().inject(exact)
        kinds = [("cpu", "fp32"), *((given.device, kind) for kind in ("fp32", "bf16", "fp16"))]
        first = None
        for device, kind in kinds:
            backbone = load_backbone(NANO, device=device, precision=kind)
            native = _features(backbone, test, root)
            for seed in range(given.seeds):
                found = oti(
                    native, backbone, given.oti_steps, ids=list(test["id"]), seed=seed, progress=False
                )
                first = first or found
                with torch.no_grad():
                    inverted = tower(torch.from_numpy(found.tokens))
                losses = 1 - torch.cosine_similarity(inverted, torch.from_numpy(truth))
                share = [_map(found.features, native, test[label]) for label in LABELS]
                print(
                    f"nano, {device} {kind}: features {_apart(native, truth):.1e} of their length away; OTI, seed "
                    f"{seed}, {len(test)} images, mean loss {found.losses.mean():.5f} (of its tokens in float32 "
                    f"{losses.mean():.5f}), an item's {np.abs(found.losses - first.losses).max():.1e} away at most; "
                    "mAP " + " ".join(f"{100 * one:.1f}" for one in share),
                    flush=True,
                )
    for model in given.models:
        backbone = _loaded(model, given, "fp32", "cpu")
        size = backbone.provenance["preprocessing"]["size"]
        side = size if isinstance(size, int) else size[0]
        pixels = torch.randn(64, 3, side, side, generator=torch.Generator().manual_seed(0))
        truth = backbone.encode_images(pixels).features.numpy()
        for kind in ("fp32", "bf16", "fp16"):
            features = _loaded(model, given, kind).encode_images(pixels).features.cpu().numpy()
            print(
                f"{model}, {given.device} {kind}: features {_apart(features, truth):.1e} of their length away",
                flush=True,
            )


def _features(backbone: Backbone, images: pd.DataFrame, root: Path) -> np.ndarray:
    from crossgap.encode import Images

    dataset = Images(images, root, backbone.transform)
    pixels = torch.stack([dataset[row] for row in range(len(images))])
    return np.concatenate([backbone.encode_images(part).features.cpu().numpy() for part in pixels.split(64)])


def _apart(found: np.ndarray, truth: np.ndarray) -> float:
    return float((np.linalg.norm(found - truth, axis=1) / np.linalg.norm(truth, axis=1)).max())


def _map(queries: np.ndarray, gallery: np.ndarray, labels: pd.Series) -> float:
    return retrieval_metrics(queries, gallery, labels, labels, exclude_self=True)["ap"].mean()


def _loaded(model: str, given: argparse.Namespace, precision: str, device: str | None = None) -> Backbone:
    """The same random weights each time, unless the model brings its own."""
    torch.manual_seed(0)
    return load_backbone(model, None, precision=precision).to(device or given.device)


PARTS: dict[str, Callable[[argparse.Namespace], None]] = {
    part.__name__: part for part in (inversion, ranking, encoding, precision)
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--part", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--models", nargs="+", default=["ViT-B-32", "ViT-L-14"])
    parser.add_argument("--device", default="cuda")
    parser.add_argument(
        "--seconds", type=float, default=3, help="of an inversion that is timed, at most its recipe"
    )
    parser.add_argument("--steps", type=int, help="of such an inversion, instead")
    parser.add_argument("--batch", type=int, help="in place of the size that is found")
    parser.add_argument("--matrix", type=int, help="side of the products that the peak is measured by")
    parser.add_argument("--share", type=float, default=1.0, help="of the sizes of rankings")
    parser.add_argument("--cpu-queries", type=int, default=500, help="that the CPU ranks at ImageNet's size")
    parser.add_argument("--images", type=int, default=4000, help="photos that are encoded")
    parser.add_argument("--world", type=int, default=150, help="images of the embedded world")
    parser.add_argument("--oti-steps", type=int, default=150, help="on the embedded world")
    parser.add_argument("--seeds", type=int, default=1, help="of these inversions")
    given = parser.parse_args()
    given.place = torch.device(given.device)
    given.on_gpu = given.place.type == "cuda"
    given.half = torch.float16 if given.on_gpu else torch.bfloat16
    warnings.simplefilter("ignore")
    where = torch.cuda.get_device_name() if given.on_gpu else "CPU"
    print(
        f"{where}, torch {torch.__version__}, CUDA {torch.version.cuda if given.on_gpu else '–'}", flush=True
    )
    for part in given.part:
        PARTS[part](given)


if __name__ == "__main__":
    main()
