"""Seconds and memory of `evaluate`, on made-up features: a cell of COCO's size (5,000 images with five captions each),
and images by label beside the sum of the rankings that stand in their tables. With --workers the same by so many
workers of Ray on this machine, beside it. With --families those measures alone.

python tests/benchmarks/evaluate.py [--part captions labels] [--share 1.0] [--width 512] [--families retrieval]
    [--tables FOLDER] [--workers 2]
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "16")  # as the stage does

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from crossgap import numbers
from crossgap.evaluation import Cell, evaluate
from crossgap.evaluation.options import FAMILIES
from crossgap.machine import keep_freed_memory
from crossgap.metrics.retrieval import retrieval_metrics
from crossgap.stores.engines import Ray
from crossgap.stores.store import creating, open_store


def captioned(images: int, width: int) -> dict[str, dict]:
    """Groups of a store: images about a mean of theirs, five captions about each of them and a mean of the texts."""
    rng = np.random.default_rng(0)
    means = 2 * rng.standard_normal((2, width), dtype=np.float32)
    features = means[0] + rng.standard_normal((images, width), dtype=np.float32)
    ids = np.array([f"i{n}" for n in range(images)], object)
    texts = np.repeat(features, 5, axis=0) + rng.standard_normal((5 * images, width), dtype=np.float32)
    texts += means[1] - means[0]
    return {
        "image/test": {"id": ids, "group": ids, "rank": np.zeros(images, np.int64), "features": features},
        "text/test": {
            "id": np.array([f"{one}#{rank}" for one in ids for rank in range(5)], object),
            "group": np.repeat(ids, 5),
            "rank": np.tile(np.arange(5), images),
            "features": texts,
        },
    }


def labelled(images: int, width: int) -> dict[str, dict]:
    """Queries and a gallery of so many images each, of up to 1000 classes."""
    rng = np.random.default_rng(0)
    means = rng.standard_normal((max(2, min(1000, images // 50)), width), dtype=np.float32)
    groups = {}
    for split in ("query", "gallery"):
        codes = rng.integers(0, len(means), images)
        features = rng.standard_normal((images, width), dtype=np.float32)
        features += means[codes] / 3
        groups[f"image/{split}"] = {
            "id": np.array([f"{split}{n}" for n in range(images)], object),
            "label.class": np.array([f"c{code}" for code in codes], object),
            "features": features,
        }
    return groups


def written(groups: dict[str, dict], folder: Path):
    path = folder / "native.zarr.zip"
    with creating(path, folder / "scratch", {"fingerprint": "native"}) as writer:
        for name, columns in groups.items():
            features = columns.pop("features")
            writer.add(name, columns, [{"features": features}])
    return open_store(path)


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 2**30


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", nargs="+", choices=["captions", "labels"], default=["captions"])
    parser.add_argument("--share", type=float, default=1.0, help="of the 5,000 or 50,000 images")
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument(
        "--families", nargs="+", choices=FAMILIES, help="that are measured; all, if not given"
    )
    parser.add_argument("--workers", type=int, help="of Ray, for the same evaluation once more")
    parser.add_argument("--tables", type=Path, help="a folder for the numbers, metrics-PART.csv")
    given = parser.parse_args()
    keep_freed_memory()  # as the stage does
    for part in given.part:
        count = round((5_000 if part == "captions" else 50_000) * given.share)
        with tempfile.TemporaryDirectory() as folder:
            made = (captioned if part == "captions" else labelled)(count, given.width)
            store = written(made, Path(folder))
            del made
            splits = ("test", "test") if part == "captions" else ("query", "gallery")
            before, start = peak(), time.perf_counter()
            found = evaluate(Cell(store, None, None, *splits), families=given.families)
            seconds = time.perf_counter() - start
            print(f"evaluate, {part}: {count} images, width {given.width}: {seconds:.1f} s, ", end="")
            print(f"{len(found.metrics)} numbers; peak memory {peak():.2f} GiB, before {before:.2f}")
            if given.workers:
                engine = Ray(workers=given.workers)
                start = time.perf_counter()
                spread = evaluate(
                    Cell(store, None, None, *splits),
                    families=given.families,
                    scratch=Path(folder) / "spread",
                    engine=engine,
                )
                took = time.perf_counter() - start
                engine.close()
                pd.testing.assert_frame_equal(found.queries, spread.queries)
                print(
                    f"  by {given.workers} workers of Ray: {took:.1f} s, {seconds / took:.2f} times as fast"
                )
            if given.tables:
                given.tables.mkdir(parents=True, exist_ok=True)
                numbers.write(given.tables / f"metrics-{part}.csv", found.metrics)
            if part == "labels":
                items = [store[f"image/{split}"] for split in splits]
                start = time.perf_counter()
                retrieval_metrics(*(one.features for one in items), *(one.labels["class"] for one in items))
                one = time.perf_counter() - start
                rankings = found.queries.drop_duplicates(["task", "relevance"])
                print(f"  {len(rankings)} rankings of {one:.1f} s each: ", end="")
                print(f"evaluate takes {seconds / (one * len(rankings)):.2f} times their sum")


if __name__ == "__main__":
    main()
