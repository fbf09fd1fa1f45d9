"""How fast this machine evaluates: a few operations of an evaluation, by crossgap's own code, on features of noise.

As a process, `python -m crossgap.planning.rates` reads widths from its input as JSON and writes `Rates` for each, with
what it took to start.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

from crossgap.planning.probe import in_a_process, started_at

ROWS, CLASSES, RESAMPLES = 1000, 25, 200


@dataclass(frozen=True)
class Rates:
    """Seconds at one width of features.

    Attributes:
        start: from the start of a process until its first measurement.
        task: what a retrieval costs with next to no items.
        pair: to rank one item for one query.
        row: to read one item and find the nearest of a few class means.
        drawn: to draw a few images of each class, divided by the number of images drawn from.
        corrected: to correct one item.
        fit: to fit a correction.
        similar: to sort the similarity of one pair into a histogram.
        resample: to resample one query once, in a bootstrap and in a permutation test.
        cluster: to cluster, divided by items and by clusters.
        gda: to fit one discriminant analysis.
        logistic: to fit a logistic regression, divided by items and by classes.
    """

    start: float
    task: float
    pair: float
    row: float
    drawn: float
    corrected: float
    fit: float
    similar: float
    resample: float
    cluster: float
    gda: float
    logistic: float


def probe(widths: list[int]) -> dict[int, Rates]:
    """Measure in a process of its own, a second or two a width.

    Raises:
        ProbeError: it ended by an error or a signal.
    """
    found = in_a_process(__name__, widths)
    return {int(width): Rates(**held) for width, held in found.items()}


def measure(width: int, start: float = 0.0, clock: Callable[[], float] = time.perf_counter) -> Rates:
    """Measure in this process, by a clock in seconds."""
    import numpy as np

    from crossgap import corrections
    from crossgap.corrections import Material
    from crossgap.evaluation.clusters import RESTARTS
    from crossgap.metrics import classification, probes, retrieval, significance
    from crossgap.metrics.clustering import clustering_metrics
    from crossgap.metrics.gap.similarities import similarities

    rng = np.random.default_rng(0)
    codes = np.arange(ROWS) % CLASSES
    centres = rng.normal(size=(CLASSES, width))
    x = (centres[codes] + 2 * rng.normal(size=(ROWS, width))).astype(np.float32)
    labels = codes.astype(str).astype(object)
    ids = np.arange(ROWS).astype(str).astype(object)
    few, none, some = slice(0, 2 * CLASSES), slice(0, 8), slice(0, 4 * CLASSES)

    def ranked(some: slice) -> None:
        retrieval.retrieval_metrics(x[some], x[some], labels[some], labels[some])

    def classified(some: slice) -> None:
        means, classes = classification.class_prototypes(x[few], labels[few])
        classification.zero_shot(x[some], labels[some], means, classes)

    fitted = corrections.fitted(Material(images=x, texts=x), ["whitening"])[0]["whitening"]
    work = {
        "task": lambda: ranked(none),
        "pair": lambda: ranked(slice(None)),
        "row": lambda: classified(slice(None)),
        "few": lambda: classified(none),
        "drawn": lambda: classification.few_shot(labels, ids, 4),
        "corrected": lambda: fitted.apply(x.astype(np.float64), "image"),
        "fit": lambda: corrections.fitted(Material(images=x, texts=x), ["whitening"]),
        "similar": lambda: similarities(x, x, codes, codes, None),
        "resample": lambda: significance.paired(x[:, : min(8, width)], resamples=RESAMPLES),
        "cluster": lambda: clustering_metrics(x, labels, restarts=RESTARTS),
        "gda": lambda: probes.gda(x[some], labels[some]),
        "logistic": lambda: probes.logistic(x[some], labels[some], 10.0),
    }
    took = {name: _median(each, clock) for name, each in work.items()}
    pairs = ROWS * ROWS
    return Rates(
        start=start,
        task=took["task"],
        pair=max(took["pair"] - took["task"], 0) / pairs,
        row=max(took["row"] - took["few"], 0) / ROWS,
        drawn=took["drawn"] / ROWS,
        corrected=took["corrected"] / ROWS,
        fit=took["fit"],
        similar=took["similar"] / pairs,
        resample=took["resample"] / (RESAMPLES * ROWS),
        cluster=took["cluster"] / (ROWS * CLASSES),
        gda=took["gda"],
        logistic=took["logistic"] / (4 * CLASSES * CLASSES),
    )


def _median(work: Callable[[], object], clock: Callable[[], float]) -> float:
    """The median of three measurements, after one that is dropped since it does what is done only once."""
    work()
    took = []
    for _ in range(3):
        start = clock()
        work()
        took.append(clock() - start)
    return sorted(took)[1]


def main() -> None:
    import crossgap.evaluation
    import crossgap.stores.store  # noqa: F401

    start = time.monotonic() - started_at()
    print(json.dumps({width: asdict(measure(width, start)) for width in json.load(sys.stdin)}))


if __name__ == "__main__":
    main()
