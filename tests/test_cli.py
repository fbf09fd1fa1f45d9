"""The command as its users call it, in a folder of theirs."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from crossgap import open_store
from crossgap.catalogue import entries
from crossgap.cli import app, programs
from crossgap.params import load
from tests.runs import run_of

ROOT = Path(__file__).parents[1]


@pytest.fixture
def crossgap(tmp_path, monkeypatch):
    """Run the command in `tmp_path`; what it printed, if it ended with the code expected and no traceback."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str, code: int = 0) -> str:
        done = CliRunner().invoke(app, words, env={"COLUMNS": "200", "NO_COLOR": "1", "TERM": "dumb"})
        assert done.exit_code == code, done.output
        assert done.exception is None or isinstance(done.exception, SystemExit)
        return done.output

    return run


@pytest.fixture
def arrays(tmp_path) -> Path:
    rng = np.random.default_rng(0)
    path = tmp_path / "dtd.npz"
    np.savez(
        path, test=rng.normal(size=(6, 5)), val=rng.normal(size=(4, 5)), y=[0, 1, 0, 1, 0, 1], v=[0, 1, 1, 0]
    )
    return path


def test_check(tmp_path, crossgap):
    raw = yaml.safe_load((ROOT / "params.yaml").read_text())
    raw["backbones"]["nano"]["weights"]["model"] = f"local-dir:{ROOT / 'data/backbones/nano'}"
    raw["idealised"] = {}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(raw))
    assert crossgap("check") == "params.yaml is valid\n"
    raw["oti"]["stepz"] = 3
    (tmp_path / "other.yaml").write_text(yaml.safe_dump(raw))
    assert crossgap("check", "other.yaml", code=1) == (
        "crossgap: other.yaml can't be used:\n  oti.stepz: unknown key; did you mean 'steps'?; remove it or "
        "mend its spelling (got 3)\n"
    )


def test_as_a_process(tmp_path):
    """Outside of the project: a message on stderr and exit code 1."""
    command = [Path(sys.executable).parent / "crossgap", "check"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "crossgap: params.yaml not found: run from the project's root\n"


def test_ctrl_c_while_the_command_starts_is_a_line(tmp_path):
    (tmp_path / "typer.py").write_text("import signal; signal.raise_signal(signal.SIGINT)")
    module, _, function = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"][
        "crossgap"
    ].partition(":")
    # ignored where tests run in the background
    code = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; from {module} import {function}; {function}()"],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "crossgap: stopped\n")


def test_what_sigterm_ends_removes_what_it_has_half_written(tmp_path):
    """As an export does whose job a scheduler ends."""
    code = (
        "import os, time\n"
        "import crossgap.cli\n"
        "from crossgap.command import main\n"
        "def app():\n"
        "    try:\n"
        "        open('half', 'w').close()\n"
        "        time.sleep(60)\n"
        "    except BaseException:\n"
        "        os.remove('half')\n"
        "        raise\n"
        "crossgap.cli.app = app\n"
        "main()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}
    )
    while not (tmp_path / "half").exists():
        assert process.poll() is None
        time.sleep(0.05)
    process.terminate()
    assert process.wait(30) == 143 and not (tmp_path / "half").exists()


def test_check_says_that_another_crossgap_is_installed(tmp_path, crossgap):
    shutil.copy(ROOT / "params.yaml", tmp_path)
    (tmp_path / "crossgap.json").write_text('{"crossgap": "0.0.9", "digest": "x"}')
    assert "this project runs by crossgap 0.0.9 (crossgap.json), and" in crossgap("check", code=1)


def test_help_says_how(crossgap):
    assert "import" in crossgap("--help")
    said = crossgap("import", "--help")
    for word in (
        "MODALITY/SPLIT[:COLUMN]=FILE[:KEY]",
        "--clip-retrieval",
        "--force",
        "label.<labelling>",
        "text/classes",
    ):
        assert word in said


def test_unknown_command_and_option(crossgap):
    assert "No such command" in crossgap("imprt", code=2)
    assert "No such option" in crossgap("import", "x", "--forse", code=2)


def test_import_and_what_to_do_next(tmp_path, crossgap, arrays):
    """The row that it prints is put under `imports` in params.yaml, and valid there."""
    said = crossgap(
        *("import", "b32-dtd", "--backbone", "ViT-B/32: openai", "--dataset", "dtd"),
        *("image/test=dtd.npz:test", "image/test:label.class=dtd.npz:y"),
        *("image/val=dtd.npz:val", "image/val:label.class=dtd.npz:v"),
    )
    assert "image/test: 6 items, width 5" in said and "image/val: 4 items" in said
    store = open_store(tmp_path / "data/imports/b32-dtd/native.zarr.zip")
    assert list(store["image/val"].labels["class"]) == ["0", "1", "1", "0"]

    assert "name b32-dtd in run.imports, put this row under `imports:`" in said
    row = said.partition("`dvc repro`\n\n")[2]
    text = (ROOT / "params.yaml").read_text()
    text = text.replace("\nimports: {}\n", f"\nimports:\n{row}").replace(
        "  imports: []\n", "  imports: [b32-dtd]\n"
    )
    (tmp_path / "params.yaml").write_text(text)
    declared = load(tmp_path / "params.yaml").imports["b32-dtd"]
    assert (declared.backbone, declared.dataset) == ("ViT-B/32: openai", "dtd")
    assert (declared.retrieval.query, declared.retrieval.gallery) == ("test", "val")


def test_import_says_where_ids_are_shared(tmp_path, crossgap, arrays):
    (tmp_path / "ids.txt").write_text("a\nb\nc\nd\n")
    (tmp_path / "more.txt").write_text("a\nx\nc\ny\nz\nw\n")
    words = [
        "text/val=dtd.npz:val",
        "text/val:id=ids.txt",
        "text/corpus=dtd.npz:test",
        "text/corpus:id=more.txt",
    ]
    said = crossgap("import", "nano", *words)
    assert "note: 2 ids of text/corpus are in text/val too (a, c)" in said
    assert "note:" not in crossgap("import", "other", "text/val=dtd.npz:val", "text/corpus=dtd.npz:test")


def test_import_of_a_vocabulary_and_judgements(tmp_path, crossgap, arrays):
    """Reserved splits are none to evaluate, and judgements tell the queries' split from the gallery's."""
    (tmp_path / "qrels.tsv").write_text(
        "query\titem\tgrade\ntext/corpus/0\ttext/val/3\t1\ntext/corpus/0\ttext/val/1\t2\n"
    )
    words = ["text/val=dtd.npz:val", "text/corpus=dtd.npz:test", "text/vocabulary=dtd.npz:test"]
    said = crossgap("import", "nano", *words, "text/vocabulary-photo=dtd.npz:test")
    assert "text/vocabulary: 6 items" in said and "retrieval: {query: val, gallery: corpus}" in said
    said = crossgap("import", "nano", *words, "--judgements", "qrels.tsv", "--force")
    assert "judgements: 2 of 1 queries" in said and "retrieval: {query: corpus, gallery: val}" in said
    store = open_store(tmp_path / "data/imports/nano/native.zarr.zip")
    assert store.judgements["grade"].tolist() == [1, 2]
    (tmp_path / "qrels.tsv").write_text("query\titem\tgrade\ntext/val/9\ttext/corpus/3\t1\n")
    said = crossgap("import", "nano", *words, "--judgements", "qrels.tsv", "--force", code=1)
    assert "(1 rows: line 2 (text/val/9, text/corpus/3, 1))" in said


@pytest.mark.parametrize(
    ("splits", "query", "gallery", "why"),
    [
        (["test", "train"], "test", "train", "by the names of the splits: mend the row if they are others"),
        (["test", "val"], "test", "val", "by the names"),
        (["a", "val"], "val", "a", "by the names"),
        (["gallery", "zebra"], "zebra", "gallery", "by the names"),
        (["test", "train", "val"], "test", "train", "by the names"),
        (["train", "val"], "val", "train", "by the names"),
        (["a"], "a", "a", "the only split"),
        (["a", "b"], "QUERY", "GALLERY", "as their names don't tell: put one of a, b in place of each"),
        (["test", "a", "b"], "QUERY", "GALLERY", "as their names don't tell: put one of a, b, test in place"),
    ],
)
def test_import_says_which_splits_it_takes(crossgap, arrays, splits, query, gallery, why):
    said = crossgap("import", "nano", *(f"image/{split}=dtd.npz:test" for split in splits))
    assert f"retrieval: queries of {query}, gallery of {gallery}, {why}" in said
    assert f"retrieval: {{query: {query}, gallery: {gallery}}}" in said


def test_an_import_is_dvcs_from_the_start(tmp_path, crossgap, arrays):
    """The pointer is in git, so a commit has it: a clone is told how to have the store, and has it then."""
    environment = os.environ | {
        "DVC_NO_ANALYTICS": "1",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    environment |= {
        f"GIT_{who}_{what}": "t@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
    }

    def ran(words: str, folder: str = ".") -> str:
        done = subprocess.run(
            words.split(), cwd=tmp_path / folder, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    shutil.copy(ROOT / ".gitignore", tmp_path)
    for words in ("git init -q", "dvc init -q", f"dvc remote add -d team {tmp_path / 'remote'}"):
        ran(words)
    said = crossgap("import", "dtd", "image/test=dtd.npz:test")
    assert "data/imports/dtd.dvc is added to git: commit it, and `dvc push` shares the store" in said
    assert {"data/imports/dtd.dvc", "data/imports/.gitignore"} <= set(
        ran("git diff --cached --name-only").split()
    )
    held = (tmp_path / "data/imports/dtd/native.zarr.zip").read_bytes()
    raw = yaml.safe_load((ROOT / "params.yaml").read_text()) | {"finetune": {}, "idealised": {}}
    raw["run"] = run_of(imports=["dtd"])
    raw["imports"] = {
        "dtd": {"backbone": "b32", "dataset": "dtd", "retrieval": {"query": "test", "gallery": "test"}}
    }
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(raw))
    for words in (
        "git add .dvc params.yaml .gitignore",
        "git commit -qm state",
        "dvc push -q",
        "git clone -q . clone",
    ):
        ran(words)
    os.chdir(tmp_path / "clone")
    assert "`dvc pull data/imports/dtd.dvc` brings it" in crossgap("check", code=1)
    ran("dvc pull -q", "clone")
    assert crossgap("check") == "params.yaml is valid\n"
    assert Path("data/imports/dtd/native.zarr.zip").read_bytes() == held


def test_an_import_that_git_does_not_take_says_so(tmp_path, crossgap, arrays, monkeypatch):
    """As where another git process that was killed left its lock, or where there is no git at all."""
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    for words in (["git", "init", "-q"], [sys.executable, "-m", "dvc", "init", "-q"]):
        subprocess.run(words, check=True)
    (tmp_path / ".git/index.lock").touch()
    said = crossgap("import", "dtd", "image/test=dtd.npz:test")
    assert "data/imports/dtd.dvc tracks the store, and git did not take it (" in said and "index.lock" in said
    assert "is added to git" not in said and (tmp_path / "data/imports/dtd.dvc").exists()
    real = programs.done

    def without_git(words: list[str]) -> subprocess.CompletedProcess[str]:
        return real(["no such program"] if words[0] == "git" else words)

    monkeypatch.setattr(programs, "done", without_git)
    said = crossgap("import", "dtd", "image/test=dtd.npz:test", "--force")
    assert "git did not take it (there is no git): `git add` it to share the store" in said


def test_a_store_that_dvc_does_not_track_yet_is_told(tmp_path, crossgap, arrays, monkeypatch):
    """An import that was stopped behind its store goes on with one command."""
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    crossgap("import", "dtd", "image/test=dtd.npz:test")
    for words in (["git", "init", "-q"], [sys.executable, "-m", "dvc", "init", "-q"]):
        subprocess.run(words, check=True)
    said = crossgap("import", "dtd", "image/test=dtd.npz:test", code=1)
    assert "exists: let DVC track it with `dvc add data/imports/dtd`, choose another name, or replace" in said
    subprocess.run([sys.executable, "-m", "dvc", "add", "-q", "data/imports/dtd"], check=True)
    assert "let DVC track it" not in crossgap("import", "dtd", "image/test=dtd.npz:test", code=1)


def test_import_does_not_replace_a_store_unasked(tmp_path, crossgap, arrays):
    crossgap("import", "dtd", "image/test=dtd.npz:test")
    said = crossgap("import", "dtd", "image/test=dtd.npz:val", code=1)
    assert "data/imports/dtd/native.zarr.zip exists: choose another name, or replace it with --force" in said
    assert len(open_store(tmp_path / "data/imports/dtd/native.zarr.zip")["image/test"]) == 6
    crossgap("import", "dtd", "image/test=dtd.npz:val", "--force")
    assert len(open_store(tmp_path / "data/imports/dtd/native.zarr.zip")["image/test"]) == 4


def test_import_of_class_prompts_alone(crossgap, arrays):
    assert "text/classes: 4 items" in crossgap(
        "import", "dtd", "text/classes=dtd.npz:val", "text/classes:label.class=dtd.npz:v"
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["dtd"], "give arrays or --clip-retrieval FOLDER, one of the two"),
        (["dtd", "image/test=dtd.npz:test", "--clip-retrieval", "."], "one of the two"),
        (["dtd", "--clip-retrieval", "nowhere"], "holds neither img_emb/img_emb_0.npy"),
        (["dtd", "image/test=nowhere.npz:x"], "nowhere.npz:x: no such file"),
        (["dtd", "image/test=dtd.npz:x"], "no 'x'; it holds test, val, y, v"),
        (["../dtd", "image/test=dtd.npz:test"], "'../dtd' is no name of a store"),
        (["dtd.v2", "image/test=dtd.npz:test"], "'dtd.v2' is no name of a store"),
    ],
)
def test_import_of_what_is_not_there(tmp_path, crossgap, arrays, words, message):
    assert message in crossgap("import", *words, code=1)
    assert not (tmp_path / "data/imports").exists()


def test_plan_of_a_file_that_dvc_does_not_read(tmp_path, crossgap):
    """All cells, numbers of items by declaration; what is not known is said."""
    raw = yaml.safe_load((ROOT / "params.yaml").read_text())
    raw["datasets"]["mine"] = {
        "layout": "captions",
        "root": "x",
        "captions": "x.csv",
        "retrieval": {"query": "test", "gallery": "test"},
    }
    raw["run"]["datasets"].append("mine")
    raw["backbones"]["nano"]["weights"]["model"] = f"local-dir:{ROOT / 'data/backbones/nano'}"
    (tmp_path / "other.yaml").write_text(yaml.safe_dump(raw))
    lines = crossgap("plan", "--params", "other.yaml", "--no-probe").splitlines()
    assert lines[0].startswith("other.yaml is not what DVC reads here")
    rows = {line.split()[0]: line.split() for line in lines if line}
    backbones = len(raw["run"]["backbones"])
    assert rows["mine"][1:3] == ["?", "?"]
    assert rows["world"][1] == "1,150"
    table = [line.split() for line in lines if line.startswith(("encode ", "ovi "))]
    assert table[0][:3] == ["encode", str(2 * backbones), "0"]
    # 1,150 images, 7,846 texts, 216 styles and 31 texts of composed queries a backbone; (d + width) float32 each
    encoded = table[2]
    assert encoded[1] == f"{9243 * backbones:,}" and f"without {backbones} cells" in " ".join(encoded)
    assert float(encoded[2]) == float(f"{9243 * backbones * 256 * 4 / 1e6:.3g}")
    assert any(line.startswith("Not estimated: resolve, prepare, ") for line in lines)


def test_plan_of_what_is_wrong(tmp_path, crossgap):
    assert crossgap("plan", code=1) == "crossgap: params.yaml not found: run from the project's root\n"


@pytest.mark.parametrize("section", ["backbones", "datasets"])
def test_every_row_is_shown_as_it_is_pasted(tmp_path, crossgap, section):
    """What is printed goes below the section's line, and loads to the row that it is of."""
    text = (ROOT / "params.yaml").read_text()
    (tmp_path / "params.yaml").write_text(text)
    rows = [
        name for name in entries.rows(section) if f"\n  {name}:" not in text[text.index(f"\n{section}:") :]
    ]
    assert len(rows) == len(entries.rows(section)) - 1
    shown = [crossgap(section, "show", name) for name in rows]
    assert all(line.startswith("  ") for printed in shown for line in printed.splitlines())
    pasted = text.replace(f"\n{section}:\n", f"\n{section}:\n{''.join(shown)}")
    (tmp_path / "params.yaml").write_text(pasted)
    assert set(yaml.safe_load(pasted)[section]) == {*rows, *yaml.safe_load(text)[section]}
    assert load(tmp_path / "params.yaml") == load(ROOT / "params.yaml")


def test_a_row_is_shown_with_its_facts_and_whose_it_is(tmp_path, crossgap):
    said = crossgap("datasets", "show", "cub")  # needs no params.yaml
    assert "  # under `datasets:` in params.yaml; as the catalogue has it" in said
    assert "# CUB-200-2011: https://www.vision.caltech.edu/" in said and "licence: non-commercial" in said
    shutil.copy(ROOT / "params.yaml", tmp_path)
    said = crossgap("datasets", "show", "world")
    assert (
        "as params.yaml has it, in the place of the catalogue's" in said
        and "arithmetic: {colour: shape" in said
    )
    assert "what finetune.nano-clip of params.yaml makes: it has no row" in crossgap(
        "backbones", "show", "nano-clip", code=1
    )
    said = crossgap("backbones", "show", "nana", code=1)
    assert (
        "there is no 'nana' in the catalogue, nor under backbones in params.yaml; did you mean 'nano'?; there are coca-"
        in said
    )


def test_help_loads_nothing_heavy():
    code = (
        "import sys, crossgap.cli; print({'torch', 'pandas', 'dvc', 'pydantic', 'yaml'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"


@pytest.mark.parametrize(("number", "said"), [(signal.SIGINT, "crossgap: stopped\n"), (signal.SIGTERM, "")])
def test_a_signal_that_became_another_error_ends_by_its_convention(number, said):
    """As in the making of a class, whose error hides it."""
    code = (
        "import os, signal, sys, types\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where tests run in the background\n"
        "def app():\n"
        "    try:\n"
        f"        os.kill(os.getpid(), {int(number)})\n"
        "    except BaseException as error:\n"
        "        raise RuntimeError('Error calling __set_name__') from error\n"
        "sys.modules['crossgap.cli'] = types.SimpleNamespace(app=app)\n"
        "from crossgap.command import main\n"
        "main()\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (128 + number, said)


@pytest.mark.parametrize(
    "code",
    [
        "from crossgap.cli import app; app(['datasets'])",
        "from stages.common import guarded; guarded('weights', lambda: print('done'))",
    ],
)
@pytest.mark.parametrize(
    ("other", "said"),
    [
        # by which the same files would have other ids
        ({"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}, ["ascii", "PYTHONUTF8=1"]),
        # without which zarr can't read
        ({"PYTHONOPTIMIZE": "1"}, ["assertions", "unset PYTHONOPTIMIZE"]),
    ],
)
def test_a_python_that_runs_otherwise_is_told_first(tmp_path, code, other, said):
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), **other},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert all(words in done.stderr for words in said) and done.stderr.count("\n") == 1
