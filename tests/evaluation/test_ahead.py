"""Parts computed by an engine's workers: those that this process would compute, no other, with the same bytes."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from crossgap import open_store
from crossgap.errors import CrossgapError
from crossgap.evaluation import Cell, evaluate
from crossgap.evaluation.ahead import _Parts, compute
from crossgap.evaluation.corrections import Rivals
from crossgap.evaluation.parts import Parts
from crossgap.evaluation.queries import tables
from crossgap.evaluation.work import Work
from crossgap.metrics.retrieval.changed import changed_ranks
from crossgap.stores import digested
from crossgap.stores.engines import EngineError, Local
from tests.evaluation.test_parts import SETTINGS, cell, first, names, written
from tests.stores.test_spread import cluster, killing

__all__ = ["cell", "cluster", "first"]


def test_all_parts_and_no_other_are_there_before_the_evaluation_takes_them(
    cell, first, tmp_path, monkeypatch
) -> None:
    whole, expected = first

    def refuse(*_):
        raise AssertionError("computed by the evaluation itself")

    monkeypatch.setattr(Parts, "lacking", refuse)
    found = evaluate(cell, **SETTINGS, scratch=tmp_path, engine=Local())
    assert written(found) == written(expected)
    assert {name: (tmp_path / name).read_bytes() for name in names(tmp_path)} == {
        name: (whole / name).read_bytes() for name in names(whole)
    }


class ByStrangers(Local):
    """A worker a part of the curves of changes, which knows nothing of the others."""

    def work(self, read, function):
        def work(cuts, advance):
            for cut in cuts:
                alone = read(cut).startswith(("shift", "dimensions"))
                yield (replace(function, _missing={}) if alone else function)(read(cut), advance)

        return work


def test_one_product_gives_a_task_at_all_points_of_a_curve_whoever_computes_the_parts(
    cell, first, tmp_path, monkeypatch
) -> None:
    products = []

    def counted(*given):
        products.append(given)
        return changed_ranks(*given)

    monkeypatch.setattr("crossgap.evaluation.changes.changed_ranks", counted)
    evaluate(cell, **SETTINGS, scratch=tmp_path, engine=ByStrangers())
    assert names(tmp_path) == names(first[0])
    assert len(products) == 4, "of two curves, texts ask for images and images for texts"


def test_parts_that_lack_or_are_damaged_are_computed_again(cell, first, tmp_path) -> None:
    whole, expected = first
    for number, name in enumerate(sorted(names(whole))):
        if number % 4:
            (tmp_path / name).write_bytes((whole / name).read_bytes())
    damaged = next(path for path in sorted(tmp_path.glob("retrieval-*.part")))
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"?")
    with pytest.warns(UserWarning, match="damaged"):
        found = evaluate(cell, **SETTINGS, scratch=tmp_path, engine=Local())
    assert written(found) == written(expected)
    assert damaged.read_bytes() == (whole / damaged.name).read_bytes()


def test_a_worker_waits_for_what_another_machine_wrote_and_then_leaves_the_part(
    cell, first, tmp_path, monkeypatch
) -> None:
    """As on a network file system: what was written shows a second later, or never."""
    whole, _ = first
    name = next(name for name in sorted(names(whole)) if name.startswith("retrieval-image-image+centering"))
    fits = next(name for name in names(whole) if name.startswith("corrections-centering"))
    parts = _Parts(partial(_tables_alone, cell, ["centering"]), Path.cwd(), tmp_path, "cpu")
    monkeypatch.setattr("crossgap.evaluation.ahead.LAG", 0)
    assert not len(parts(name, lambda items: None)["content"])
    monkeypatch.setattr("crossgap.evaluation.ahead.LAG", 60)
    waits = []

    def show(seconds):
        waits.append(seconds)
        (tmp_path / fits).write_bytes((whole / fits).read_bytes())

    monkeypatch.setattr("crossgap.evaluation.ahead.time.sleep", show)
    assert parts(name, lambda items: None)["content"].tobytes() == digested.read(whole / name)
    assert len(waits) == 1


def test_a_part_that_a_worker_leaves_is_computed_by_the_evaluation(
    cell, first, tmp_path, monkeypatch
) -> None:
    compute_it = _Parts.__call__

    def leave_some(parts, name, advance):
        return (
            {"content": np.empty(0, np.uint8)} if name.startswith("gap") else compute_it(parts, name, advance)
        )

    monkeypatch.setattr(_Parts, "__call__", leave_some)
    assert written(evaluate(cell, **SETTINGS, scratch=tmp_path, engine=Local())) == written(first[1])


def test_what_one_part_raises_comes_out_and_the_parts_before_it_are_kept(cell, tmp_path, monkeypatch) -> None:
    def fail(*_, **__):
        raise ZeroDivisionError("a mistake of ours")

    monkeypatch.setattr("crossgap.evaluation.clusters.clustering_metrics", fail)
    with pytest.raises(ZeroDivisionError):
        evaluate(cell, **SETTINGS, scratch=tmp_path, engine=Local())
    assert len(names(tmp_path)) > 5


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"engine": Local()}, "engine needs scratch"),
        ({"engine": "ray", "scratch": "parts"}, "engine is 'ray'"),
    ],
)
def test_an_engine_that_can_not_be_used_is_told(cell: Cell, given, said) -> None:
    with pytest.raises(CrossgapError, match=said):
        evaluate(cell, **given)


def test_a_machine_without_the_project_is_told(tmp_path: Path) -> None:
    function = _Parts(lambda parts, device: None, tmp_path / "elsewhere", Path("scratch"), "cpu")
    with pytest.raises(EngineError, match=r"finds no .*elsewhere/scratch"):
        function.to("cpu")


def test_a_worker_in_another_folder_reads_the_paths_of_the_driver(cell, first, tmp_path, monkeypatch) -> None:
    cloudpickle = pytest.importorskip("ray").cloudpickle
    project = cell.native.path.parent
    monkeypatch.chdir(project)
    stores = {name: open_store(getattr(cell, name).path.name) for name in ("native", "oti")}
    relative = Cell(*stores.values(), None, "test", "test")
    sent = []

    class Sending:
        def work(self, read, function):
            sent.append(cloudpickle.dumps(function))
            return Local().work(read, function)

    kept = tmp_path / "kept"
    kept.mkdir()
    compute(partial(_tables_alone, relative, []), kept, Sending())
    monkeypatch.chdir(tmp_path)
    worker = cloudpickle.loads(sent[0]).to("cpu")
    assert Path.cwd() == project
    name = next(name for name in sorted(names(kept)) if name.startswith("retrieval-image-image"))
    whole = digested.read(kept / name)
    (kept / name).unlink()
    assert worker(name, lambda items: None)["content"].tobytes() == whole


def _tables_alone(cell, corrections, parts, device) -> None:
    work = Work(cell, parts, device=device)
    tables(work, Rivals(work, corrections))


@pytest.mark.slow
def test_a_node_killed_while_it_evaluates_loses_nothing(cell, first, cluster, tmp_path, monkeypatch) -> None:
    engine, made, died = killing(cluster, monkeypatch, digested, "write", lambda path, _content: path.name)
    whole, expected = first
    found = evaluate(cell, **SETTINGS, scratch=tmp_path, engine=engine)
    assert died
    assert len(made) == len(set(made))
    assert names(tmp_path) == {*made, "used.json"} == names(whole)
    assert written(found) == written(expected)
