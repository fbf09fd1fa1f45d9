"""Facts of datasets against the rows of params.yaml, and `crossgap datasets`."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest
import torchvision
import yaml
from PIL import Image
from pydantic import TypeAdapter
from typer.testing import CliRunner

from crossgap.catalogue import entries
from crossgap.catalogue.datasets import facts_of, how_to_get, known, names, plain
from crossgap.catalogue.datasets.comparing import compare
from crossgap.catalogue.datasets.fetching import fetch
from crossgap.cli import app
from crossgap.datasets.declared import DatasetError, Declaration, ImageFolder
from crossgap.datasets.reading import kinds
from crossgap.params import load
from crossgap.presets.tables import FIFTEEN

PARAMS = Path(__file__).parents[2] / "params.yaml"
DECLARED = load(PARAMS).datasets
CLASSES = ("cat", "dog")


def photos(root: Path, each: int = 3) -> Path:
    for number, name in enumerate(CLASSES):
        (root / name).mkdir(parents=True)
        for place in range(each):
            Image.new("RGB", (8, 8), (number * 200, place * 50, 0)).save(root / name / f"{place}.png")
    return root


def pets(root: Path, images: int) -> ImageFolder:
    return ImageFolder.model_validate(
        {
            "layout": "imagefolder",
            "root": root,
            "retrieval": {"query": "test"},
            "sizes": {"test": {"images": images, "classes": 2}},
        }
    )


def told(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["datasets", *map(str, words)])
    text = result.stdout if result.exception is None or result.exit_code == 1 else repr(result.exception)
    if isinstance(result.exception, SystemExit) and isinstance(result.exception.code, str):
        text += result.exception.code
    return result.exit_code, text


@pytest.fixture
def params(tmp_path) -> Path:
    """params.yaml with the dataset `own`, which has six images and declares them."""
    raw = yaml.safe_load(PARAMS.read_text())
    own = pets(photos(tmp_path / "own"), 6).model_dump(mode="json", exclude_defaults=True)
    raw["datasets"]["own"] = own
    file = tmp_path / "params.yaml"
    file.write_text(yaml.safe_dump(raw))
    return file


@pytest.mark.parametrize("name", entries.rows("datasets"))
def test_every_row_is_valid(name) -> None:
    found = TypeAdapter(Declaration).validate_python(entries.rows("datasets")[name])
    for split in getattr(found, "sizes", {}):
        assert split in found.splits_read


def test_every_entry_stands_in_one_file_and_goes_by_names_of_its_own() -> None:
    files = [yaml.safe_load(file.read_text()) for file in (entries.FOLDER / "datasets").glob("*.yaml")]
    assert sorted(name for file in files for name in file) == sorted(known())
    for name, facts in known().items():
        published = entries.rows("datasets")[name].get("controls", {}).get("published")
        for called in (name, facts.title, *facts.also, published or name):
            assert names()[plain(called)] == name


def test_published_tables_name_datasets_of_the_catalogue() -> None:
    table = pd.read_csv(PARAMS.parent / "data" / "reference" / "published.csv")
    named = {plain(name) for name in table["dataset"] if not name.startswith("average")}
    assert named <= set(names())


def test_what_is_published_of_retrieval_is_by_the_rows_own_splits() -> None:
    published = {name for name, facts in known().items() if facts.protocol}
    assert published == {*FIFTEEN}
    for name in published - {"roxford5k", "rparis6k", "cub", "sop"}:
        assert (DECLARED[name].retrieval.query, DECLARED[name].retrieval.gallery) == ("test", "train")
    assert all(DECLARED[name].controls.protocol == "revisited" for name in ("roxford5k", "rparis6k"))


@pytest.mark.parametrize("name", sorted(known()))
def test_facts_say_where_a_set_comes_from_and_what_lies_under_its_root(name) -> None:
    facts = facts_of(name)
    assert facts.title and facts.reference and facts.licence
    if name != "world":
        assert re.fullmatch(r"https?://\S+", facts.url)
        assert len(facts.tree.strip().splitlines()) >= 1
    for made_by in facts.torchvision:
        assert hasattr(torchvision.datasets, made_by)
    assert facts.tree.rstrip() in how_to_get(name)


def test_files_that_a_declaration_names_are_in_the_tree() -> None:
    for name, declaration in DECLARED.items():
        for field in ("split_file", "ground_truth"):
            if file := getattr(declaration, field, None):
                assert file in facts_of(name).tree, name


def test_an_unknown_name_is_told_the_known_ones() -> None:
    with pytest.raises(DatasetError, match=r"'nowhere' is none of the known datasets: .*cub"):
        facts_of("nowhere")


def test_what_is_as_declared_has_no_problems(tmp_path) -> None:
    found = compare(pets(photos(tmp_path / "there"), 6))
    assert found.problems.empty
    assert found.counts.to_dict("records") == [
        {
            "split": "test", "images": 6, "texts": 0, "classes": 2,
            "declared_images": 6, "declared_texts": None, "declared_classes": 2,
        }
    ]  # fmt: skip


def test_another_root_is_looked_at_and_all_is_told(tmp_path) -> None:
    root = photos(tmp_path / "elsewhere")
    (root / "cat" / "1.png").write_bytes(b"half")
    (root / "dog" / "2.png").unlink()
    found = compare(pets(tmp_path / "nowhere", 6), root)
    assert sorted(kinds(found.problems["problem"]).split(", ")) == [
        "1 × another size",
        "1 × not an image that Pillow can read",
    ]
    assert found.counts.loc[0, "images"] == 4
    with pytest.raises(DatasetError, match="does not exist"):
        compare(pets(tmp_path / "nowhere", 6))


def test_the_list_has_a_row_for_every_dataset() -> None:
    code, text = told("--params", PARAMS)
    assert code == 0
    rows = {line.split()[0]: re.split(r"  +", line) for line in text.partition("\n\n")[0].splitlines()[1:]}
    assert list(rows) == list(DECLARED)
    assert {len(row) for row in rows.values()} == {7}
    assert rows["cub"] == ["cub", "cub", "11,788", "-", "200", "no", "2502.04263"]
    assert rows["world"][1:4] == ["world", "1,150", "5,750"]
    table = pd.read_csv(PARAMS.parent / "data" / "reference" / "published.csv")
    for row in table.to_dict("records"):
        if name := names().get(plain(row["dataset"])):
            assert row["source"][:10] in rows[name][-1]


def test_show_says_the_licence_and_where_published_values_are() -> None:
    table = pd.read_csv(PARAMS.parent / "data" / "reference" / "published.csv")
    for name, facts in known().items():
        _, text = told("show", name, "--params", PARAMS)
        assert f"licence: {facts.licence}".split()[-1] in text
    assert (
        f"{(table['dataset'] == 'CUB').sum()} published values in 2502.04263 poster" in told("show", "cub")[1]
    )


def test_show_says_how_to_get_one() -> None:
    code, text = told("show", "cub", "--params", PARAMS)
    assert code == 0 and facts_of("cub").url in text and "images.txt" in text
    assert told("show", "nowhere", "--params", PARAMS)[0] == 1


def test_check_by_name_and_path(params, tmp_path) -> None:
    code, text = told("check", "own", "--params", params)
    assert (code, text) == (0, "test: 6 images (as declared), 2 classes (as declared)\nown is as declared\n")

    (tmp_path / "own" / "cat" / "0.png").unlink()
    code, text = told("check", "own", "--params", params)
    assert code == 1
    assert "test: 5 images (6 declared), 2 classes (as declared)" in text
    assert "1 problems: 1 × another size" in text

    code, text = told("check", "own", tmp_path / "nowhere", "--params", params)
    assert code == 1 and "does not exist" in text
    code, text = told("check", "other", "--params", params)
    assert code == 1 and "declares no dataset 'other'" in text


def test_check_of_a_known_set_that_is_not_there_says_what_to_do(tmp_path) -> None:
    code, text = told("check", "cub", tmp_path, "--params", PARAMS)
    assert code == 1 and facts_of("cub").url in text and "images.txt" in text


def test_a_download_goes_through_the_library_and_gives_the_root(tmp_path, monkeypatch) -> None:
    asked = []

    class Cifar10:
        def __init__(self, root, **arguments):
            asked.append((root, arguments))

    monkeypatch.setattr(torchvision.datasets, "CIFAR10", Cifar10)
    assert fetch("cifar10", tmp_path) == tmp_path / "cifar-10-batches-py"
    assert asked == [(tmp_path, {"download": True})]


def test_a_failed_download_or_none_says_what_to_do_instead(tmp_path, monkeypatch) -> None:
    def gone(*_, **__):
        raise OSError("no network")

    monkeypatch.setattr(torchvision.datasets, "CIFAR10", gone)
    with pytest.raises(DatasetError, match=r"cifar10 can't be downloaded: no network(.|\n)*cifar"):
        fetch("cifar10", tmp_path)
    code, text = told("get", "cub", tmp_path)
    assert code == 1 and "no library downloads it" in text and facts_of("cub").url in text


def test_what_is_the_users_own_is_not_called_unknown(params, tmp_path) -> None:
    code, text = told("get", "own", tmp_path, "--params", params)
    assert code == 1 and "own is a dataset of your own, in" in text and "crossgap datasets show own" in text
    code, text = told("get", "cubb", tmp_path, "--params", params)
    assert code == 1 and "there is no 'cubb'" in text and "did you mean 'cub'?" in text
