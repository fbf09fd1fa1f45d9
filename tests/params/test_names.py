"""Cells that DVC would give one name."""

from __future__ import annotations

import copy
import re
from collections import Counter
from itertools import cycle, product
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from crossgap.params import ParamsError, load
from crossgap.params.names import collisions
from crossgap.params.run import Run
from tests import runs


def run_of(backbones=(), datasets=(), **more) -> Run:
    return Run.model_validate(runs.run_of(backbones=list(backbones), datasets=list(datasets), **more))


PAIR = {"backbones": ["b32", "b32-imagenet"], "datasets": ["v2", "imagenet-v2"]}
COUNTS = {
    "oti": {},
    "ovi": {},
    "sweep": {"tokens": [2, 4]},
    "seeds": {"methods": ["oti", "ovi"], "seeds": [1]},
}


def test_both_cells_are_named_and_the_remedy():
    assert list(collisions(run_of(**PAIR))) == [
        "run: DVC calls both b32 × imagenet-v2 and b32-imagenet × v2 «b32-imagenet-v2» and keeps one of them; "
        "rename a backbone or a dataset of theirs"
    ]


@pytest.mark.parametrize("field", COUNTS)
def test_of_every_matrix(field):
    lines = list(collisions(run_of(**{field: PAIR | COUNTS[field]})))
    assert len(lines) == max(1, len(COUNTS[field].get("tokens", ())), len(COUNTS[field].get("methods", ())))
    assert all(line.startswith(f"run.{field}: ") for line in lines)


def test_a_seed_can_be_taken_for_a_part_of_a_name():
    seeds = {"backbones": ["a"], "datasets": ["b", "b-oti"], "methods": ["oti"], "seeds": [1]}
    assert list(collisions(run_of(seeds=seeds))) == []
    sweep = {"backbones": ["a", "a-b"], "datasets": ["b-c", "c"], "tokens": [1]}
    assert list(collisions(run_of(sweep=sweep))) == [
        "run.sweep: DVC calls both a × b-c × 1 and a-b × c × 1 «a-b-c-1» and keeps one of them; "
        "rename a backbone or a dataset of theirs"
    ]


def test_one_pair_in_several_matrices_is_one_line():
    (line,) = collisions(run_of(**PAIR, oti=PAIR, ovi=PAIR))
    assert line.startswith("run, run.oti, run.ovi: ")


def test_what_inverts_by_a_network_has_the_dataset_that_it_was_distilled_on_in_its_name():
    distil = {**PAIR, "sources": ["v2", "imagenet-v2"], "methods": ["oti"], "losses": ["cosine"]}
    lines = list(collisions(run_of(distil=distil)))
    assert all(line.startswith("run.distil: ") for line in lines)
    assert any(
        "b32 × imagenet-v2 × oti × cosine and b32-imagenet × v2 × oti × cosine" in line for line in lines
    )
    assert any("b32 × v2 × imagenet-v2 × oti × cosine" in line for line in lines) is False
    assert any("b32 × imagenet-v2 × v2 × oti × cosine and b32-imagenet × v2 × v2" in line for line in lines)


names = st.lists(st.sampled_from(["a", "b", "a-b", "b-a", "a-a", "b-b"]), unique=True, max_size=4)


@given(names, names)
def test_there_is_a_line_for_every_cell_that_is_lost(backbones, datasets):
    kept = Counter(f"{one}-{other}" for one, other in product(backbones, datasets))
    lines = list(collisions(run_of(backbones, datasets)))
    assert len(lines) == sum(kept.values()) - len(kept)


ROOT = Path(__file__).parents[2]
TEMPLATES = "".join(path.read_text() for path in ROOT.glob("stages/*/dvc.yaml"))
LISTS = sorted(set(re.findall(r"^      \w+: \$\{(run\.[\w.]+)\}", TEMPLATES, re.MULTILINE)))
SECTIONS = sorted(set(re.findall(r"foreach: \$\{(\w+)\}", TEMPLATES)))
ROWS = {
    "backbones": {"weights": {"model": "local-dir:tiny"}, "oti": {"tokens": 1}, "ovi": {"patches": 1}},
    "datasets": {"layout": "imagefolder", "root": "kinds", "retrieval": {"query": "test"}},
    "imports": {"backbone": "b", "dataset": "d", "retrieval": {"query": "test", "gallery": "test"}},
}


def loads(params: dict, path: Path) -> None:
    path.write_text(yaml.safe_dump(params))
    load(path)


WORDS = [
    "a; touch x",
    "$(touch x)",
    "`touch x`",
    "a\ntouch x",
    "a&&b",
    "a|b",
    "a>b",
    "-c",
    "",
    "a b",
    "'a'",
    "a*",
]


def test_no_value_that_a_template_puts_into_a_command_holds_a_word_of_a_shell(tmp_path):
    """Whatever the templates of dvc.yaml take from params.yaml; rows of that name are there, so only it is wrong."""
    assert len(LISTS) > 15 and SECTIONS == ["finetune", "idealised", "pretrain"]
    before = yaml.safe_load((ROOT / "params.yaml").read_text())
    loads(before, tmp_path / "params.yaml")
    words = cycle(WORDS)
    for place, word in zip(LISTS, words, strict=False):
        params = copy.deepcopy(before)
        for section, row in ROWS.items():
            params[section] = {**(params.get(section) or {}), word: row}
        *above, last = place.split(".")
        at = params
        for name in above:
            at = at[name]
        at[last] = [word]
        with pytest.raises(ParamsError):
            loads(params, tmp_path / "params.yaml")
    for section, word in zip(SECTIONS, words, strict=False):
        row = next(iter((before[section] or {"x": {}}).values()))
        with pytest.raises(ParamsError):
            loads({**before, section: {**before[section], word: row}}, tmp_path / "params.yaml")
