"""The README: its YAML can be pasted, its commands run, its paths and names exist.

Commands of crossgap run here and in tests/stages/test_readme.py; of those that need a whole run, a network or an
installation, `ELSEWHERE` names the test that runs them.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
import yaml

import crossgap
from crossgap import losses
from crossgap.datasets import LAYOUTS
from crossgap.inversion.recipes import PRESETS
from crossgap.params import load

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
PROSE = re.sub(r"```.*?```", "", README, flags=re.DOTALL)
SHELL = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
COMMANDS = sorted(set(re.findall(r"`((?:crossgap|dvc|git|pip|pytest) [^`]+)`", PROSE)))
ELSEWHERE = {  # what runs a command: a file, and what stands in it
    "dvc repro": ("stages/test_pipeline.py", 'project.dvc("repro")'),
    "dvc metrics show": ("stages/test_pipeline.py", 'dvc("metrics", "show"'),
    "dvc metrics diff": ("stages/test_pipeline.py", 'dvc("metrics", "diff"'),
    "dvc params diff": ("stages/test_pipeline.py", 'dvc("params", "diff"'),
    "dvc dag --mermaid": ("stages/test_pipeline.py", 'dvc("dag", "--mermaid")'),
    "dvc repro -R stages/encode": ("stages/test_pipeline.py", 'dvc("repro", "-R", "stages/encode")'),
    "dvc repro stages/oti/dvc.yaml:oti@nano-world": (
        "stages/test_pipeline.py",
        'dvc("repro", "stages/oti/dvc.yaml:oti@nano-world")',
    ),
    "crossgap compare nano-cua/world nano/world": (
        "evaluation/test_between.py",
        'invoke(app, ["compare", "a/world", "b/world"])',
    ),
    "dvc plots show": ("stages/test_pipeline.py", 'dvc("plots", "show")'),
    "dvc exp run -S oti.steps=50": ("stages/test_pipeline.py", '"-S", "ovi.steps=3"'),
    "dvc exp show": ("stages/test_pipeline.py", 'dvc("exp", "show"'),
    "dvc remote add -d team <url>": ("stages/test_sharing.py", "run(made, FOLDER"),
    "dvc push": ("stages/test_imports.py", 'dvc("push"'),
    "dvc pull": ("stages/test_sharing.py", "run(there, TAKE)"),
    "crossgap datasets get cifar10": ("catalogue/test_datasets.py", 'fetch("cifar10", tmp_path)'),
    "crossgap export nano/world out": ("test_exporting.py", 'brought_back("nano/world", form, out)'),
    "crossgap verify": ("planning/test_verifying.py", 'app, ["verify", *words]'),
    "crossgap init birds --images /photos/birds --backbone openai-b32": (
        "stages/test_init.py",
        '"init", "birds", "--images"',
    ),
    "crossgap report --open": ("cli/test_reporting.py", 'run("--open")'),
    "crossgap figure effects nano/world": (
        "papers/test_figures.py",
        'app, ["figure", "effects", "nano/world"',
    ),
    "crossgap layers nano world": ("test_layerwise.py", 'app, ["layers", "tiny", "world"'),
    "crossgap migrate": ("params/test_migration.py", '["migrate"]'),
    "pip install -e '.[hub]'": ("../pyproject.toml", "\nhub = ["),
    "pip install -e '.[figures]'": ("../pyproject.toml", "\nfigures = ["),
    "pip install -e '.[ray]'": ("../pyproject.toml", "\nray = ["),
}


def sections() -> dict:
    """What all blocks say together; no section twice."""
    found: dict = {}
    for block in BLOCKS:
        held = yaml.safe_load(block)
        assert not held.keys() & found.keys()
        found |= held
    return found


def pasted(**changes: object) -> dict:
    """The shipped file with all blocks in the place of its sections, as a user would paste them."""
    return yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8")) | sections() | changes


def loaded(folder: Path, params: dict):
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    return load(folder / "params.yaml")


def test_it_is_short() -> None:
    lines = README.splitlines()
    assert len(lines) <= 250 and max(map(len, lines)) <= 120


def test_the_yaml_blocks_make_valid_params(tmp_path) -> None:
    assert {"run", "backbones", "datasets", "finetune"} == sections().keys()
    params = loaded(tmp_path, pasted())
    assert {"mine", "hub", "folder", "control", "openai-b32"} <= params.backbones.keys()
    assert set(sections()["datasets"]) <= params.datasets.keys()
    assert params.trained == {"mine-cua": "finetune"}


def test_the_settings_that_it_names_are_there(tmp_path) -> None:
    named = set(re.findall(r"`([a-z_]+(?:\.[a-z_]+)?: \w+)`", PROSE))
    assert named == {"machine.engine: ray", "preset: lbfgs", "on_problem: set_aside", "preprocess: openai"}
    raw = pasted()
    raw["machine"] |= {"engine": "ray"}
    raw["oti"] |= {"preset": "lbfgs"}
    raw["ovi"] |= {"preset": "lbfgs"}
    raw["datasets"]["birds"] |= {"on_problem": "set_aside", "revision": 2}
    weights = {
        "model": "ViT-L-14",
        "pretrained": "/models/mine.pt",
        "preprocess": "openai",
        "sha256": "0" * 64,
    }
    raw["backbones"]["mine"] |= {"weights": weights}
    params = loaded(tmp_path, raw)
    assert params.machine.engine == "ray" and params.datasets["birds"].on_problem == "set_aside"
    steps = {(of, name): PRESETS[of][name]["steps"] for of in ("oti", "ovi") for name in ("paper", "lbfgs")}
    assert list(steps.values()) == [150, 60, 1000, 100] and params.ovi.recipe.optimiser == "lbfgs"


def test_every_loss_is_named() -> None:
    said = README[README.index("Losses are") :].partition("\n\n")[0]
    assert set(re.findall(r"`(\w+)`", said)) == set(losses.TERMS)


def test_every_layout_of_its_blocks_is_one() -> None:
    assert {row["layout"] for row in sections()["datasets"].values()} <= LAYOUTS.keys()


def test_a_test_runs_every_command() -> None:
    """Those that aren't in `ELSEWHERE` run in tests/stages/test_readme.py, which takes them from here."""
    assert not [command for command in ELSEWHERE if command not in COMMANDS]
    for command, (file, held) in ELSEWHERE.items():
        assert held in (ROOT / "tests" / file).read_text(encoding="utf-8"), f"{command}: {file} has no {held}"


def test_what_it_installs_is_what_the_ci_installs() -> None:
    """The two commands are the README's first blocks, and `.ci/run` runs the second."""
    run, test, brought = SHELL
    assert run.splitlines()[1] == "pip install -e . && dvc repro"
    assert test == "pip install -e '.[test]' && pytest\n"
    assert brought.startswith("crossgap import ")
    ci = (ROOT / ".ci/run").read_text(encoding="utf-8")
    assert re.search(r"^pip install (--quiet )?-e '\.\[test\]'$", ci, re.MULTILINE)
    assert re.search(r"^pytest$", ci, re.MULTILINE)


def test_it_says_the_versions_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["requires-python"] == ">=3.11" and "Python 3.11 or later" in README
    systems = {line.rpartition(" :: ")[2] for line in project["classifiers"] if "Operating System" in line}
    assert systems == {"Linux", "MacOS"} and "Linux or macOS" in README
    cited = re.search(r"@software\{crossgap, version = \{(.+?)\}, author = \{\{(.+?)\}\}", README)
    assert cited.groups() == (crossgap.__version__, project["authors"][0]["name"])


@pytest.mark.parametrize(
    "path",
    sorted(set(re.findall(r"[`(]((?:crossgap|tests|stages|data|findings)/[\w./-]*)[`)]", README))),
)
def test_every_path_is_there(path) -> None:
    made = ("data/scratch", "data/report")
    assert (ROOT / path).exists() or path.startswith(made)


def test_every_stage_stands_in_its_table() -> None:
    table = README[README.index("| stage |") :].partition("\n\n")[0]
    rows = {name for line in table.splitlines() for name in re.findall(r"`([a-z]+)`", line.split(" | ")[0])}
    stages = {path.parent.name for path in ROOT.glob("stages/*/__main__.py")}
    assert rows == stages | {"resolve", "weights", "report"}
