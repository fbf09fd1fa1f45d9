"""Ranking: what a query costs with few, some and many judged items, and at ImageNet's size; two builds side by side.

Each build ranks in processes of its own, in turns; features are Gaussian about a mean a class and made there. Time is
that of `retrieval_metrics` on features and labels in memory, after a few queries, with torch loaded; the tables of
both builds are compared bit by bit.

python tests/benchmarks/ranking.py [--other PATH_OF_A_CHECKOUT] [--part few some many imagenet] [--rounds 3]
    [--queries 200] [--share 1.0]
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import psutil
from retrieval import clouds


class Part(NamedTuple):
    queries: int
    gallery: int
    classes: int


PARTS = {
    "few": Part(2_000, 50_000, 10_000),
    "some": Part(2_000, 50_000, 1_000),
    "many": Part(2_000, 50_000, 50),
    "imagenet": Part(50_000, 1_281_167, 1_000),
}


def once(part: Part, count: int, table: Path) -> None:
    """The first `count` queries, by the build that is imported: prints seconds and bytes, and writes the table."""
    import torch  # noqa: F401

    from crossgap.metrics.retrieval import retrieval_metrics

    queries, gallery, *labels = clouds(count, part.gallery, part.classes)
    retrieval_metrics(queries[:8], gallery, labels[0][:8], labels[1])
    before = psutil.Process().memory_info().rss
    start = time.perf_counter()
    found = retrieval_metrics(queries, gallery, *labels)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before
    found.to_pickle(table)
    print(seconds, peak)


def run(checkout: Path, name: str, share: float, count: int, table: Path) -> tuple[float, float]:
    command = [sys.executable, __file__, "--once", name, "--share", str(share), "--queries", str(count)]
    paths = [str(checkout), os.environ.get("PYTHONPATH", "")]
    done = subprocess.run(
        [*command, "--table", str(table)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        check=True,
        capture_output=True,
        text=True,
    )
    seconds, peak = map(float, done.stdout.split())
    return seconds, peak


def compare(name: str, part: Part, builds: dict[str, Path], share: float, count: int, rounds: int) -> None:
    print(
        f"{name}: {count} queries × {part.gallery} × 512, {part.gallery / part.classes:.0f} judged a query, "
        f"{os.cpu_count()} cores; {rounds} rounds"
    )
    with tempfile.TemporaryDirectory() as folder:
        tables = {build: Path(folder, build) for build in builds}
        runs = [
            {build: run(checkout, name, share, count, tables[build]) for build, checkout in builds.items()}
            for _ in range(rounds)
        ]
        found = [pd.read_pickle(table) for table in tables.values()]
    for build in builds:
        seconds, peaks = zip(*(one[build] for one in runs), strict=True)
        best = min(seconds) / count
        print(
            f"  {build:5} {1e3 * best:8.3f} ms a query, {part.queries} queries in {best * part.queries / 60:.1f} min; "
            f"peak memory beyond the features {max(peaks) / 2**30:.2f} GiB"
        )
    if len(builds) == 2:
        ratios = [one["other"][0] / one["this"][0] for one in runs]
        same = found[0].equals(found[1])
        print(
            f"  ratio {np.median(ratios):.2f} (round by round: {' '.join(f'{ratio:.2f}' for ratio in ratios)}), "
            f"tables {'equal' if same else 'DIFFERENT'}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--other", type=Path, help="a checkout of the build to compare with")
    parser.add_argument("--part", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--queries", type=int, default=200, help="at ImageNet's size")
    parser.add_argument("--share", type=float, default=1.0, help="of the sizes")
    parser.add_argument("--once", choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument("--table", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    parts = {
        name: Part(*(max(1, round(size * given.share)) for size in part)) for name, part in PARTS.items()
    }
    if given.once:
        once(parts[given.once], given.queries, given.table)
        return
    builds = {"this": Path(__file__).parents[2]} | ({"other": given.other.resolve()} if given.other else {})
    for name in given.part:
        count = min(given.queries, parts[name].queries) if name == "imagenet" else parts[name].queries
        compare(name, parts[name], builds, given.share, count, given.rounds)


if __name__ == "__main__":
    main()
