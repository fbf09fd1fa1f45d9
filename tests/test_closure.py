"""The import closure: what is in it, what changes its digest, and that nothing runs that it lacks."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from crossgap import closure
from crossgap.datasets.declared import LAYOUTS, SIMAT, OnDisk
from crossgap.datasets.readers import READERS

ROOT = Path(__file__).parents[1]
SCRIPTS = sorted(
    [f"stages.{path.parent.name}.__main__" for path in ROOT.glob("stages/*/__main__.py")]
    + [f"stages.{name}" for name in ("weights", "report")]
)
DIGESTS = """
import json, sys, types
sys.modules["numpy"] = types.SimpleNamespace(ndarray=None)
from crossgap import closure
print(json.dumps({name: closure.digests(name) for name in sys.argv[1:]}, sort_keys=True))
"""


@pytest.fixture(autouse=True)
def at_the_root(monkeypatch) -> None:
    monkeypatch.chdir(ROOT)


@pytest.fixture
def copied(tmp_path) -> Path:
    """A copy of the code, to be changed."""
    for name in ("crossgap", "stages"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def told(folder: Path, *names: str, python: str = sys.executable) -> dict[str, dict[str, str]]:
    """The digests of closures in a copy of the code, by a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [python, "-c", DIGESTS, *names],
        cwd=folder,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    return json.loads(done.stdout)


def test_a_script_is_there_for_every_stage_and_dvc_resolves_after_each():
    """The first stage depends on every script, so that a change of any is seen."""
    import yaml

    deps = set(yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]["resolve"]["deps"])
    scripts = {path.relative_to(ROOT).as_posix() for path in ROOT.glob("stages/**/*.py")}
    assert deps == scripts | {"params.yaml", "crossgap"}
    assert len(SCRIPTS) == 15


def test_every_module_is_a_carrier_or_counts_by_its_source():
    known = {*closure.modules("crossgap"), *closure.modules("stages")}
    assert known >= set(closure.CARRIERS), "no carrier is a thing of the past"
    found = closure.digests(*known)
    assert found.keys() == known
    for name, said in found.items():
        assert said.startswith("format ") == (name in closure.CARRIERS)


def loaded(module: str, with_packages: bool = True) -> set[str]:
    """All that a module imports, at once or later, with the packages that this is in or without."""
    ahead, met = [module], set()
    while ahead:
        name = ahead.pop()
        if name not in met:
            met.add(name)
            ahead += closure._imported(name)
            if with_packages:
                ahead += filter(closure._source, [name.rpartition(".")[0]])
    return met


@pytest.mark.parametrize("carrier", sorted(closure.CARRIERS))
def test_a_carrier_imports_carriers_alone(carrier):
    """Else what it imports would decide values that no digest knows of."""
    met = loaded(carrier, with_packages=False)
    packages = {name for name in met if closure._source(name).name == "__init__.py"}
    assert met - packages <= set(closure.CARRIERS)


def test_what_all_stages_share_loads_carriers_alone():
    """With the packages that these are in: no closure follows a carrier's imports."""
    assert loaded("stages.common") <= set(closure.CARRIERS)


@pytest.mark.parametrize("script", SCRIPTS)
def test_what_a_script_loads_is_in_its_closure(script):
    """But for carriers, and for packages that hold a docstring and nothing that could change."""
    lacking = loaded(script) - closure.closure(script) - set(closure.CARRIERS)
    assert [
        name for name in lacking if said(closure._source(name).read_text()) != said("'a docstring'")
    ] == []


def test_every_change_of_behaviour_changes_the_digest_of_every_stage_that_has_the_module(
    tmp_path, monkeypatch
):
    """Module by module of all closures; a carrier's source changes none."""
    before = {script: closure.digests(script) for script in SCRIPTS}
    source_of = closure._source
    for number, module in enumerate(sorted(set().union(*before.values()))):
        changed = tmp_path / str(number) / source_of(module).name
        changed.parent.mkdir()
        changed.write_text(source_of(module).read_text() + "\nADDED = 1\n")
        for beside in closure._beside(source_of(module).parent) if changed.name == "__init__.py" else ():
            (changed.parent / beside.name).write_bytes(beside.read_bytes())
        monkeypatch.setattr(
            closure,
            "_source",
            lambda name, module=module, new=changed: new if name == module else source_of(name),
        )
        for script, held in before.items():
            after = closure.digests(script)
            assert after.keys() == held.keys()
            differing = {name for name in after if after[name] != held[name]}
            expected = {module} if module in held and module not in closure.CARRIERS else set()
            assert differing == expected, (script, module)


def test_comments_docstrings_and_layout_change_no_digest(copied):
    for source in copied.rglob("*.py"):
        tree = ast.parse(source.read_text())
        for node in ast.walk(tree):
            documented = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Module)
            if documented and ast.get_docstring(node) is not None:
                node.body[0].value.value = "Other words."
        source.write_text("# a remark\n\n" + ast.unparse(ast.fix_missing_locations(tree)) + "\n# another\n")
    assert told(copied, *SCRIPTS) == {script: closure.digests(script) for script in SCRIPTS}


HINTED = """
from __future__ import annotations
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import pydantic

if TYPE_CHECKING:
    from jaxtyping import Float

HELD: dict[str, Any] = {}


@dataclass
class Kept:
    size: int

    def of(self, rows: Float[np.ndarray, "n d"]) -> int:
        count: int = len(rows)
        return count


class Model(pydantic.BaseModel):
    size: int

    @pydantic.field_validator("size")
    def wide(cls, size: int) -> int:
        return size


@cache
def half(number: int) -> float:
    return number / 2


@registered
def command(number: int) -> None:
    other: str
"""


def said(text: str) -> str:
    return "".join(closure._said(ast.parse(text), []))


@pytest.mark.parametrize(
    ("hint", "other"),
    [
        ("HELD: dict[str, Any] = {}", "HELD = {}"),
        ('rows: Float[np.ndarray, "n d"]', "rows"),
        ("count: int = len(rows)", "count: float = len(rows)"),
        ("half(number: int) -> float", "half(number)"),
        ("    other: str\n", "    pass\n    other: bytes\n"),
        ("    from jaxtyping import Float\n", "    from jaxtyping import Int, Real\n    import torch\n"),
        ("import TYPE_CHECKING, Any", "import TYPE_CHECKING, Any, Literal"),
    ],
)
def test_a_type_hint_changes_no_digest(hint, other) -> None:
    assert HINTED.count(hint) == 1
    expected = HINTED.replace("    other: str\n", "    pass\n") if "other" in hint else HINTED
    assert said(HINTED.replace(hint, other)) == said(expected)


@pytest.mark.parametrize(
    ("code", "other"),
    [
        ("Kept:\n    size: int", "Kept:\n    size: float"),
        ("BaseModel):\n    size: int", "BaseModel):\n    size: float"),
        ("wide(cls, size: int) -> int", "wide(cls, size: float) -> int"),
        ("command(number: int)", "command(number: float)"),
        ("half(number: int)", "half(number: int = 1)"),
        ("half(number: int)", "half(figure: int)"),
        ("HELD: dict[str, Any] = {}", "HELD: dict[str, Any] = {1: 2}"),
        ("    from jaxtyping import Float\n", "    pass\nelse:\n    Float = None\n"),
    ],
)
def test_what_runs_changes_the_digest_annotations_of_fields_and_of_decorated_functions_too(
    code, other
) -> None:
    assert HINTED.count(code) == 1
    assert said(HINTED.replace(code, other)) != said(HINTED)


def test_no_result_depends_on_a_command_whose_options_are_annotations() -> None:
    depended = set().union(*(closure.closure(script) for script in SCRIPTS))
    assert not [name for name in depended if name.startswith("crossgap.cli")]


def test_every_version_of_python_gives_the_same_digest(copied):
    """Those that are installed; an environment of another version must find another team's stores fresh."""
    here = {script: closure.digests(script) for script in SCRIPTS}
    others = sorted(Path.home().glob(".pyenv/versions/3.1[1-9]*/bin/python"))
    for python in others or [sys.executable]:
        assert told(ROOT, *SCRIPTS, python=str(python)) == here, python


def test_package_files_that_are_no_python_count(copied):
    before = told(copied, "crossgap.backbones.towers", "stages.encode.__main__", "stages.prepare.__main__")
    config = next((copied / "crossgap/backbones/configs").glob("*.json"))
    config.write_text(config.read_text().replace("{", "{ ", 1))
    after = told(copied, *before)
    changed = {"crossgap.backbones.towers", "stages.encode.__main__"}
    assert {name for name in before if before[name] != after[name]} == changed
    # its name is the model's
    config.rename(config.with_name(f"{config.stem}-renamed.json"))
    renamed = told(copied, *before)
    assert {name for name in before if after[name] != renamed[name]} == changed


def test_plugins_count_as_far_as_they_are_picked():
    package = "crossgap.corrections"
    alone = closure.closure(package, chosen=(f"{package}.centering",))
    assert f"{package}.centering" in alone and f"{package}.whitening" not in alone
    assert closure.closure(package) >= set(closure.members(package))
    assert not closure.closure(package, chosen=()) & {f"{package}.centering", f"{package}.whitening"}


def test_every_layout_on_disk_has_a_reader_that_can_be_picked():
    layouts = {name for name, declared in LAYOUTS.items() if issubclass(declared, OnDisk)}
    assert layouts - {SIMAT} == set(READERS)
    assert closure.members("crossgap.datasets.readers") == sorted(READERS.values())


def test_a_module_that_is_not_there_is_an_error():
    with pytest.raises(closure.ClosureError, match=r"no module .crossgap\.nothing"):
        closure.digest("crossgap.nothing")


def test_imports_are_followed_wherever_they_stand_but_for_type_checkers(tmp_path, monkeypatch):
    package = tmp_path / "stages"
    (package / "a").mkdir(parents=True)
    (package / "a/__init__.py").write_text("_PUBLIC = {'late': 'stages.a.late'}\n")
    (package / "a/late.py").write_text("late = 1\n")
    (package / "a/near.py").write_text("from . import beside\nfrom .beside import b\n")
    (package / "a/beside.py").write_text("b = 1\n")
    (package / "a/typed.py").write_text("")
    (package / "a/inner.py").write_text("")
    (package / "root.py").write_text(
        "from typing import TYPE_CHECKING\nimport numpy\n"
        "if TYPE_CHECKING:\n    import stages.a.typed\nelse:\n    import stages.a.near\n"
        "def f():\n    from stages.a import inner, late\n"
    )
    monkeypatch.chdir(tmp_path)
    for held in (closure._source, closure._tree, closure._imported, closure._table, closure._digest):
        held.cache_clear()
    try:
        found = closure.closure("stages.root")
    finally:
        for held in (closure._source, closure._tree, closure._imported, closure._table, closure._digest):
            held.cache_clear()
    assert found == {
        "stages.root",
        "stages.a",
        *(f"stages.a.{name}" for name in ("near", "beside", "inner", "late")),
    }
