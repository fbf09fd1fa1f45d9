"""Which stages a change runs, on the real DVC and the real resolving, with the work of all other stages replaced.

The tests run in order on one project, and what one has changed stays changed.
"""

from __future__ import annotations

import pytest
import yaml

pytestmark = pytest.mark.slow

PHOTOS = {"layout": "imagefolder", "root": "kinds", "retrieval": {"query": "test"}}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, stubbed):
    """The default run, with a folder of images beside the embedded set, done once."""
    made = stubbed(tmp_path_factory.mktemp("stubbed") / "project")
    made.edit(
        "datasets",
        {**(yaml.safe_load((made / "params.yaml").read_text())["datasets"] or {}), "kinds": PHOTOS},
    )
    made.edit("run.datasets", ["world", "kinds"])
    made.edit("run.backbones", ["nano", "nano-cua"])
    made.edit("run.oti.backbones", ["nano", "nano-cua"])
    rows = yaml.safe_load((made / "params.yaml").read_text())["finetune"]
    made.edit("finetune", {"nano-cua": rows["nano-cua"]})
    first = made.repro()
    assert {"resolve", "prepare@kinds", "encode@nano-world", "oti@nano-world", "evaluate@nano-kinds"} <= first
    assert made.repro() == set()
    return made


INVERSIONS = ("oti", "ovi", "sweep", "seeds", "distilled")
CHANGES = {  # what is changed, and the stages that it touches; `TOGETHER` says which are tried in one run
    "decoding": ("crossgap/datasets/images.py", ("prepare", "finetune", "idealised", "encode", "report")),
    "a tower": (
        "crossgap/backbones/backbone.py",
        ("pretrain", "finetune", "idealised", "encode", *INVERSIONS),
    ),
    "injection": ("crossgap/backbones/injection.py", INVERSIONS),
    "the optimiser": ("crossgap/inversion/optimise.py", INVERSIONS),
    "another reader": ("crossgap/datasets/readers/coop.py", ()),
    "a loss": ("crossgap/losses/hypersphere.py", ("finetune",)),
    "the defaults of fine-tuning": ("crossgap/training/finetune_recipe.py", ("finetune",)),
    "a correction": ("crossgap/corrections/centering.py", ("evaluate",)),
    "ranking": ("crossgap/metrics/retrieval/ranking.py", ("evaluate",)),
    "the page": ("crossgap/report/page.py", ("report",)),
    "a stage's script": ("stages/encode/__main__.py", ("encode",)),
    "how stages load a backbone": ("stages/computing.py", ("encode", *INVERSIONS)),
    "params' own checks": ("crossgap/params/wording.py", ()),
    "the store": ("crossgap/stores/store.py", ()),
    "shards": ("crossgap/stores/shards.py", ()),
}


TOGETHER = (  # those that touch different stages, and those that touch none
    ("decoding",),
    ("a tower",),
    ("injection", "a loss"),
    ("the optimiser", "the defaults of fine-tuning"),
    ("ranking", "a stage's script"),
    ("a correction", "the page"),
    ("how stages load a backbone",),
    ("another reader", "params' own checks", "the store", "shards"),
)


@pytest.mark.parametrize("changed", TOGETHER, ids=", ".join)
def test_a_change_of_behaviour_runs_what_it_touches(run, changed):
    """A carrier's runs nothing: `tests/test_formats.py` holds its bytes."""
    for path, _ in (CHANGES[what] for what in changed):
        (run / path).write_text((run / path).read_text() + "\nADDED = 1\n")
    assert run.repro() == {"resolve", *run.of(*(kind for what in changed for kind in CHANGES[what][1]))}


def test_every_change_is_tried():
    assert sorted(CHANGES) == sorted(what for changed in TOGETHER for what in changed)


def test_a_reader_that_a_dataset_has_runs_the_preparing_of_that_dataset(run):
    path = run / "crossgap/datasets/readers/imagefolder.py"
    path.write_text(path.read_text() + "\nADDED = 1\n")
    assert run.repro() == {"resolve", "prepare@kinds"}


def test_comments_run_nothing(run):
    for name in ("crossgap/encode.py", "crossgap/datasets/images.py", "stages/encode/__main__.py"):
        said = (run / name).read_text().replace('"""', '"""Said otherwise. ', 1)
        (run / name).write_text(said + "\n# a remark\n")
    assert run.repro() == {"resolve"}


@pytest.mark.parametrize(
    ("changed", "cells"),
    [
        (  # the page has the settings of the run
            {"oti.steps": 7, "finetune.nano-cua.lr": 0.001},
            ("oti", "sweep", "seeds", "finetune@nano-cua", "report"),
        ),
        ({"ovi.snapshots": [10], "evaluate.clouds": 77}, ("ovi", "evaluate", "report")),
        ({"machine.batch_size": 77, "machine.inversion_batch_size": 7}, ()),
    ],
    ids=str,
)
def test_a_setting_runs_what_it_touches(run, changed, cells):
    for place, value in changed.items():
        run.edit(place, value)
    expected = {cell for cell in cells if "@" in cell} | run.of(*(cell for cell in cells if "@" not in cell))
    assert run.repro() == {"resolve", *expected}


def test_what_is_planned_after_an_edit_is_what_it_touches_and_what_comes_after(run):
    assert run.planned() == set()
    run.edit("machine.batch_size", 78)
    assert run.planned() == {"resolve"}
    run.edit("oti.steps", 8)
    inversions = run.of("oti", "sweep", "seeds")
    planned = run.planned()
    after = {f"evaluate@{backbone}-world" for backbone in ("nano", "nano-cua")}
    assert planned == {"resolve", "report", *inversions, *after}
    # the evaluations' inputs come out as they were, which nobody knew
    assert planned - run.repro() == after
    assert run.planned() == set()


def test_what_the_page_says_of_a_dataset_runs_the_page(run):
    run.edit("datasets.kinds.controls", {"published": "CUB"})
    assert run.repro() == {"resolve", "report"}
