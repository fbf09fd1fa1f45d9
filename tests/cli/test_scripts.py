"""`--json`: one value on stdout, of numbers and names as they are; and how commands end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
import yaml
from typer.testing import CliRunner

from crossgap.catalogue import backbones, entries
from crossgap.cli import app
from crossgap.corrections import RIVALS
from crossgap.datasets import LAYOUTS
from crossgap.papers.figures import FIGURES
from crossgap.papers.studies import STUDIES
from crossgap.planning import pipeline
from crossgap.presets import PRESETS

ROOT = Path(__file__).parents[2]


def told(*words: str, code: int = 0):
    done = CliRunner().invoke(app, [*words, "--json"])
    assert done.exit_code == code, done.output
    return json.loads(done.stdout)


def test_datasets_as_the_catalogue_has_them(monkeypatch) -> None:
    monkeypatch.chdir(ROOT)
    found = {one["dataset"]: one for one in told("datasets")}
    assert found.keys() == entries.rows("datasets").keys()
    assert found["cub"]["images"] == 11788 and found["cub"]["on_disk"] is False
    assert found["world"] | {"published": []} == {
        "dataset": "world", "layout": "world", "images": 1150, "texts": 5750, "classes": None, "on_disk": None,
        "published": [],
    }  # fmt: skip
    assert found["roxford5k"]["published"] == ["2603.16100", "2502.04263"]


def test_backbones_as_the_catalogue_has_them(monkeypatch) -> None:
    monkeypatch.chdir(ROOT)
    found = {one["backbone"]: one for one in told("backbones")}
    assert found.keys() >= entries.rows("backbones").keys()
    known = backbones.facts()["openai-l14"].sizes
    of = {"oti_tokens": 1, "ovi_patches": 4, "backbone": "openai-l14"}
    assert found["openai-l14"].items() >= (known.model_dump(mode="json") | of).items()
    assert (found["dinov2-b14"]["oti_tokens"], found["dinov2-b14"]["ovi_patches"]) == (None, None)
    assert found["nano-clip"]["parameters"] is None and "made by finetune" in found["nano-clip"]["weights"]


def test_check_says_what_is_wrong_and_ends_with_1(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(ROOT)
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    assert told("check") == {"file": "params.yaml", "valid": True, "problem": None}
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text(yaml.safe_dump(params | {"oti": {"stepz": 3}}))
    found = told("check", str(wrong), code=1)
    assert not found["valid"] and "oti.stepz: unknown key" in found["problem"]


@pytest.mark.parametrize("command", ["backbones", "datasets"])
def test_options_of_a_list_are_not_lost_before_a_subcommand(command) -> None:
    ran = CliRunner().invoke(app, [command, "--params", "other.yaml", "check", "nano"])
    assert ran.exit_code == 2 and "give --params behind check" in " ".join(ran.output.split())


def test_status_and_verify_of_a_project_in_which_nothing_has_run(tmp_path, monkeypatch) -> None:
    (tmp_path / "params.yaml").write_text(
        (ROOT / "params.yaml").read_text(encoding="utf-8"), encoding="utf-8"
    )
    (tmp_path / "stages").symlink_to(ROOT / "stages")
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    (tmp_path / "data" / "scratch").mkdir(parents=True)
    (tmp_path / "data" / "scratch" / "part").write_bytes(b"12345")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pipeline, "outdated", lambda root, resolving: set())
    assert told("status") == {"stores": [], "scratch_bytes": 5, "set_aside_bytes": 0, "unused": []}
    assert told("verify") == {"problems": [], "to_have_them_again": [], "repaired": False}


def test_lists_of_what_crossgap_knows(monkeypatch) -> None:
    monkeypatch.chdir(ROOT)
    assert [one["correction"] for one in told("corrections")] == [*RIVALS]
    assert {one["study"] for one in told("preset")} == PRESETS.keys()
    printed = CliRunner().invoke(app, ["preset", "contrastive-gap-world"]).stdout
    assert told("preset", "contrastive-gap-world") == yaml.safe_load(printed)
    assert {one["name"] for one in told("figure")} == FIGURES.keys() | STUDIES.keys()
    layouts = {one["layout"]: one for one in told("datasets", "layouts")}
    assert layouts.keys() == LAYOUTS.keys() and "captions" in layouts["captions"]["needs"]
    fields = told("datasets", "layouts", "captions")
    assert {one["field"] for one in fields if one["needed"]} == {*layouts["captions"]["needs"]}
    (table,) = (one for one in told("datasets", "layouts", "table") if one["field"] == "table")
    assert {"path", "text", "label.<labelling>"} <= table["columns"].keys()
    (tower,) = [one for one in told("backbones", "towers", "ViT-L-14-336") if one["model"] == "ViT-L-14-336"]
    assert (tower["dim"], tower["text_width"], tower["vision_width"]) == (768, 768, 1024)


def test_a_plan_is_one_value_on_stdout_and_its_words_on_stderr(tmp_path, monkeypatch) -> None:
    raw = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    (tmp_path / "other.yaml").write_text(yaml.safe_dump(raw), encoding="utf-8")
    # where nothing is prepared, unlike here after a `dvc repro`
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "backbones").symlink_to(ROOT / "data" / "backbones")
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["plan", "--params", "other.yaml", "--no-probe", "--json"])
    assert done.exit_code == 0 and "every cell is planned" in done.stderr
    found = json.loads(done.stdout)
    stages = {one["stage"]: one for one in found["stages"]}
    backbones_run = len(raw["run"]["backbones"])
    assert stages["encode"]["to_run"] == stages["encode"]["cells"] == backbones_run
    assert (stages["encode"]["items"], stages["encode"]["seconds"]) == (9243 * backbones_run, None)
    assert stages["prepare"]["items"] is None
    assert found["datasets"] == [
        {"dataset": "world", "images": 1150, "texts": 8093, "known_by": "declaration"}
    ]


@pytest.mark.parametrize("words", [["tables"], ["table", "--format", "doc"], ["status", "more"]])
def test_words_that_are_not_understood_end_with_2(words) -> None:
    assert CliRunner().invoke(app, words).exit_code == 2


def test_help_says_how_commands_end_and_that_words_are_completed() -> None:
    said = " ".join(CliRunner().invoke(app, ["--help"]).output.split())
    assert "Ends with 0 where all is well; with 1" in said and "--install-completion" in said


def every(command, words: tuple[str, ...] = ()):
    """Names of all commands that do something themselves."""
    if words:
        yield words
    for name, below in getattr(command, "commands", {}).items():
        yield from every(below, (*words, name))


COMMANDS = sorted(every(typer.main.get_command(app)))


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_has_an_example_and_ends_with_2_where_a_word_is_not_understood(words) -> None:
    asked = CliRunner().invoke(app, [*words, "--nonsense"])
    assert (asked.exit_code, asked.stdout) == (2, "") and "No such option" in asked.stderr
    command = typer.main.get_command(app)
    for word in words:
        command = command.commands[word]
    examples = [line.strip() for line in command.help.splitlines() if line.strip().startswith("Example: ")]
    assert examples and all(line.startswith(f"Example: crossgap {' '.join(words)}") for line in examples)


WRONG = {  # in an empty folder
    "init .": "is not empty", "check": "params.yaml not found", "plan": "params.yaml not found",
    "report": "is not there", "export nano/world out": "", "layers x y": "backbone 'x'",
    "preset nope": "params.yaml not found", "migrate": "params.yaml not found", "table nope": "no table 'nope'",
    "table idealised": "no idealised study", "figure nope": "no figure 'nope'",
    "figure idealised": "no idealised study", "figure trainings": "nothing was fine-tuned here",
    "figure idealised nano/world": "of no cell", "figure -o x.svg": "without a figure: name one",
    "figure effects --format png -o x.svg": "x.svg does not end in .png: leave out --format",
    "preset --output x.yaml": "nothing is written to x.yaml without a study: name one",
    "preset cross-the-gap-table1 --force": "nothing is overwritten without --output",
    "table cross-the-gap-table1 --json --format latex": "--format latex: leave it or --json out",
    "table --format csv": "--format csv: the list of tables has no format: name a table",
    "figure --format pdf": "nothing is drawn without a figure: name one",
    "import x image/test=a.npz --split val": "of arrays say the split in each, as image/val=FILE",
    "init held --update --dataset cub": "--update changes no settings: leave out --dataset",
    "import x image/test=a.npz": "no such file",
    "compare a/x b/x": "nothing is measured here",
    "status": "", "verify": "", "clean": "", "datasets": "params.yaml not found",
    "backbones show nope": "no 'nope'", "backbones check nope": "", "datasets show nope": "no 'nope'",
    "datasets summaries nope a b": "", "datasets layouts zip": "no layout 'zip'",
    "datasets get nope": "'nope'", "datasets check nope": "",
}  # fmt: skip
ALWAYS = {("corrections",), ("backbones",), ("backbones", "towers")}  # that can list in any folder


def test_what_a_user_can_do_wrong_is_tried_of_every_command() -> None:
    tried = [tuple(words.split()) for words in WRONG]
    assert {words for words in COMMANDS if not any(one[: len(words)] == words for one in tried)} <= ALWAYS


@pytest.mark.parametrize("words", WRONG)
def test_a_users_error_is_one_sentence_and_ends_with_1(words, tmp_path, monkeypatch) -> None:
    """What `sys.exit` is given goes to stderr; nothing else is said."""
    if words == "init .":
        (tmp_path / "mine.txt").write_text("mine")
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, words.split())
    assert done.exit_code == 1, (done.output, done.exception)
    said = str(done.exception)
    assert said.startswith("crossgap: ") and WRONG[words] in said and "Traceback" not in said
    assert (done.stdout, done.stderr) == (f"{said}\n", "")


def test_a_row_is_shown_as_json(monkeypatch) -> None:
    monkeypatch.chdir(ROOT)
    found = told("datasets", "show", "flickr8k")
    assert found["row"] == entries.rows("datasets")["flickr8k"] and "flickr8k" in found["dataset"]
    assert found["how_to_get"] and found["licence"] and isinstance(found["published"], dict)
    found = told("backbones", "show", "openai-b32")
    assert found["row"] == entries.rows("backbones")["openai-b32"]
    assert found["title"] == backbones.facts()["openai-b32"].title
