"""What the engine Ray costs a shard beside its computing: the way to a worker and back, and the driver's writing.

A shard has the arrays of the tower's width and makes no computing: 4,096 images of ViT-L/14 by default. The ways:
`local` makes its arrays in this process, `ray` on workers of a cluster of this machine, and both write the shard;
`arrive` only receives what workers send; `store` writes the done shards to the feature store's zip. Seconds a shard,
the least of the rounds; what that means for a large run is computed from them, not measured.

python tests/benchmarks/spread.py [--shards 16] [--rows 4096] [--dim 768] [--width 1024] [--workers 2] [--rounds 2]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from crossgap.stores import engines, shards, writing

IMAGES, GPUS, RATE = 10**9, 1000, 1000  # images a second of a GPU: an assumption


class Arrays:
    """What a shard of encoded images is made of, without the encoding."""

    def __init__(self, dim: int, width: int) -> None:
        self.widths = {"features": dim, "preprojection": width}

    def to(self, device: str) -> Arrays:
        return self

    def __call__(self, payload: list[str], advance: Callable[[int], None]) -> shards.Arrays:
        return {name: np.ones((len(payload), width), np.float32) for name, width in self.widths.items()}


def seconds(work: Callable[[Path], int], rounds: int) -> float:
    """A shard, the least of the rounds."""
    found = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            count = work(Path(folder))
            found.append((time.perf_counter() - start) / count)
    return min(found)


def main(words: Sequence[str] | None = None) -> dict[str, float]:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shards", type=int, default=16)
    parser.add_argument("--rows", type=int, default=4096)
    parser.add_argument("--dim", type=int, default=768)
    parser.add_argument("--width", type=int, default=1024)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=2)
    given = parser.parse_args(words)
    function, keys = Arrays(given.dim, given.width), [f"{n:032x}" for n in range(given.shards * given.rows)]
    cuts = [list(range(start, start + given.rows)) for start in range(0, len(keys), given.rows)]
    ray = engines.Ray(workers=given.workers)

    def read(cut: list[int]) -> list[str]:
        return [f"folder/{position}.jpg {keys[position]}" for position in cut]

    def written(engine: engines.Engine, folder: Path) -> int:
        work = engine.work(read, function)
        shards.compute(keys, work, folder, {}, size=given.rows)
        return given.shards

    def arrive(_folder: Path) -> int:
        results = ray.work(read, function)([cuts[0], *cuts], lambda items: None)
        next(results)
        return sum(1 for _ in results)

    def stored(folder: Path) -> float:
        done = shards.compute(keys, engines.Local().work(read, function), folder / "s", {}, size=given.rows)
        start = time.perf_counter()
        with writing.creating(folder / "store.zarr.zip", folder, {}) as writer:
            writer.add("image/test", {"id": np.array(keys, object)}, done.blocks(keys, writing.ROWS_A_SHARD))
        return (time.perf_counter() - start) / given.shards

    # workers can't import this file
    engines.require_ray().cloudpickle.register_pickle_by_value(sys.modules[Arrays.__module__])
    try:
        arrive(Path())  # starts the cluster
        found = {
            "local": seconds(partial(written, engines.Local()), given.rounds),
            "ray": seconds(partial(written, ray), given.rounds),
            "arrive": seconds(arrive, given.rounds),
        }
    finally:
        ray.close()
    with tempfile.TemporaryDirectory() as folder:
        found["store"] = stored(Path(folder))
    size = given.rows * 4 * (given.dim + given.width) / 1e6
    print(
        f"a shard of {given.rows} rows, {size:.1f} MB, {given.workers} workers, {given.shards} shards; seconds a shard"
    )
    print("  " + ", ".join(f"{name} {value:.4f}" for name, value in found.items()))
    driver = max(found["local"], found["arrive"])
    most = given.rows / driver
    print(
        f"  a driver takes up {most:.0f} images a second, as many as {most / RATE:.0f} GPUs give at {RATE} a second; "
        f"{IMAGES:.0e} images: {IMAGES / given.rows * driver / 3600:.1f} h of the driver, "
        f"{IMAGES / given.rows * found['store'] / 3600:.1f} h of writing the store, "
        f"{IMAGES / RATE / GPUS / 3600:.1f} h on {GPUS} GPUs"
    )
    return found


if __name__ == "__main__":
    main()
