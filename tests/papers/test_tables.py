"""Tables of the papers: what is wanted is what the presets run, and each number stands where it belongs."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from crossgap import numbers
from crossgap.cli import app
from crossgap.papers import cells, writing
from crossgap.papers.filling import Filled, filled
from crossgap.papers.tables import TABLES, table
from crossgap.params.reading import parsed
from crossgap.presets import PRESETS, applied
from crossgap.report.results import Results

ROOT = Path(__file__).parents[2]
PUBLISHED = cells.published(ROOT / "data")
PARAMS = (ROOT / "params.yaml").read_text(encoding="utf-8")
B32 = {"backbone_provenance": {"model": "ViT-B-32-quickgelu", "pretrained": "openai"}}


@pytest.mark.parametrize("name", TABLES)
def test_the_preset_of_its_name_runs_all_that_a_table_wants(name) -> None:
    run = applied(name, parsed(PARAMS, "params.yaml"))["run"]
    for row in table(name).rows:
        assert len(row.wanted) == len(table(name).columns)
        for wanted in row.wanted:
            assert {*wanted.backbones} <= {*run["backbones"]} and wanted.dataset in run["datasets"]
            for method in ("oti", "ovi"):
                if method in wanted.key.split("/")[1].split("+")[0]:
                    inverted = run[method]
                    assert {*wanted.backbones} <= {*inverted["backbones"]} and wanted.dataset in inverted[
                        "datasets"
                    ]
    assert name in PRESETS


def test_rows_of_json_have_published_figures_as_they_are_written() -> None:
    """Not 14.000000000000002, which is 100 times 0.14; and no digit less."""
    made = filled(
        table("reevaluating-table3"), [cell(retrieval__image_image__class__mAP=0.123456789)], PUBLISHED
    )
    assert 12.3456789 in [row["measured"] for row in writing.rows(made)]
    for name in TABLES:
        figures = [row["published"] for row in writing.rows(filled(table(name), [], PUBLISHED))]
        assert {len(f"{value!r}".partition(".")[2]) > 8 for value in figures if value is not None} <= {
            False
        }, name


@pytest.mark.parametrize(
    ("name", "sources"),
    {
        "cross-the-gap-table1": ("2502.04263 poster", "2603.16100 Table 3"),
        "cross-the-gap-table2": ("2502.04263 poster",),
        "cross-the-gap-table3": ("2502.04263 poster",),
        "cross-the-gap-temperature": ("2502.04263 poster",),
        "contrastive-gap-coco": ("2405.18570 code, 3-seed mean",),
        "contrastive-gap-transfer": ("2405.18570",),
        "reevaluating-table3": ("2603.16100 Table 3",),
        "isoclip-images": ("2603.19862 poster",),
        "isoclip-texts": ("2603.19862 poster",),
    }.items(),
)
def test_every_published_figure_of_its_source_stands_in_it_once(name, sources) -> None:
    """Each of its tasks, methods and settings: as many as the file has, in sum too."""
    found = [one for row in filled(table(name), [], PUBLISHED).rows for one in row.figures if one.source]
    wanted = [one for row in table(name).rows for one in row.wanted]
    named = {(one.published.task, one.published.method, one.published.setting) for one in wanted}
    models = {one.published.model for one in wanted}
    held = [
        row
        for row in PUBLISHED
        if row["source"] == sources[0]
        and row["model"] in models
        and (row["task"], row["method"], row["setting"]) in named
    ]
    own = [one for one in found if one.source == sources[0]]
    scale = 100 if name == "contrastive-gap-transfer" else 1
    values = [float(row["value"]) * (1 if "simat" in row["metric"] else scale) for row in held]
    assert len(own) == len(held) > 0
    assert sorted(one.published for one in own) == pytest.approx(sorted(values))
    assert {one.source for one in found} == {*sources}


def cell(backbone: str = "openai-b32", dataset: str = "dtd", provenance=B32, **metrics: float) -> Results:
    named = {name.replace("__", "/").replace("_", "-"): value for name, value in metrics.items()}
    return Results(
        backbone, dataset, named or {"retrieval/image-image/class/mAP": 0.2897}, provenance=provenance
    )


def figures(found: Filled, model: str, method: str) -> dict:
    (row,) = [row for row in found.rows if (row.model, row.method) == (model, method)]
    return dict(zip(found.columns, row.figures, strict=True))


@pytest.mark.parametrize(
    "made",
    [
        cell(),
        cell("mine"),
        cell("ViT-B/32 openai", "oxford dtd", provenance={}),
        cell(provenance={}),
    ],
    ids=["catalogue's", "of the same weights", "import", "by its name"],
)
def test_a_cell_is_found_by_its_name_or_weights(made) -> None:
    if made.dataset == "oxford dtd":
        made = Results(**{**vars(made), "published": "DTD"})
    found = figures(filled(table("reevaluating-table3"), [made], PUBLISHED), "OpenAI ViT-B/32", "image-image")
    assert found["DTD"].measured == pytest.approx(28.97)
    assert found["DTD"].published == 28.3
    assert [column for column, one in found.items() if one.measured is not None] == ["DTD"]


def test_other_weights_are_not_taken_for_a_published_backbone() -> None:
    other = {"backbone_provenance": {"model": "ViT-B-32", "pretrained": "laion2b_e16"}}
    found = filled(table("reevaluating-table3"), [cell("mine", provenance=other)], PUBLISHED)
    assert all(one.measured is None for row in found.rows for one in row.figures)


def test_an_average_stands_where_all_of_its_columns_do_and_a_setting_is_chosen() -> None:
    values = {"coco": 0.3, "flickr30k": 0.4, "nocaps": 0.8}
    held = [
        Results(
            "openai-b32",
            name,
            {"retrieval/text-text/group/mAP": value, "retrieval/text-text/group/mAP@R": 0.9},
        )
        for name, value in values.items()
    ]
    found = figures(filled(table("cross-the-gap-table2"), held, PUBLISHED), "OpenAI ViT-B/32", "text-text")
    assert found["average"].measured == pytest.approx(50) and found["average"].published == 37.7
    some = figures(filled(table("cross-the-gap-table2"), held[:2], PUBLISHED), "OpenAI ViT-B/32", "text-text")
    assert some["COCO"].measured == pytest.approx(30) and some["average"].measured is None
    landmarks = {f"retrieval/image-image/{setting}/mAP": value for setting, value in
                 {"easy": 0.9, "hard": 0.1, "medium": 0.5}.items()}  # fmt: skip
    made = filled(table("cross-the-gap-table1"), [Results("openai-b32", "roxford5k", landmarks)], PUBLISHED)
    assert figures(made, "OpenAI ViT-B/32", "image-image")["ROxford"].measured == 50


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        ({"group": 0.1, "judged": 0.2, "class": 0.3}, 30),
        ({"group": 0.1, "judged": 0.2}, 20),
        ({"make": 0.1, "group": 0.2}, 20),
        ({"make": 0.1}, 10),
        ({"make": 0.1, "year": 0.3}, None),
    ],
)
def test_of_several_labellings_the_published_one_is_taken_and_none_that_could_be_another(
    held, expected
) -> None:
    made = Results(
        "openai-b32", "dtd", {f"retrieval/image-image/{name}/mAP": value for name, value in held.items()}
    )
    found = figures(filled(table("reevaluating-table3"), [made], PUBLISHED), "OpenAI ViT-B/32", "image-image")
    assert found["DTD"].measured == (None if expected is None else pytest.approx(expected))


def test_seeds_are_averaged_and_their_number_said() -> None:
    held = [
        Results(f"openai-b32-cua-64-{seed}", "coco-2017", {"gap/centroid_distance": value})
        for seed, value in ((0, 0.1), (2, 0.2))
    ]
    found = filled(table("contrastive-gap-coco"), held, PUBLISHED)
    one = figures(found, "ViT-B/32 on COCO", "CUA")["distance, d = 64"]
    assert one.measured == pytest.approx(0.15) and one.published == 0.068
    assert "0.150" in writing.as_csv(found) and "| 0.150 |" in writing.as_markdown(found)
    assert "means of the seeds that were run: 2 of 3" in found.notes


def test_other_splits_and_each_columns_source_are_said() -> None:
    made = Results(
        "openai-b32", "dtd", {"retrieval/image-image/class/mAP": 0.3}, query="val", gallery="train"
    )
    found = filled(table("cross-the-gap-table1"), [made], PUBLISHED)
    (other,) = [note for note in found.notes if "other splits" in note]
    assert other.startswith("DTD on") and "published: query test" in other and "here: query val" in other
    (sources,) = [note for note in found.notes if note.startswith("published:")]
    assert sources.startswith("published: 2603.16100 Table 3 (ROxford, RParis, ImageNet,")
    assert sources.endswith("; 2502.04263 poster (average)")
    same = Results("openai-b32", "dtd", made.metrics, query="test", gallery="train")
    assert "other splits" not in " ".join(filled(table("cross-the-gap-table1"), [same], PUBLISHED).notes)


def test_latex_is_a_booktabs_table_with_as_many_cells_in_every_row() -> None:
    text = writing.as_latex(filled(table("cross-the-gap-temperature"), [], PUBLISHED))
    rows = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert len(rows) == 1 + 2 * 4 and {row.count("&") for row in rows} == {7}
    assert text.count(r"\toprule") == text.count(r"\bottomrule") == 1 and text.count(r"\midrule") == 2
    assert r"\textit{24.1} & \textit{35.2} & \textit{44.0}" in text
    assert "--: not run here (20 of 20; \\texttt{crossgap preset cross-the-gap-temperature} has" in text
    special = writing._escaped("a_b & 50 % #1 {x} ~ ^ $")
    assert special == r"a\_b \& 50 \% \#1 \{x\} \textasciitilde{} \textasciicircum{} \$"


def test_csv_has_numbers_alone_and_markdown_a_dash() -> None:
    found = filled(table("reevaluating-table3"), [cell()], PUBLISHED)
    rows = list(csv.DictReader(io.StringIO(writing.as_csv(found))))
    assert rows[0]["DTD"] == "29.0" and rows[1]["DTD"] == "28.3" and rows[0]["Cars"] == ""
    assert [row["figures"] for row in rows[:2]] == ["measured", "published"]
    lines = writing.as_markdown(found).splitlines()
    (head,) = [line for line in lines if line.startswith("| model")]
    assert all(line.count("|") == head.count("|") for line in lines if line.startswith("|"))
    assert " – " in lines[4] and "*28.3*" in lines[5] and "OpenAI ViT-B/32 | image-image" in lines[4]


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    """One cell of a run of two, measured, in a folder of its own."""
    data = tmp_path / "data"
    shutil.copytree(ROOT / "data" / "reference", data / "reference")
    named = {"published": None, "query": "test", "gallery": "train"}
    run = [
        {"backbone": "openai-b32", "dataset": name, "folder": ["openai-b32", name], **named}
        for name in ("dtd", "cub")
    ]
    (data / "resolved").mkdir()
    (data / "resolved" / "report.json").write_text(json.dumps({"cells": run}))
    tables = data / "metrics" / "openai-b32" / "dtd" / "tables"
    tables.mkdir(parents=True)
    numbers.write(tables / "metrics.csv", {"retrieval/image-image/class/mAP": 0.2897})
    (tables / "provenance.json").write_text('{"measured_on": {}, "not_inverted": []}')
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_numbers_of_other_modalities_are_known_by_their_roles(project) -> None:
    tables = project / "data/metrics/openai-b32/dtd/tables"
    numbers.write(tables / "metrics.csv", {"retrieval/protein-protein/class/mAP": 0.2897})
    said = {"measured_on": {}, "not_inverted": [], "modalities": {"image": "protein", "text": "text"}}
    (tables / "provenance.json").write_text(json.dumps(said))
    ((found,), _) = cells.measured(project / "data")
    assert found.metrics == {"retrieval/image-image/class/mAP": 0.2897}


def test_the_command_prints_what_this_project_measured(project) -> None:
    listed = CliRunner().invoke(app, ["table"])
    assert listed.exit_code == 0 and all(name in listed.output for name in TABLES)
    done = CliRunner().invoke(app, ["table", "reevaluating-table3", "--format", "csv"])
    assert done.exit_code == 0 and done.stdout.splitlines()[1].split(",")[:3] == [
        "OpenAI ViT-B/32",
        "image-image",
        "measured",
    ]
    assert "29.0" in done.stdout and "not run here (155 of 156" in done.stderr
    told = json.loads(CliRunner().invoke(app, ["table", "reevaluating-table3", "--json"]).stdout)
    assert [one for one in told if one["measured"]] == [
        {
            "model": "OpenAI ViT-B/32", "method": "image-image", "column": "DTD",
            "measured": pytest.approx(28.97), "published": 28.3, "source": "2603.16100 Table 3",
        }
    ]  # fmt: skip


def test_wrong_names_and_places_are_told(project, monkeypatch, tmp_path) -> None:
    wrong = CliRunner().invoke(app, ["table", "table1"])
    assert (
        wrong.exit_code == 1
        and f"no table 'table1'; there are {', '.join(TABLES)}, idealised" in wrong.output
    )
    (project / "data/metrics/openai-b32/dtd/tables/metrics.csv").unlink()
    old = CliRunner().invoke(app, ["table", "reevaluating-table3"])
    assert old.exit_code == 1 and "let `dvc repro` make the cell again" in old.output
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    lost = CliRunner().invoke(app, ["table", "reevaluating-table3"])
    assert lost.exit_code == 1 and "go to the root of a project" in lost.output


@pytest.mark.parametrize(
    ("file", "held", "said"),
    [
        ("metrics.csv", None, "metrics.csv is not there"),
        ("metrics.csv", b"family,task,baseline,relevance,metric,value\ngap,ga", "metrics.csv is cut short"),
        ("metrics.csv", b"family,task,baseline,relevance,metric,value\ngap,gap\n", "metrics.csv is damaged"),
        ("metrics.csv", b"family,task\xff\n", "metrics.csv is damaged"),
        ("provenance.json", b"{", "provenance.json is no JSON"),
    ],
)  # fmt: skip
def test_a_broken_cell_is_named_and_the_whole_ones_are_printed(project, file, held, said) -> None:
    tables = project / "data/metrics/openai-b32"
    shutil.copytree(tables / "dtd", tables / "cub")
    broken = tables / "cub" / "tables" / file
    broken.unlink()
    if held is not None:
        broken.write_bytes(held)
    done = CliRunner().invoke(app, ["table", "reevaluating-table3", "--format", "csv"])
    assert done.exit_code == 1 and "29.0" in done.stdout
    assert f"openai-b32/cub/tables/{said}" in done.output and "openai-b32/dtd" not in done.output


def test_a_damaged_list_of_cells_is_an_error(project) -> None:
    (project / "data/resolved/report.json").write_text('{"cells": [')
    done = CliRunner().invoke(app, ["table", "reevaluating-table3"])
    assert done.exit_code == 1 and "report.json is no JSON" in done.output
