"""Inversions of one code and one recipe enter one mean; others are named."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from crossgap.evaluation import Cell, evaluate
from crossgap.evaluation.cell import EvaluationError
from crossgap.evaluation.inversions import alike
from tests.evaluation.small import TEST, inverted, write

SETTINGS = {"resamples": 19, "shots": (), "corrections": []}


@pytest.fixture
def made(tmp_path):
    def made(name: str, seed: int = 0, code: str | None = "new", tokens: int = 1, **recipe):
        """An inversion's store; its features follow from the seed."""
        plain = inverted(tmp_path / f"plain-{name}.zip", seed)
        group = plain["image/test"]
        columns = {"id": TEST["id"], "features": group.features, "loss": group.losses}
        provenance = {
            "fingerprint": name,
            "inverts": "native",
            "method": {"name": "oti", "tokens": tokens},
            "recipe": {"steps": 20, "lr": 0.02, "seed": seed} | recipe,
        }
        provenance |= {} if code is None else {"code": code}
        return write(tmp_path / f"{name}.zarr.zip", {"image/test": columns}, provenance)

    return made


def means(found) -> dict[int, float]:
    return found.seeds.query("relevance == 'shape'").set_index("seed")["mAP"].to_dict()


def why(found) -> dict[str, str]:
    return found.unavailable.query("family == 'inversion'").set_index("name")["reason"].to_dict()


def test_seeds_of_other_code_or_another_recipe_are_no_part_of_the_mean(native, made) -> None:
    stores = {
        "main": made("oti"),
        1: made("oti-seed-1", 1),
        2: made("oti-seed-2", 2, code="old"),
        3: made("oti-seed-3", 3, lr=0.5),
        4: made("oti-seed-4", 4, code=None),
    }
    seeds = [stores[seed] for seed in (1, 2, 3, 4)]
    found = evaluate(Cell(native, stores["main"], None, "test", "test", seeds=seeds), **SETTINGS)
    assert set(means(found)) == {0, 1}
    alone = evaluate(Cell(native, stores["main"], None, "test", "test", seeds=seeds[:1]), **SETTINGS)
    for name in ("seeds/oti-image/shape/mAP_mean", "seeds/oti-image/shape/mAP_std"):
        assert found.metrics[name] == alone.metrics[name]
    assert why(found) == {
        "oti-seed-2": "made by other code than oti, with which it would be measured: run its stage again",
        "oti-seed-3": "made with lr 0.5, and oti, with which it would be measured, with 0.02: run its stage again",
        "oti-seed-4": "made by other code than oti, with which it would be measured: run its stage again",
    }
    assert not why(alone)


def test_without_a_main_inversion_the_first_by_name_is_what_the_others_are_like(native, made) -> None:
    old, new, other = made("oti-seed-1", 1, "old"), made("oti-seed-2", 2), made("oti-seed-3", 3, "old")
    for seeds in ([new, other, old], [old, new, other]):
        found = evaluate(Cell(native, None, None, "test", "test", seeds=seeds), **SETTINGS)
        assert set(means(found)) == {1, 3}
        assert list(why(found)) == ["oti-seed-2"]


def test_a_sweep_may_differ_in_its_tokens_and_in_what_it_keeps_alone(native, made) -> None:
    sweep = [
        made("oti-2", tokens=2),
        made("oti-4", tokens=4, code="old"),
        made("oti-8", tokens=8, steps=9),
        made("oti-3", tokens=3, snapshots=[5, 10]),
    ]
    found = evaluate(Cell(native, made("oti"), None, "test", "test", sweep=sweep), **SETTINGS)
    assert set(found.curves["tokens"]) == {1, 2, 3}
    assert set(why(found)) == {"oti-4", "oti-8"}


def test_items_that_a_left_out_inversion_set_aside_stay(native, made, tmp_path) -> None:
    provenance = {
        "inverts": "native", "fingerprint": "x", "code": "old", "method": {"name": "oti", "tokens": 1},
        "recipe": {"steps": 20, "lr": 0.02, "seed": 1}, "set_aside": {"image/test": TEST["id"][:3]},
    }  # fmt: skip
    columns = {"id": TEST["id"][3:], "features": TEST["features"][3:], "loss": [0.1] * (len(TEST["id"]) - 3)}
    old = write(tmp_path / "oti-seed-1.zip", {"image/test": columns}, provenance)
    found = evaluate(Cell(native, made("oti"), None, "test", "test", seeds=[old]), **SETTINGS)
    assert (found.queries["task"] == "image-image").sum() == 2 * len(TEST["id"])
    assert found.set_aside.empty


def test_what_was_not_applicable_says_so(native, tmp_path) -> None:
    empty = write(tmp_path / "oti.zarr.zip", {}, {"not_applicable": "an image-only backbone"})
    found = evaluate(Cell(native, empty, None, "test", "test"), **SETTINGS)
    assert why(found) == {"oti": "an image-only backbone"}
    assert "retrieval/image-image/shape/mAP" in found.metrics
    assert not [name for name in found.metrics if "oti" in name]


@pytest.fixture
def by_phi(tmp_path):
    def by_phi(
        loss: str, steps: int, *, source: str = "world", split: str = "train", features: str = "other"
    ):
        """An inversion by φ; its features follow from the steps."""
        last, first = (
            inverted(tmp_path / f"plain-{loss}-{seed}.zip", seed)["image/test"] for seed in (steps + 7, 99)
        )
        columns = {"id": TEST["id"], "features": last.features, "loss": last.losses}
        if steps:
            columns |= {
                "step": [0], "snapshots": first.features[:, None], "snapshot_loss": first.losses[:, None] + 1,
            }  # fmt: skip
        on = {"dataset": source, "split": split, "features": features}
        provenance = {
            "fingerprint": loss, "inverts": "native", "method": {"name": "oti", "tokens": 1}, "code": "new",
            "recipe": {"steps": steps, "lr": 0.02}, "start": {"digest": "x", "loss": loss, "on": on},
        }  # fmt: skip
        return write(tmp_path / f"oti-{loss}-{source}.zarr.zip", {"image/test": columns}, provenance)

    return by_phi


def test_what_phi_makes_stands_beside_oti_as_rows_of_their_own(native, made, by_phi) -> None:
    main, alone, warm = made("oti"), by_phi("cosine", 0), by_phi("searle", 25)
    found = evaluate(Cell(native, main, None, "test", "test", distilled=[alone, warm]), **SETTINGS)
    tasks = ["oti.distilled.cosine.world", "oti.distilled.searle.world", "oti.warm.searle.world"]
    values = {task: found.metrics[f"retrieval/{task}-image/shape/mAP"] for task in tasks}
    assert len(set(values.values())) == 3
    for store, step, task in ((alone, None, tasks[0]), (warm, 0, tasks[1]), (warm, None, tasks[2])):
        # the same features as a main inversion have the same numbers
        group = store["image/test"]
        features = group.features if step is None else group.snapshot(step)
        columns = {"id": TEST["id"], "features": features, "loss": group.losses}
        same = write(store.path.with_name(f"{task}.zip"), {"image/test": columns}, main.provenance)
        wanted = evaluate(Cell(native, same, None, "test", "test"), **SETTINGS)
        assert values[task] == wanted.metrics["retrieval/oti-image/shape/mAP"]
    losses = [found.metrics[f"inversion/{task}/loss"] for task in tasks]
    assert losses[1] > losses[2]
    rows = found.comparisons[found.comparisons["task"].isin([f"{task}-image" for task in ["oti", *tasks]])]
    assert set(rows["baseline"]) == {"image-image"} and rows["task"].nunique() == 4
    assert set(found.curves.query("task == 'oti.warm.searle.world-image'")["step"]) == {0, 25}
    assert "oti.distilled.cosine.world-image" not in set(found.curves["task"])
    without = evaluate(Cell(native, main, None, "test", "test"), **SETTINGS)
    assert without.metrics.items() <= found.metrics.items()


def test_a_phi_that_has_seen_the_queries_is_refused(native, by_phi) -> None:
    fingerprint = native.provenance["fingerprint"]
    by_phi_of = by_phi("cosine", 0, split="test", features=fingerprint)
    with pytest.raises(
        EvaluationError, match="distilled on the split of the queries, 'test': distil it on another"
    ):
        Cell(native, None, None, "test", "test", distilled=[by_phi_of])
    of_another_split = by_phi("tokens", 0, split="train", features=fingerprint)
    Cell(native, None, None, "test", "test", distilled=[of_another_split])


def test_inversions_in_another_template_are_not_alike() -> None:
    def store(name: str, template: str, seed: int) -> SimpleNamespace:
        method = {"name": "oti", "tokens": 1, "template": template}
        return SimpleNamespace(
            path=Path(f"{name}.zip"), provenance={"method": method, "recipe": {"seed": seed}}
        )

    one, same, other = store("oti", "a {}", 0), store("oti-1", "a {}", 1), store("oti-2", "the {}", 2)
    held, left_out = alike([same, other], one, "seed")
    assert held == [same] and set(left_out) == {"oti-2"} and "made with template the {}" in left_out["oti-2"]
