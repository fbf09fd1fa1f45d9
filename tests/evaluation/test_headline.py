"""The headline numbers of a cell, on tables that are worked out by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from crossgap.evaluation.comparisons import COLUMNS, too_few
from crossgap.evaluation.headline import headline
from crossgap.metrics.significance import holm

METRICS = {
    "gap/centroid_distance": 0.5,
    "gap/centroid_distance+centering": 0.1,
    "gap/uniformity_image": -2.0,
    "retrieval/image-image/colour/mAP": 0.2,
    "retrieval/image-image/shape/mAP": 0.5,
    "retrieval/image-image/shape/recall@1": 1.0,
    "retrieval/image-image+centering/shape/mAP": 0.9,
    "retrieval/oti-image/shape/mAP": 0.9,
    "retrieval/text-image/group/recall@1": 0.75,
    "mixed/search/0.25/recall@1": 0.1,
    "mixed/search/0.5/recall@1": 0.3,
}


def row(family: str, task: str, baseline: str, relevance: str, difference: float, p: float = 1.0) -> dict:
    named = {"family": family, "task": task, "baseline": baseline, "relevance": relevance}
    return {**dict.fromkeys(COLUMNS), **named, "difference": difference, "p": 0.0, "p_adjusted": p}


COMPARISONS = pd.DataFrame(
    [
        row("retrieval", "oti-image", "image-image", "colour", 0.3, 0.049),
        row("retrieval", "oti-image", "image-image", "shape", -0.2, 0.001),
        row("retrieval", "oti-image", "image-image", "size", -0.4, 0.05),
        row("retrieval", "oti-oti", "image-image", "size", 9.0),
        row("retrieval", "image-image+centering", "image-image", "colour", 0.1),
        row("retrieval", "image-image+centering", "image-image", "shape", 0.0),
        row("retrieval", "image-image+ridge", "image-image", "colour", 0.2),
        row("retrieval", "image-image+ridge", "image-image", "shape", -0.3),
        row("retrieval", "image-image+isoclip", "image-image", "shape", 0.8),
        row("mixed", "search+oti", "search", "0.5", 0.9),
        row("mixed", "search+oti.distilled.cosine.world", "search", "0.5", 0.9),
        row("mixed", "search+whitening", "search", "0.5", -0.1),
        row("mixed", "search+centering", "search", "0.25", 0.4),
    ]
)


def test_values() -> None:
    """Means over labellings; the best correction is one of those that were measured by most of them."""
    assert headline(METRICS, COMPARISONS) == {
        "gap": {"centroid_distance": 0.5},
        "image_retrieval": {
            "mAP": 0.35,
            "oti_gain": -0.1,
            "oti_better": 1,
            "oti_worse": 1,
            "best_correction": "centering",
            "best_gain": 0.05,
        },
        "text_to_image": {"recall@1": 0.75},
        "mixed_search": {"recall@1": 0.3, "best_correction": "whitening", "best_gain": -0.1},
    }


@pytest.mark.parametrize("metrics", [{}, METRICS])
def test_nothing_compared_is_nothing_said_of_gains(metrics) -> None:
    found = headline(metrics, pd.DataFrame(columns=COLUMNS))
    assert [name for numbers in found.values() for name in numbers if "gain" in name or "best" in name] == []
    assert bool(found) == bool(metrics)


def test_a_cell_that_has_everything_has_25_numbers() -> None:
    inverted = {"image-image": "oti-image", "text-text": "ovi-text"}
    metrics = {f"gap/{name}": 1.0 for name in ("centroid_distance", "linear_separability", "uniformity_text")}
    metrics |= {"gap/relative_modality_gap": 1.0, "mixed/search/0.5/recall@1": 1.0}
    metrics |= {f"classification/image-text/{labelling}/accuracy": 1.0 for labelling in "abc"}
    rows = [row("mixed", "search+ridge", "search", "0.5", 1.0)]
    for task in ("image-image", "text-text", "text-image", "image-text"):
        metrics |= {f"retrieval/{task}/{by}/{name}": 1.0 for by in "abc" for name in ("mAP", "recall@1")}
        rows += [
            row("retrieval", f"{task}+{name}", task, by, 1.0) for by in "abc" for name in ("pca", "ridge")
        ]
        rows += [row("retrieval", inverted[task], task, by, 1.0) for by in "abc" if task in inverted]
    for task in ("oti-text", "image-ovi", "image-text+ridge"):
        rows.append(row("classification", task, "image-text", "a", 1.0))
    found = headline(metrics, pd.DataFrame(rows))
    assert sum(map(len, found.values())) == 25


def test_what_has_no_query_with_a_match_counts_for_nothing() -> None:
    none = row("retrieval", "image-image+whitening", "image-image", "group", float("nan"))
    assert headline(METRICS, pd.DataFrame([*COMPARISONS.to_dict("records"), none])) == headline(
        METRICS, COMPARISONS
    )
    assert "best_gain" not in headline(METRICS, pd.DataFrame([none]))["image_retrieval"]


def test_a_control_on_a_subset_is_no_labelling() -> None:
    metrics = METRICS | {"retrieval/image-image/two-shapes/mAP": 0.99}
    control = row("retrieval", "oti-image", "image-image", "two-shapes", 5.0, 0.001)
    best = row("retrieval", "image-image+ridge", "image-image", "two-shapes", 5.0)
    comparisons = pd.DataFrame([*COMPARISONS.to_dict("records"), control, best])
    assert headline(metrics, comparisons, subsets=["two-shapes"]) == headline(METRICS, COMPARISONS)
    assert headline(metrics, comparisons) != headline(METRICS, COMPARISONS)


def test_of_landmarks_settings_medium_alone_counts() -> None:
    """Each of the others judges the same queries by a part of its right answers: papers report it as the mAP."""
    metrics = {
        f"retrieval/image-image/{of}/mAP": v for of, v in (("easy", 0.8), ("hard", 0.2), ("medium", 0.6))
    }
    rows = [
        row("retrieval", "oti-image", "image-image", of, v, 0.001)
        for of, v in (("easy", 0.1), ("hard", -0.2), ("medium", 0.05))
    ]
    found = headline(metrics, pd.DataFrame(rows))["image_retrieval"]
    assert found == {"mAP": 0.6, "oti_gain": 0.05, "oti_better": 1, "oti_worse": 0}
    two = {key: value for key, value in metrics.items() if "hard" not in key}
    assert headline(two, pd.DataFrame(rows[:1]))["image_retrieval"]["mAP"] == 0.7, "labellings of a user's"


@pytest.mark.parametrize("resamples", [19, 20, 99, 100, 999, 1000])
def test_too_few_resamples_are_those_by_which_not_even_the_smallest_p_is_significant(resamples) -> None:
    for comparisons in range(1, 60):
        smallest = holm(np.full(comparisons, 1 / (resamples + 1))).min()
        assert (too_few(comparisons, resamples) is None) == (smallest < 0.05)
