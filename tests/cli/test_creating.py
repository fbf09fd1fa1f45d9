"""`crossgap init`: what it makes of one's own data, and what it refuses."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from typer.testing import CliRunner

from crossgap.cli import app, creating, declaring
from crossgap.cli.overwriting import require_in_git
from crossgap.cli.splits import query_and_gallery
from crossgap.datasets.image_files import EXTENSIONS
from crossgap.errors import CrossgapError
from crossgap.params import load, load_text
from crossgap.projects import files, pinned

ROOT = Path(__file__).parents[2]
PARAMS = (ROOT / "params.yaml").read_text(encoding="utf-8")


def made(folder: Path, *paths: str) -> Path:
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(b"")
    return folder


def declared(images: Path | None = None, captions: Path | None = None, dataset: str | None = None) -> dict:
    """The row, put into params.yaml and read again."""
    name, row = declaring.declared(images, captions, dataset)
    params = load_text(creating._params(PARAMS, ["nano"], name, row), "params.yaml")
    assert [*params.run.datasets] == [name] and [*params.run.ovi.backbones] == ["nano"]
    assert not params.finetune and not params.idealised and not params.run.sweep.tokens
    return params.datasets[name].model_dump(mode="json", exclude_unset=True)


def test_folders_of_classes_with_and_without_splits(tmp_path) -> None:
    plain = made(tmp_path / "plain", "owl/1.JPG", "wren/1.png")
    assert declared(plain) == {
        "layout": "imagefolder", "root": str(plain), "retrieval": {"query": "test", "gallery": "test"},
    }  # fmt: skip
    split = made(tmp_path / "split", "train/owl/1.jpg", "test/owl/1.jpg", "val/owl/1.jpg", "notes/read.txt")
    row = declared(split, dataset="birds")
    assert row["splits"] == ["test", "train", "val"] and row["retrieval"] == {
        "query": "test",
        "gallery": "train",
    }
    only = made(tmp_path / "only", "photos/owl/1.jpg", "__MACOSX/photos/1.jpg", ".cache/owl/1.jpg")
    assert declared(only)["splits"] == ["photos"]


@pytest.mark.parametrize("ending", sorted(EXTENSIONS))
def test_what_the_readers_take_for_an_image_makes_a_class(tmp_path, ending) -> None:
    folder = made(tmp_path / "images", f"owl/1.{ending}", f"wren/1.{ending.upper()}")
    assert declaring.declared(folder, None, None)[1]["root"] == str(folder)


def test_what_dvc_refuses_is_said_by_it_in_one_line(tmp_path, monkeypatch) -> None:
    made(tmp_path, "home/dvc/config")
    (tmp_path / "home/dvc/config").write_text("[core")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    refused = CliRunner().invoke(app, ["init", str(tmp_path / "birds"), "--backbone", "nano"])
    assert refused.exit_code == 1 and not (tmp_path / "birds").exists()
    assert re.search(
        r"-m dvc init` failed: configuration error - .*Invalid line.*: mend that", refused.output
    )
    assert len(refused.output.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["Train", "Test"], ("Test", "Train")),
        (["dev", "train"], ("dev", "train")),
        (["gallery", "query"], ("query", "gallery")),
        (["test_set", "train_set"], ("test_set", "train_set")),
        (["test", "val"], ("test", "val")),
        (["val", "test", "train"], ("test", "train")),
        (["val", "corpus"], ("val", "corpus")),
        (["mine"], ("mine", "mine")),
        (["a", "b"], None),
        (["train-a", "train-b"], None),
        (["a", "test", "b"], None),
    ],
)
def test_splits_are_what_their_names_say(names, expected) -> None:
    assert query_and_gallery(names) == expected


@pytest.mark.parametrize(
    ("files", "why"),
    [
        (["a/owl/1.jpg", "b/owl/1.jpg"], "has the folders a, b, and their names don't tell which split asks"),
        (["train/owl/1.jpg", "extra/1.jpg"], "extra has images and train has folders of images"),
        (["train/1.jpg", "test/1.jpg"], "test, train of .* are named like splits and have no classes"),
        (["te st/owl/1.jpg", "train/owl/1.jpg"], "the folder 'te st' of .* can be no split"),
    ],
)
def test_folders_that_can_be_meant_otherwise_are_told(files, why, tmp_path) -> None:
    with pytest.raises(CrossgapError, match=why):
        declaring.declared(made(tmp_path / "images", *files), None, None)


def test_captions_and_a_known_dataset(tmp_path) -> None:
    made(tmp_path, "photos/1.jpg", "captions.csv")
    row = declared(tmp_path / "photos", tmp_path / "captions.csv")
    assert (row["layout"], row["captions"]) == ("captions", str(tmp_path / "captions.csv"))
    assert declaring.declared(None, None, "cub") == ("cub", None)
    assert declared(dataset="cub")["layout"] == "cub"


@pytest.mark.parametrize(
    ("dataset", "backbones", "oti", "ovi"),
    [
        ("cub", ["nano", "dinov2-b14"], ["nano"], ["nano"]),
        ("cub", ["dinov2-b14"], [], []),
        ("coco", ["nano"], [], ["nano"]),
        ("imdb", ["nano"], [], ["nano"]),
        ("captions", ["nano"], [], ["nano"]),
    ],
)
def test_what_is_inverted_is_what_something_is_measured_with(tmp_path, dataset, backbones, oti, ovi) -> None:
    if dataset == "captions":  # one's own
        name, row = declaring.declared(tmp_path, made(tmp_path, "captions.csv") / "captions.csv", None)
    else:
        name, row = dataset, None
    run = load_text(creating._params(PARAMS, backbones, name, row), "params.yaml").run
    assert run.backbones == backbones
    for section, expected in ((run.oti, oti), (run.ovi, ovi)):
        assert section.backbones == expected and section.datasets == ([name] if expected else [])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"images": "lost"}, r"--images: there is no folder lost"),
        ({"images": ".", "captions": "lost.csv"}, r"--captions: there is no file lost\.csv"),
        ({"captions": "a.csv"}, r"--captions: .* give their folder as --images"),
        ({"dataset": "cubs"}, r"--dataset: 'cubs' is none that crossgap knows; did you mean 'cub'"),
        ({"images": "."}, r"no images as CLASS/IMAGE or SPLIT/CLASS/IMAGE"),
    ],
)
def test_what_is_not_there_is_said(tmp_path, monkeypatch, given, message) -> None:
    monkeypatch.chdir(tmp_path)
    paths = {name: Path(value) if name != "dataset" else value for name, value in given.items()}
    with pytest.raises(CrossgapError, match=message):
        declared(**paths)


def test_nothing_is_overwritten_and_nothing_left_of_what_is_refused(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    made(tmp_path, "held/notes.txt", "file")
    for folder in ("held", "file"):
        done = CliRunner().invoke(app, ["init", folder])
        assert done.exit_code == 1 and f"{folder} is not empty: name a new folder" in done.output
    wrong = CliRunner().invoke(app, ["init", "new", "--backbone", "nanoo"])
    assert "--backbone: 'nanoo' is none that crossgap knows; did you mean 'nano'?" in wrong.output
    assert wrong.exit_code == 1 and wrong.output.count("nanoo") == 1 and not Path("new").exists()
    none = CliRunner().invoke(app, ["init", "held", "--update"])
    assert none.exit_code == 1 and "no project made by `crossgap init`" in none.output


def test_a_remedy_is_an_option_that_the_command_has(tmp_path) -> None:
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    file = made(tmp_path, "stages.yaml") / "stages.yaml"
    with pytest.raises(CrossgapError, match=r"git doesn't have it: commit it, or overwrite it with --force$"):
        require_in_git(file)
    with pytest.raises(CrossgapError, match=r"git doesn't have it: commit it, or remove it$"):
        require_in_git(file, "remove it")
    subprocess.run(["git", "-C", str(tmp_path), "add", file.name], check=True)
    with pytest.raises(CrossgapError, match=r"not committed: commit them, or overwrite it with --force$"):
        require_in_git(file)
    with pytest.raises(CrossgapError, match=r"not committed: commit them, or remove it$"):
        require_in_git(file, "remove it")


def test_every_file_that_the_pipeline_needs_is_among_those_a_project_starts_with() -> None:
    """Whatever git has of them: no stage, template or reference table is forgotten."""
    found = {path.as_posix() for path in files.starting(ROOT)}
    stages = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "stages").rglob("*")
        if path.suffix in (".py", ".yaml")
    }
    assert stages <= found and len(stages) > 20
    assert {
        "dvc.yaml",
        "params.yaml",
        ".dvc/config",
        ".dvc/plots/curves.json",
        "data/reference/published.csv",
    } < found
    assert "data/backbones/nano/open_clip_model.safetensors" in found
    assert not [
        path for path in found if path.startswith(("stages/", "data/")) and path.endswith(("lock", "pyc"))
    ]


def test_another_crossgap_than_the_projects_is_refused(tmp_path) -> None:
    pinned.require_pinned(tmp_path)
    (tmp_path / pinned.PIN).write_text(pinned.pin())
    pinned.require_pinned(tmp_path)
    held = json.loads(pinned.pin())
    for content, message in (
        (
            held | {"crossgap": "0.0.9", "digest": "x"},
            r"runs by crossgap 0\.0\.9 .* is installed: install that one",
        ),
        (
            held | {"digest": "x"},
            r"another crossgap 0\.1\.0 than the one installed, of the same version and other files \(.*\): install",
        ),
        ([], r"is damaged: `crossgap init --update"),
    ):
        (tmp_path / pinned.PIN).write_text(json.dumps(content))
        with pytest.raises(pinned.PinError, match=message):
            pinned.require_pinned(tmp_path)


def test_what_is_compiled_beside_the_code_is_no_other_crossgap(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("crossgap.__file__", str(tmp_path / "crossgap/__init__.py"))
    kept = tmp_path / "crossgap/metrics/__pycache__"
    kept.mkdir(parents=True)
    (tmp_path / "crossgap/__init__.py").write_text("")
    held = pinned.pin()
    # numba's and Python's
    for name in ("kernels.py311.nbi", "kernels.py311.1.nbc", "kernels.cpython-311.pyc"):
        (kept / name).write_text("compiled")
        assert pinned.pin() == held
    (kept.parent / "kernels.py").write_text("")
    assert pinned.pin() != held


def test_the_repository_itself_has_no_pin() -> None:
    assert not (ROOT / pinned.PIN).exists() and load(ROOT / "params.yaml")


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """`crossgap init new` on a terminal, answered so; what it would make of it: params and remote, a list."""
    made_of: list = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(creating, "sys", SimpleNamespace(stdin=SimpleNamespace(isatty=lambda: True)))
    monkeypatch.setattr(
        creating,
        "_create",
        lambda folder, template, text, remote: made_of.append((load_text(text, "params.yaml"), remote)),
    )

    def answer(*lines: str, options: tuple[str, ...] = ()):
        typed = "".join(f"{line}\n" for line in lines)
        return CliRunner().invoke(app, ["init", "new", *options], input=typed), made_of

    return answer


def test_on_a_terminal_images_captions_and_backbone_are_asked_for(asked, tmp_path) -> None:
    made(tmp_path, "photos/owl/1.jpg", "captions.csv")
    done, of = asked(str(tmp_path / "photos"), "", "", options=("--remote", "s3://team/birds"))
    assert done.exit_code == 0 and "new is a project: openai-b32 on mine" in done.output
    questions = ("Folder of your images", "CSV of captions", "Backbone, of those")
    assert [done.output.count(words) for words in questions] == [1, 1, 1]
    ((params, remote),) = of
    assert params.datasets["mine"].layout == "imagefolder" and remote == "s3://team/birds"
    assert [*params.run.backbones] == ["openai-b32"]
    of.clear()
    done, of = asked(str(tmp_path / "photos"), str(tmp_path / "captions.csv"), "nano")
    assert done.exit_code == 0 and of[0][0].datasets["mine"].layout == "captions"
    assert [*of[0][0].run.backbones] == ["nano"]


def test_without_an_answer_a_project_has_the_embedded_example(asked) -> None:
    done, ((params, _),) = asked("")
    assert "CSV of captions" not in done.output and "nano on world" in done.output
    assert [*params.run.datasets] == ["world"]


@pytest.mark.parametrize(
    ("answers", "code", "message"),
    [
        (("lost", "", ""), 1, "--images: there is no folder lost"),
        (("empty", "", ""), 1, "no images as CLASS/IMAGE"),
        (("photos", "", "nanoo"), 1, "nanoo"),
        (("photos",), 1, "Aborted"),
    ],
)
def test_a_wrong_answer_ends_it_before_anything_is_made(asked, tmp_path, answers, code, message) -> None:
    made(tmp_path, "photos/owl/1.jpg", "empty/read.txt")
    done, of = asked(*answers)
    assert done.exit_code == code and message in done.output
    assert not of and not Path("new").exists()


def test_with_an_option_nothing_is_asked(asked) -> None:
    done, of = asked(options=("--dataset", "world"))
    assert done.exit_code == 0 and "Folder of your images" not in done.output and len(of) == 1


def test_an_update_writes_a_damaged_pin_again_and_no_change_of_the_users(tmp_path) -> None:
    crossgap = CliRunner()
    made_ = crossgap.invoke(app, ["init", str(tmp_path / "held"), "--dataset", "world"])
    assert made_.exit_code == 0, made_.output
    subprocess.run(
        ["git", "-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "-qm", "all"],
        cwd=tmp_path / "held",
        check=True,
    )
    script = tmp_path / "held" / "stages" / "common.py"
    text = script.read_text()
    script.write_text("# mine")
    refused = crossgap.invoke(app, ["init", str(tmp_path / "held"), "--update"])
    assert refused.exit_code == 1 and "commit them, or remove it, and it is written again" in refused.output
    script.unlink()
    (tmp_path / "held" / pinned.PIN).write_text("[]")
    done = crossgap.invoke(app, ["init", str(tmp_path / "held"), "--update"])
    assert done.exit_code == 0 and f"runs by crossgap {version('crossgap')} now" in done.output
    assert (tmp_path / "held" / pinned.PIN).read_text() == pinned.pin() and script.read_text() == text


def test_an_update_has_git_ignore_what_new_stages_make(tmp_path) -> None:
    crossgap, held = CliRunner(), tmp_path / "my held"
    done = crossgap.invoke(app, ["init", str(held), "--dataset", "world"])
    assert done.exit_code == 0 and f"cd '{held}' && crossgap check" in done.output, "words of a shell"
    subprocess.run(
        ["git", "-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "-qm", "all"],
        cwd=held,
        check=True,
    )
    shipped = (held / ".gitignore").read_text()
    older = shipped.replace("/data/distilled\n", "") + "/mine"
    (held / ".gitignore").write_text(older)
    for _ in range(2):
        assert crossgap.invoke(app, ["init", str(held), "--update"]).exit_code == 0
        assert (held / ".gitignore").read_text() == f"{older}\n/data/distilled\n"


def test_git_ignores_what_every_stage_makes(tmp_path) -> None:
    """What git holds DVC refuses to keep, after the stage has computed it."""
    made = [
        re.sub(r"\$\{[\w.]+\}", "any", name)
        for file in (ROOT / "dvc.yaml", *ROOT.glob("stages/*/dvc.yaml"))
        for stage in yaml.safe_load(file.read_text(encoding="utf-8"))["stages"].values()
        for out in stage.get("do", stage).get("outs", [])
        for name, options in (out.items() if isinstance(out, dict) else [(out, {})])
        if options.get("cache", True)
    ]
    shutil.copy(ROOT / ".gitignore", tmp_path)
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    said = subprocess.run(["git", "check-ignore", *made], cwd=tmp_path, capture_output=True, text=True)
    assert len(made) > 15 and sorted(said.stdout.splitlines()) == sorted(made)


@pytest.mark.parametrize("stop", [OSError(28, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("exists", [False, True])
def test_of_a_project_that_was_not_finished_nothing_stays(tmp_path, monkeypatch, stop, exists) -> None:
    folder, crossgap = tmp_path / "held", CliRunner()
    if exists:
        folder.mkdir()

    def stopped(_folder: Path) -> None:
        raise stop

    with monkeypatch.context() as patched:
        patched.setattr(creating, "_pin", stopped)
        assert crossgap.invoke(app, ["init", str(folder), "--dataset", "world"]).exit_code
    assert list(tmp_path.rglob("*")) == ([folder] if exists else [])
    assert crossgap.invoke(app, ["init", str(folder), "--dataset", "world"]).exit_code == 0


def test_an_update_that_was_stopped_goes_on(tmp_path, monkeypatch) -> None:
    crossgap, held = CliRunner(), tmp_path / "held"
    assert crossgap.invoke(app, ["init", str(held), "--dataset", "world"]).exit_code == 0
    paths = ["stages/common.py", "stages/weights.py"]
    for path in paths:
        (held / path).write_text("# of an older crossgap")
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "-qam", "all"]
    subprocess.run(["git", "add", "."], cwd=held, check=True)
    subprocess.run(git, cwd=held, check=True)
    copy = creating._copy

    def stopped(template: Path, folder: Path, path: Path) -> None:
        if path.as_posix() == paths[1]:
            raise OSError(28, "No space left on device")
        copy(template, folder, path)

    with monkeypatch.context() as patched:
        patched.setattr(creating, "_copy", stopped)
        assert crossgap.invoke(app, ["init", str(held), "--update"]).exit_code == 1
    done = crossgap.invoke(app, ["init", str(held), "--update"])
    assert done.exit_code == 0, done.output
    assert all((held / path).read_text() == (ROOT / path).read_text() for path in paths)
