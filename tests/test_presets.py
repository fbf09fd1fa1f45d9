from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner

from crossgap.backbones import towers
from crossgap.catalogue import entries
from crossgap.cli import app
from crossgap.params import load
from crossgap.params.editing import as_dvc_writes, comments, edited
from crossgap.params.reading import parsed
from crossgap.presets import PRESETS, applied

OURS = Path(__file__).parents[1] / "params.yaml"
PUBLISHED = Path(__file__).parents[1] / "data/reference/published.csv"


def ours() -> dict:
    return yaml.safe_load(OURS.read_text())


@pytest.fixture(autouse=True)
def with_hub(monkeypatch):
    """As with crossgap[hub] installed: SigLIP's tokenizer is from there."""
    monkeypatch.setattr(towers, "_installed", lambda library: True)


def written(params: dict, folder: Path) -> Path:
    path = folder / "params.yaml"
    path.write_text(yaml.safe_dump(params))
    return path


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_gives_valid_params_that_can_be_changed_again(name, tmp_path):
    params = load(written(applied(name, ours()), tmp_path))
    preset = PRESETS[name]
    assert set(params.trained) | set(preset.backbones) <= set(params.run.backbones), "all are evaluated"
    assert set(preset.datasets) <= set(params.run.datasets)
    assert load(written(applied("intra-modal", applied(name, ours())), tmp_path)).run.backbones == [
        "nano",
        "nano-slip",
    ]


def test_the_study_is_every_loss_by_width_by_seed_and_the_papers_but_for_the_rates():
    rows = applied("contrastive-gap-coco", ours())["finetune"]
    assert len(rows) == 3 * 3 * 3
    assert rows["openai-b32-cua-64-2"] == {
        "backbone": "openai-b32",
        "dataset": "coco-2017",
        "losses": {"clip": 1, "uniformity": 1, "alignment": 1},
        "width": 64,
        "seed": 2,
    }
    rows = applied("contrastive-gap-world", ours())["finetune"]
    assert len(rows) == (3 * 2 + 6) * 3
    learned, refined = rows["nano-learned-64-1"], rows["nano-refine-own-2"]
    assert learned["learn_temperature"] and learned["width"] == 64 and learned["projection_lr"] == 2e-3
    assert refined["losses"] == {"random_alignment": 1, "hybrid_distillation": 1} and refined["seed"] == 2
    assert "width" not in refined and "projection_lr" not in refined


# a dataset as published.csv names it, where that is not its name in params.yaml in other letters
NAMES = {"ROxford": "roxford5k", "RParis": "rparis6k"}
MODELS = {
    "openai/ViT-B-32": "openai-b32",
    "openai/ViT-B-16": "openai-b16",
    "openai/ViT-L-14": "openai-l14",
    "datacomp/ViT-B-16": "datacomp-b16",
    "datacomp_xl_s13b_b90k/ViT-B-32": "datacomp-b32",
    "datacomp_xl_s13b_b90k/ViT-L-14": "datacomp-l14",
    "webli/ViT-B-16-SigLIP": "siglip-b16",
    "webli/ViT-B-16-SigLIP2": "siglip2-b16",
    "PE": "pe-core-b16",
    "SLIP/ViT-B-16": "slip-b16",
    "SLIP/ViT-L-16": "slip-l16",
    "DINOv2": "dinov2-b14",
    "DINOv3": "dinov3-l16",
    "DINOv3 L/16": "dinov3-l16",
}


@pytest.mark.parametrize(
    ("name", "source", "task", "chosen"),
    [
        ("cross-the-gap-table1", "2502.04263 poster", "image-to-image", "average15"),
        ("cross-the-gap-table2", "2502.04263 poster", "text-to-text", "average3"),
        ("cross-the-gap-table3", "2502.04263 poster", "zero-shot", "average11"),
        ("reevaluating-table3", "2603.16100 Table 3", "image-to-image", "average13"),
        ("reevaluating-controls", "2603.16100", "image-to-image", "average13"),
        ("dogs-vs-cats", "2603.16100", "image-to-image", "dogs-vs-cats"),
        ("isoclip-images", "2603.19862 poster", "image-to-image", "average13"),
        ("isoclip-texts", "2603.19862 poster", "text-to-text", "average3"),
    ],
)
def test_a_table_has_the_published_backbones_methods_and_number_of_datasets(name, source, task, chosen):
    """Every published cell has its cell; means over k datasets have k datasets."""
    params = applied(name, ours())
    table = pd.read_csv(PUBLISHED)
    table = table[(table["source"] == source) & (table["task"] == task)]
    rows = table[table["dataset"] == chosen]
    assert {MODELS[model] for model in rows["model"]} <= set(params["run"]["backbones"])
    if chosen.startswith("average"):
        assert len(params["run"]["datasets"]) == int(chosen.removeprefix("average"))
    named = {NAMES.get(found, found.lower()) for found in table["dataset"] if not found.startswith("average")}
    named -= {"dogs-vs-cats"} - {chosen}
    assert named <= set(params["run"]["datasets"])
    for method, needs in {"oti-image": "oti", "oti-text": "oti", "ovi-text": "ovi"}.items():
        if method in set(rows["method"]):
            assert params["run"][needs]["datasets"] == params["run"]["datasets"]
            assert params["run"][needs]["backbones"] == params["run"]["backbones"]
    assert set(rows["method"]) & {"pca_plus", "isoclip"} <= set(params["evaluate"]["corrections"])


def test_the_papers_recipe_replaces_what_was_set(tmp_path):
    params = ours()
    params["oti"] |= {"steps": 3, "lr": 1.0, "patience": 2, "gallery": True, "template": "a sketch of {}"}
    found = load(written(applied("cross-the-gap-table1", params), tmp_path)).oti
    assert (found.recipe.steps, found.recipe.lr, found.recipe.patience, found.gallery) == (
        150,
        0.02,
        None,
        False,
    )
    assert found.template == "a photo of {}"
    swept = load(written(applied("cross-the-gap-sweep", params), tmp_path))
    assert swept.oti.recipe.steps == 1000 and 17 in swept.oti.recipe.reached
    assert swept.run.sweep.tokens == [2, 4, 8, 16] and swept.run.oti.has("openai-b32", "cars")


def test_the_gap_is_kept_or_closed_and_oti_is_on_both_and_on_what_they_come_from(tmp_path):
    params = load(written(applied("cross-the-gap-temperature", ours()), tmp_path))
    assert {name: row.temperature for name, row in params.finetune.items()} == {
        "openai-b32-gap": 0.01,
        "openai-b32-no-gap": 1,
    }
    assert params.run.oti.backbones == ["openai-b32", "openai-b32-gap", "openai-b32-no-gap"]
    assert "coco-2017" not in params.run.oti.datasets and len(params.run.oti.datasets) == 5


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_is_about_rows_of_the_catalogue(name):
    """So it needs none in params.yaml; one's own stand in their place."""
    assert set(PRESETS[name].backbones) <= set(entries.rows("backbones"))
    assert set(PRESETS[name].datasets) <= set(entries.rows("datasets"))


def test_nothing_is_lost_of_what_the_user_set():
    params = ours()
    params["machine"]["device"] = "cuda:1"
    params["datasets"]["world"]["seed"] = 5
    params["backbones"]["openai-b32"] = {"weights": {"model": "ViT-B-32", "pretrained": "/models/mine.pt"}}
    for name in PRESETS:
        changed = applied(name, params)
        assert all(changed[section] == params[section] for section in ("machine", "datasets", "backbones"))


@pytest.mark.parametrize("name", PRESETS)
def test_comments_and_what_a_study_does_not_change_stay_to_the_letter(name):
    """Only the lines of what differs are other ones, and they are as DVC writes them."""
    text = OURS.read_text()
    wanted = applied(name, parsed(text, OURS))
    found = edited(text, wanted)
    assert parsed(found, OURS) == wanted
    assert [found[start:end] for start, end in comments(found)] == [
        text[start:end] for start, end in comments(text)
    ]
    assert as_dvc_writes(found) == found
    for section in ("machine", "backbones", "datasets"):
        block = text[text.index(f"\n{section}:") :].partition("\n\n")[0]
        assert block in found


def in_git(folder: Path, *words: str) -> None:
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    subprocess.run(["git", *identity, *words], cwd=folder, check=True, capture_output=True)


def test_the_command_lists_prints_and_writes(tmp_path):
    run = CliRunner().invoke
    listed = run(app, ["preset"])
    assert listed.exit_code == 0
    rows = listed.output.partition("\n\n")[0].splitlines()[1:]
    assert [row.split()[0] for row in rows] == list(PRESETS)
    assert all(row.endswith(held.words) for row, held in zip(rows, PRESETS.values(), strict=True))
    path = tmp_path / "params.yaml"
    path.write_text(OURS.read_text() + "# mine\n")
    printed = run(app, ["preset", "intra-modal", "--params", str(path)])
    assert printed.exit_code == 0 and printed.output.endswith("# mine\n")
    other = tmp_path / "other.yaml"
    assert run(app, ["preset", "intra-modal", "--params", str(path), "--output", str(other)]).exit_code == 0
    assert other.read_text() == printed.output and path.read_text() == OURS.read_text() + "# mine\n"
    assert load(other).pretrained("nano-slip").intra_modal.images == 64
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    again = run(app, ["preset", "intra-modal", "--params", str(path), "--output", str(other), "--force"])
    assert again.exit_code == 0
    assert other.read_bytes() == printed.output.encode().replace(b"\n", b"\r\n")
    unknown = run(app, ["preset", "table-1"])
    assert unknown.exit_code != 0 and "no preset 'table-1'; there are cross-the-gap-table1, " in str(
        unknown.exception
    )


def test_nothing_is_overwritten_that_git_does_not_have(tmp_path):
    path = tmp_path / "params.yaml"
    shutil.copy(OURS, path)
    words = ["preset", "intra-modal", "--params", str(path), "--output", str(path)]

    def refused() -> str:
        before = path.read_text()
        ran = CliRunner().invoke(app, words)
        assert ran.exit_code != 0 and path.read_text() == before
        return str(ran.exception or ran.output)

    assert "git doesn't have it: commit it, or overwrite it with --force" in refused()
    in_git(tmp_path, "init", "-q")
    assert "git doesn't have it" in refused()
    in_git(tmp_path, "add", "params.yaml")
    assert "changes that are not committed" in refused()
    in_git(tmp_path, "commit", "-qm", "state")
    assert CliRunner().invoke(app, words).exit_code == 0
    assert load(path).run.backbones == ["nano", "nano-slip"]
    assert "changes that are not committed: commit them, or overwrite it with --force" in refused()
    assert CliRunner().invoke(app, [*words, "--force"]).exit_code == 0


def test_what_is_wrong_of_the_file_is_said_first(tmp_path):
    path = tmp_path / "params.yaml"
    for text, said in [
        (
            OURS.read_text().replace("preset: paper", "preset: papers", 1),
            "oti: preset 'papers' is none of oti's",
        ),
        ("oti: {}\n", "run: missing; add it"),
    ]:
        path.write_text(text)
        ran = CliRunner().invoke(app, ["preset", "intra-modal", "--params", str(path)])
        assert ran.exit_code != 0 and said in str(ran.exception or ran.output)
