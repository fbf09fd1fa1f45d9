"""Parts of an evaluation: what is taken back is what would be computed, and nothing else is computed."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import crossgap
from crossgap import corrections
from crossgap.errors import UnavailableError
from crossgap.evaluation import Cell, Evaluation, evaluate
from crossgap.evaluation.parts import Parts
from crossgap.evaluation.unavailable import Reasons
from crossgap.stores import store
from tests.evaluation.small import groups, inverted, write

FEW = ["centering", "ridge"]
SETTINGS = {"resamples": 99, "shots": (1, 2), "draws": 2, "clouds": 20, "corrections": FEW}
CSV = (
    "comparisons", "corrections", "similarities", "histograms", "seeds", "shifts", "spectrum", "mixed", "arithmetic",
    "clouds", "curves", "unavailable", "set_aside",
)  # fmt: skip
PARQUET = ("queries", "predictions", "steps")


@pytest.fixture(scope="module")
def cell(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cell")
    native = write(folder / "native.zip", groups())
    oti, seed = inverted(folder / "oti.zip"), inverted(folder / "oti-seed-1.zip", 1)
    subsets, asked = {"warm": {"colour": ["red", "green"]}}, {"colour": "shape"}
    return Cell(
        native, oti, None, "test", "test", seeds=[seed], support="train", subsets=subsets, arithmetic=asked
    )


@pytest.fixture(scope="module")
def first(cell, tmp_path_factory) -> tuple[Path, Evaluation]:
    """Where the first evaluation kept its parts, and what it found."""
    folder = tmp_path_factory.mktemp("first") / "parts"
    return folder, evaluate(cell, **SETTINGS, scratch=folder)


@pytest.fixture
def scratch(first, tmp_path) -> Path:
    """A folder that holds the parts of the first evaluation."""
    return shutil.copytree(first[0], tmp_path / "parts")


def written(found: Evaluation) -> dict[str, bytes]:
    """The bytes of every output."""
    outputs = {"metrics": json.dumps(found.metrics, indent=1).encode()}
    outputs |= {name: getattr(found, name).to_csv(index=False).encode() for name in CSV}
    for name in PARQUET:
        held = io.BytesIO()
        getattr(found, name).to_parquet(held, index=False)
        outputs[name] = held.getvalue()
    return outputs


def names(scratch: Path) -> set[str]:
    return {path.name for path in scratch.iterdir()}


def anew(cell: Cell, scratch: Path, **changed) -> tuple[set[str], Evaluation]:
    """The parts that a changed setting computes, without their keys, and what was found."""
    before = names(scratch)
    found = evaluate(cell, **(SETTINGS | changed), scratch=scratch)
    return {name.rpartition("-")[0] for name in names(scratch) - before}, found


def test_results_have_the_same_bytes_kept_taken_back_or_neither(cell, first, scratch, monkeypatch) -> None:
    expected = written(evaluate(cell, **SETTINGS))
    assert written(first[1]) == expected
    held = names(scratch)

    def refuse(*_, **__):
        raise AssertionError("computed again")

    for module, name in (
        ("crossgap.metrics.retrieval", "retrieval_metrics"),
        ("crossgap.metrics.classification", "zero_shot"),
        ("crossgap.metrics.probes", "gda"),
        ("crossgap.metrics.probes", "nearest_labels"),
        ("crossgap.metrics.probes", "logistic"),
        ("crossgap.evaluation.clusters", "clustering_metrics"),
        ("crossgap.evaluation.similarities", "similarities"),
        ("crossgap.metrics.significance", "paired"),
        ("crossgap.metrics.arithmetic", "nearest"),
        ("crossgap.evaluation.gap", "unit_rows"),
        ("crossgap.evaluation.shifts", "gap_vector"),
        ("crossgap.corrections", "fitted"),
    ):
        monkeypatch.setattr(f"{module}.{name}", refuse)
    again = Cell(
        crossgap.open_store(cell.native.path), crossgap.open_store(cell.oti.path), None, "test", "test",
        seeds=[crossgap.open_store(cell.seeds[0].path)], support="train", subsets=cell.subsets,
        arithmetic=cell.arithmetic,
    )  # fmt: skip
    assert written(evaluate(again, **SETTINGS, scratch=scratch)) == expected
    assert names(scratch) == held


def test_no_features_are_read_where_all_parts_are_kept(cell, scratch, monkeypatch) -> None:
    again = Cell(crossgap.open_store(cell.native.path), None, None, "test", "test", support="train")
    evaluate(again, **SETTINGS, scratch=scratch)
    read = store.Group.__getitem__

    def names_alone(group, array):
        assert array not in ("features", "preprojection"), "features were read"
        return read(group, array)

    monkeypatch.setattr(store.Group, "__getitem__", names_alone)
    evaluate(
        Cell(crossgap.open_store(cell.native.path), None, None, "test", "test", support="train"),
        **SETTINGS,
        scratch=scratch,
    )


@pytest.mark.parametrize(
    ("changed", "families"),
    [
        ({"clouds": 10}, {"clouds"}),
        ({"shots": (1, 2, 3)}, {"classification", "comparisons"}),
        ({"draws": 3}, {"classification", "comparisons"}),
        ({"resamples": 199}, {"comparisons", "arithmetic"}),
        (
            {"seed": 1},
            {
                "mixed",
                "classification",
                "clustering",
                "comparisons",
                "arithmetic",
                "gap",
                "robustness",
                "looked",
            },
        ),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_setting_computes_the_parts_that_use_it(cell, scratch, changed, families) -> None:
    made, found = anew(cell, scratch, **changed)
    assert {name.partition("-")[0] for name in made} == families
    assert written(found) == written(evaluate(cell, **(SETTINGS | changed)))
    if "shots" in changed:
        assert all("3" in name for name in made if name.startswith("classification"))
    if "draws" in changed:
        assert all("-shot" in name for name in made if name.startswith("classification"))
    if "seed" in changed:
        assert not [
            name for name in made if name.startswith(("classification-support", "classification-first"))
        ]
        assert [name for name in made if name.startswith("gap")] == ["gap-linear_separability"]
    if "resamples" in changed:
        assert {name for name in made if name.startswith("arithmetic")} == {
            "arithmetic-colour_on_dev",
            "arithmetic-colour_on_test",
        }


def test_a_list_of_corrections_takes_from_those_kept(cell, scratch) -> None:
    made, found = anew(cell, scratch, corrections=["centering"])
    # tests are corrected for their number and share resamples, and queries are looked at that the best of them changes
    # most: these alone depend on which there are
    assert {name.partition("-")[0] for name in made} == {"comparisons", "looked"}
    assert written(found) == written(evaluate(cell, **(SETTINGS | {"corrections": ["centering"]})))
    made, _ = anew(cell, scratch, corrections=["centering", "whitening"])
    assert made and all("whitening" in name or name.startswith(("comparisons", "looked")) for name in made)


def test_other_items_labels_or_inversions_are_other_parts(cell, scratch, tmp_path) -> None:
    """Stores say the same fingerprint; what they hold counts."""
    relabelled = groups()
    relabelled["image/test"] = relabelled["image/test"] | {
        "label.shape": relabelled["image/test"]["label.shape"][::-1]
    }
    native = write(tmp_path / "relabelled.zip", relabelled)
    other = Cell(native, cell.oti, None, "test", "test", seeds=cell.seeds, support="train")
    assert written(evaluate(other, **SETTINGS, scratch=scratch)) == written(evaluate(other, **SETTINGS))
    oti = inverted(tmp_path / "again.zip", 5)
    other = Cell(
        cell.native,
        oti,
        None,
        "test",
        "test",
        support="train",
        subsets=cell.subsets,
        arithmetic=cell.arithmetic,
    )
    made, found = anew(other, scratch)
    assert written(found) == written(evaluate(other, **SETTINGS))
    assert {name.partition("-")[0] for name in made} == {
        "retrieval", "classification", "clustering", "snapshots", "similarity", "clouds", "comparisons",
        "hubness", "mixed", "looked",
    }  # fmt: skip
    assert {name for name in made if name.startswith("hubness")} == {"hubness-oti-image", "hubness-oti-oti"}
    assert {name for name in made if name.startswith("retrieval")} == {
        "retrieval-oti-image_colour", "retrieval-oti-image_shape", "retrieval-oti-image_warm",
        "retrieval-oti-oti_colour", "retrieval-oti-oti_shape", "retrieval-oti-oti_warm",
    }  # fmt: skip
    assert not [
        name for name in made if "+" in name and not name.startswith(("comparisons", "mixed", "looked"))
    ]


SCRIPT = """
import sys, json
from pathlib import Path
from crossgap import open_store
from crossgap.evaluation import Cell, evaluate
folder, scratch = map(Path, sys.argv[1:])
cell = Cell(open_store(folder / "native.zip"), None, None, "test", "test", support="train")
evaluate(
    cell, resamples=99, shots=(1,), draws=2, clouds=9, corrections=["centering", "standardisation"], scratch=scratch
)
"""


def run(folder: Path, scratch: Path, code: Path) -> None:
    subprocess.run(
        [sys.executable, "-c", SCRIPT, str(folder), str(scratch)],
        check=True,
        capture_output=True,
        cwd=code,
        env={**os.environ, "PYTHONPATH": str(code)},
    )


@pytest.mark.slow
def test_one_corrections_code_computes_its_own_parts_and_a_comment_none(cell, tmp_path) -> None:
    scratch = tmp_path / "parts"
    copied = tmp_path / "code" / "crossgap"
    shutil.copytree(Path(crossgap.__file__).parent, copied, ignore=shutil.ignore_patterns("__pycache__"))
    folder, code = cell.native.path.parent, copied.parent
    run(folder, scratch, code)
    held = names(scratch)
    module = copied / "corrections" / "standardisation.py"
    module.write_text(module.read_text() + "\n# said otherwise\n")
    run(folder, scratch, code)
    assert names(scratch) == held
    module.write_text(module.read_text().replace("ROUNDING = 1e-12", "ROUNDING = 0.02"))
    run(folder, scratch, code)
    made = names(scratch) - held
    assert made and all(
        "standardisation" in name or name.startswith(("comparisons", "looked")) for name in made
    )
    assert any(name.startswith("retrieval") for name in made)
    held = names(scratch)
    module = copied / "metrics" / "clustering.py"
    module.write_text(module.read_text().replace("dtype=np.float64", "dtype=np.float32"))
    run(folder, scratch, code)
    assert {name.partition("-")[0] for name in names(scratch) - held} == {"clustering"}


def test_killed_in_the_middle_it_goes_on(cell, tmp_path) -> None:
    scratch = tmp_path / "parts"
    folder = cell.native.path.parent
    child = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(folder), str(scratch)],
        env={**os.environ, "PYTHONPATH": str(Path(crossgap.__file__).parents[1])},
    )
    deadline = time.monotonic() + 60
    while len(list(scratch.glob("*.part")) if scratch.exists() else []) < 20:
        assert child.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.wait()
    before = {path: path.stat().st_mtime_ns for path in scratch.glob("*.part")}
    settings = {"resamples": 99, "shots": (1,), "draws": 2, "clouds": 9}
    settings["corrections"] = ["centering", "standardisation"]
    plain = Cell(cell.native, None, None, "test", "test", support="train")
    found = evaluate(plain, **settings, scratch=scratch)
    assert written(found) == written(evaluate(plain, **settings))
    assert all(path.stat().st_mtime_ns == time for path, time in before.items())
    assert len(names(scratch)) > len(before)
    assert not [name for name in names(scratch) if name.endswith(".tmp")]


@pytest.mark.parametrize("damage", ["cut", "changed", "empty"])
def test_a_damaged_part_is_computed_again_with_a_warning(cell, first, scratch, damage) -> None:
    expected = written(first[1])
    for path in sorted(scratch.glob("*.part"))[::7]:
        content = path.read_bytes()
        place = len(content) // 2
        flipped = content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
        path.write_bytes({"cut": content[:-9], "changed": flipped, "empty": b""}[damage])
    with pytest.warns(UserWarning, match=r"\.part is damaged .*computed again"):
        found = evaluate(cell, **SETTINGS, scratch=scratch)
    assert written(found) == expected


def test_tables_and_numbers_come_back_as_they_were(tmp_path) -> None:
    table = pd.DataFrame(
        {
            "object": pd.Series(["a", "", "naïve", "NA"], dtype=object),
            "word": pd.Series(["a", "", "naïve", "NA"]),
            "float": [0.1, np.nan, -np.inf, 1e-300],
            "int": np.array([1, 2, 3, -(2**62) - 1]),
            "bool": [True, False, True, True],
            "few": pd.array([1, None, 3, 2**60 + 1], dtype="Int64"),
            "small": np.array([1, 2, 3, 4], np.int8),
        }
    )
    given = {
        "table": table,
        "none": table[:0].reset_index(drop=True),
        "no columns": pd.DataFrame(columns=["x", "y"]),
        "numbers": {"a/b": 0.1 + 0.2, "n": 3, "nan": float("nan")},
        "nothing": {},
    }
    for name, value in given.items():
        for compute in (lambda _, value=value: value, lambda _: pytest.fail("computed again")):
            found = Parts(tmp_path).of("of", name, lambda name=name: {"name": name}, compute, Reasons())
            if isinstance(value, dict):
                assert json.dumps(found) == json.dumps(value)
                assert list(map(type, found.values())) == list(map(type, value.values()))
            else:
                pd.testing.assert_frame_equal(found, value)
                assert found.dtypes.tolist() == value.dtypes.tolist()


def test_a_column_of_other_things_than_words_is_an_error(tmp_path) -> None:
    mixed = pd.DataFrame({"x": pd.Series(["a", None], dtype=object)})
    with pytest.raises(TypeError, match="the column x holds NoneType, not words"):
        Parts(tmp_path).of("of", "mixed", dict, lambda _: mixed, Reasons())
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_had_is_kept_with_its_reason_and_a_mistake_is_not(tmp_path) -> None:
    def partly(reasons: Reasons) -> dict:
        with reasons.of("gap", "inner"):
            raise UnavailableError("too  few\nitems")
        return {"x": 1.0}

    def never(_: Reasons) -> dict:
        raise np.linalg.LinAlgError("SVD did not converge")

    for compute, expected in ((partly, {"x": 1.0}), (never, None)):
        for turn in (compute, lambda _: pytest.fail("computed again")):
            reasons = Reasons()
            assert Parts(tmp_path).of("gap", compute.__name__, dict, turn, reasons) == expected
            row = {
                "partly": ("gap", "inner", "too few items"),
                "never": ("gap", "never", "SVD did not converge"),
            }[compute.__name__]
            assert reasons.table().values.tolist() == [list(row)]

    def mistaken(_: Reasons) -> dict:
        return {}["missing"]

    with pytest.raises(KeyError, match="missing"):
        Parts(tmp_path).of("gap", "mistaken", dict, mistaken, Reasons())


@pytest.mark.slow
def test_parts_cost_little(cell, tmp_path) -> None:
    scratch = tmp_path / "parts"

    def spent() -> float:
        start = time.process_time()
        evaluate(cell, resamples=4999, scratch=scratch)
        return time.process_time() - start

    computing, taken_back = spent(), spent()
    assert taken_back < 0.8 * computing, "of so small a cell; most of it is reading 400 small files"
    assert set(corrections.RIVALS) <= {
        name.split("-")[1] for name in names(scratch) if "corrections-" in name
    }
