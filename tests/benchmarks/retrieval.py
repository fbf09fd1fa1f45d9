"""Retrieval metrics against the loop over queries of Cross the Gap's code, which calls torchmetrics for each, on real
and on synthetic features; and time and memory at ImageNet's size.

The loop gets scores above zero (similarity + 2), as torchmetrics takes relevant items at or below it for irrelevant.
It computes in float32, where near similarities tie or swap; so the results are compared query by query on the order
of the exact similarities (as scores m … 1), and on the loop's own scores in the mean.

python tests/benchmarks/retrieval.py [--part real synthetic imagenet] [--slice 200] [--imagenet-queries 6544]
    [--share 1.0]
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import psutil

from crossgap.metrics.retrieval import retrieval_metrics
from crossgap.metrics.retrieval.counting import STEPS

AIRCRAFT = Path(__file__).parents[3] / "shared/real/clip-vit-b32/fgvc_aircraft.npz"
COLUMNS = ["ap", "ap_at_r", "r_precision", "recall@1"]
PARTS = ["real", "synthetic", "imagenet"]


def loop(scores, query_labels, gallery_labels, only_ap: bool = False) -> pd.DataFrame:
    """Per query, as the paper's code has it: AP, AP@R, R-precision, recall@1; or AP alone."""
    import torch
    from torchmetrics.functional.retrieval import (
        retrieval_average_precision,
        retrieval_hit_rate,
        retrieval_r_precision,
    )

    rows = []
    for row, label in zip(scores, query_labels, strict=True):
        target = gallery_labels == label
        ap = retrieval_average_precision(row, target)
        if only_ap:
            rows.append([ap])
            continue
        at_r = retrieval_average_precision(row, target, top_k=max(1, int(target.sum())))
        r_precision = retrieval_r_precision(row, target)
        # torchmetrics divides by the relevant items found, mAP@R by all.
        rows.append([ap, at_r * r_precision, r_precision, retrieval_hit_rate(row, target, top_k=1)])
    return pd.DataFrame(torch.tensor(rows).double().numpy(), columns=COLUMNS[: len(rows[0])])


def timed(work) -> tuple[float, pd.DataFrame]:
    start = time.perf_counter()
    found = work()
    return time.perf_counter() - start, found


def compare(name: str, queries, gallery, query_labels, gallery_labels, count: int, rounds: int) -> None:
    """Ours on all queries, the loop on the first `count`, similarities included on both sides; the
    best of the rounds."""
    import torch

    from crossgap.metrics.exact import exact_rows  # the clouds below serve older builds, too

    everything = queries, gallery, query_labels, gallery_labels
    labels = torch.from_numpy(query_labels[:count]), torch.from_numpy(gallery_labels)
    sides = [
        torch.nn.functional.normalize(torch.from_numpy(x).float(), dim=1) for x in (queries[:count], gallery)
    ]
    ways = {
        "crossgap, 11 columns": (len(queries), lambda: retrieval_metrics(*everything)),
        "loop, AP alone": (count, lambda: loop(sides[0] @ sides[1].T + 2, *labels, only_ap=True)),
        "loop, the paper's four": (count, lambda: loop(sides[0] @ sides[1].T + 2, *labels)),
    }
    runs = [{way: timed(work) for way, (_, work) in ways.items()} for _ in range(rounds)]
    threads = torch.get_num_threads()
    print(
        f"{name}: {len(queries)} × {len(gallery)}; the loop on {count} queries; {threads} threads, best of {rounds}"
    )
    seconds = {way: min(run[way][0] for run in runs) / size for way, (size, _) in ways.items()}
    for way, second in seconds.items():
        ratio = second / seconds["crossgap, 11 columns"]
        print(f"  {way:22} {1e3 * second:7.3f} ms a query, {ratio:5.1f} times crossgap's")
    table, found = (runs[0][way][1] for way in ("crossgap, 11 columns", "loop, the paper's four"))
    mine = table[COLUMNS].head(count)
    print(f"  means, loop on its float32 scores - crossgap: {(found - mine).mean().abs().max():.1e} at most")
    steps = np.rint((exact_rows(queries[:count]) * -STEPS) @ exact_rows(gallery).T)
    order = np.argsort(steps, axis=1, kind="stable")
    np.put_along_axis(steps, order, np.arange(len(gallery), 0, -1.0)[None], axis=1)
    difference = (loop(torch.from_numpy(steps), *labels) - mine).abs().max(axis=None)
    print(f"  query by query, loop on the exact order - crossgap: {difference:.1e} at most")


def real() -> None:
    if not AIRCRAFT.exists():
        print("real: ../shared/real is absent")
        return
    data = np.load(AIRCRAFT)
    names = ("test_features", "val_features", "test_labels", "val_labels")
    queries, gallery, *labels = (data[name] for name in names)
    compare("aircraft", queries, gallery, *labels, count=len(queries), rounds=3)


def clouds(n: int, m: int, classes: int = 1000, width: int = 512) -> list[np.ndarray]:
    """Gaussian features about a mean a class, float32, made in place, and their labels."""
    rng = np.random.default_rng(0)
    means = rng.standard_normal((classes, width), dtype=np.float32)
    labels = [rng.integers(0, classes, count) for count in (n, m)]
    features = [np.empty((count, width), np.float32) for count in (n, m)]
    for rows, codes in zip(features, labels, strict=True):
        for start in range(0, len(rows), 2**14):
            part = rows[start : start + 2**14]
            rng.standard_normal(out=part, dtype=np.float32)
            part += means[codes[start : start + 2**14]] / 3
    return [*features, *labels]


def synthetic(count: int, share: float) -> None:
    sizes = round(10_000 * share), round(100_000 * share)
    compare("synthetic", *clouds(*sizes), count=min(count, sizes[0]), rounds=2)


def imagenet(count: int, share: float) -> None:
    """The first `count` queries of 50,000; memory beyond the features, which are made before."""
    n = round(50_000 * share)
    count = min(count, n)
    queries, gallery, query_labels, gallery_labels = clouds(n, round(1_281_167 * share))
    before = psutil.Process().memory_info().rss
    seconds, table = timed(
        lambda: retrieval_metrics(queries[:count], gallery, query_labels[:count], gallery_labels)
    )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before
    print(f"ImageNet's size: {n} × {len(gallery)}, 1000 classes, width {gallery.shape[1]}")
    print(f"  {count} queries in {seconds:.0f} s, mAP {table['ap'].mean():.4f}; ", end="")
    print(f"all in {seconds * n / count / 60:.0f} min at that rate")
    print(
        f"  peak memory beyond the features {peak / 2**30:.2f} GiB (features {gallery.nbytes / 2**30:.2f} GiB)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--slice", type=int, default=200, help="queries of the loop on synthetic features")
    parser.add_argument(
        "--imagenet-queries", type=int, default=6544, help="a chunk of crossgap's at this size"
    )
    parser.add_argument("--share", type=float, default=1.0, help="of the sizes of synthetic and ImageNet")
    given = parser.parse_args()
    if len(given.part) > 1:  # each in a process of its own, for the sake of the peaks
        for part in given.part:
            subprocess.run([sys.executable, __file__, *sys.argv[1:], "--part", part], check=True)
    elif given.part == ["real"]:
        real()
    elif given.part == ["synthetic"]:
        synthetic(given.slice, given.share)
    else:
        imagenet(given.imagenet_queries, given.share)


if __name__ == "__main__":
    main()
