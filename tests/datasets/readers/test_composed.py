"""CIRR, FashionIQ, CIRCO and i-CIR: tiny sets with the files and keys of the published ones."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from crossgap.datasets import DatasetError
from crossgap.datasets.declared import Declaration
from crossgap.datasets.preparing import Prepared, prepare
from crossgap.prepared import manifest
from tests.datasets.readers.test_coco import put, put_json

SIX = [f"dev-{number}-0-img{number % 2}" for number in range(6)]


def cirr(root: Path) -> None:
    put(root, *(f"img_raw/dev/{name}.png" for name in [*SIX, "dev-9-1-img0"]))
    put_json(root / "image_splits/split.rc2.val.json", {n: f"./dev/{n}.png" for n in [*SIX, "dev-9-1-img0"]})
    six = {"id": 1, "members": SIX, "reference_rank": 3, "target_rank": 4}
    row = {"pairid": 12063, "reference": SIX[0], "target_hard": SIX[5], "target_soft": {SIX[5]: 1.0}}
    put_json(
        root / "captions/cap.rc2.val.json",
        [
            {**row, "caption": "remove all but one dog", "img_set": six},
            {**row, "pairid": 7, "target_hard": "dev-9-1-img0", "caption": "more dogs", "img_set": six},
        ],
    )


def fashioniq(root: Path) -> None:
    put(root, *(f"images/{name}.jpg" for name in ("B1", "B2", "B3", "B4")))
    for category, names in {
        "dress": ["B1", "B2"],
        "shirt": ["B3", "B4"],
        "toptee": ["B2", "B3", "B4"],
    }.items():
        put_json(root / f"image_splits/split.{category}.val.json", names)
        row = {"target": names[1], "candidate": names[0], "captions": ["is red. ", "has long sleeves"]}
        put_json(root / f"captions/cap.{category}.val.json", [row])


def circo(root: Path) -> None:
    folder = root / "COCO2017_unlabeled"
    put(folder, *(f"unlabeled2017/{number:012}.jpg" for number in (1, 22, 333, 4444)))
    images = [{"file_name": f"{number:012}.jpg", "id": number} for number in (22, 1, 333, 4444)]
    put_json(folder / "annotations/image_info_unlabeled2017.json", {"info": {}, "images": images})
    row = {"reference_img_id": 1, "target_img_id": 333, "relative_caption": "shows two people"}
    row |= {"shared_concept": "a girl", "gt_img_ids": [333, 22], "id": 0, "semantic_aspects": ["cardinality"]}
    put_json(root / "annotations/val.json", [row])


def icir(root: Path) -> None:
    put(root, "query/vase/q1.jpg", "database/vase/p1.jpg", "database/vase/n1.jpg", "database/dog/d1.jpg")
    (root / "query_files.csv").write_text("icir/query/vase/q1.jpg,with flowers,vase\n")
    rows = ["vase/p1.jpg,with flowers,vase", "vase/n1.jpg,,vase", "dog/d1.jpg,with flowers,dog"]
    (root / "database_files.csv").write_text("".join(f"icir/database/{row}\n" for row in rows))


MAKE = {"cirr": cirr, "fashioniq": fashioniq, "circo": circo, "icir": icir}
SPLITS = {"icir": {"query": "query", "gallery": "database"}}


def made(folder: Path, layout: str, **fields) -> Prepared:
    root = folder / layout
    if not root.exists():
        MAKE[layout](root)
    retrieval = SPLITS.get(layout, {"query": "val", "gallery": "val"})
    given = {"layout": layout, "root": root, "vocabulary": "none", "retrieval": retrieval}
    return prepare(TypeAdapter(Declaration).validate_python(given | fields), folder)


def rows(table) -> list[tuple]:
    return [*table.itertuples(index=False, name=None)]


def test_cirr(tmp_path):
    found = made(tmp_path, "cirr")
    assert rows(found.composed.asked) == [
        ("12063", SIX[0], "composed/12063#0", "remove all but one dog", ""),
        ("7", SIX[0], "composed/7#0", "more dogs", ""),
    ]
    of = [row[1:] for row in rows(found.composed.judged) if row[0] == "12063"]
    assert of[:2] == [(SIX[5], "target"), (SIX[0], "ignored")]
    assert of[2:] == [(name, "member") for name in SIX[1:]]
    assert found.composed.galleries.empty
    texts = manifest.select(found.items, "text", "composed")
    assert texts[["id", "text"]].to_numpy().tolist() == [
        ["composed/12063#0", "remove all but one dog"],
        ["composed/7#0", "more dogs"],
    ]
    images = manifest.select(found.items, "image", "val")
    assert images["id"].tolist() == sorted([*SIX, "dev-9-1-img0"])
    assert images["path"][0] == f"img_raw/dev/{SIX[0]}.png"


def test_fashioniq(tmp_path):
    found = made(tmp_path, "fashioniq")
    texts = manifest.select(found.items, "text", "composed")["text"].tolist()
    both = ["is red and has long sleeves", "has long sleeves and is red"]
    assert texts == 3 * both
    assert rows(found.composed.asked)[:2] == [
        ("dress/B1/B2", "B1", f"composed/dress/B1/B2#{rank}", both[rank], "dress") for rank in (0, 1)
    ]
    assert rows(found.composed.judged)[0] == ("dress/B1/B2", "B2", "target")
    assert rows(found.composed.galleries)[2:5] == [("shirt", "B3"), ("shirt", "B4"), ("toptee", "B2")]
    dress = made(tmp_path, "fashioniq", categories=["dress"])
    assert manifest.select(dress.items, "image")["id"].tolist() == ["B1", "B2"]


def test_circo(tmp_path):
    found = made(tmp_path, "circo")
    assert rows(found.composed.asked) == [("0", "1", "composed/0#0", "shows two people", "")]
    assert rows(found.composed.judged) == [("0", "333", "target"), ("0", "22", "relevant")]
    assert manifest.select(found.items, "image")["id"].tolist() == ["1", "22", "333", "4444"]


def test_icir(tmp_path):
    found = made(tmp_path, "icir")
    query = "icir/query/vase/q1.jpg with flowers"
    assert rows(found.composed.asked) == [
        (query, "icir/query/vase/q1.jpg", f"composed/{query}#0", "with flowers", "vase")
    ]
    assert rows(found.composed.judged) == [(query, "icir/database/vase/p1.jpg", "relevant")]
    assert rows(found.composed.galleries) == [
        ("vase", "icir/database/vase/p1.jpg"), ("vase", "icir/database/vase/n1.jpg"),
        ("dog", "icir/database/dog/d1.jpg"),
    ]  # fmt: skip
    assert manifest.select(found.items, "image").groupby("split").size().to_dict() == {
        "database": 3,
        "query": 1,
    }


def test_a_query_goes_with_its_target_and_its_reference_and_not_with_another_answer(tmp_path):
    made(tmp_path, "fashioniq")
    (tmp_path / "fashioniq/images/B2.jpg").unlink()
    with pytest.raises(DatasetError, match=r"1 bad items: 1 × no image\n  image B2: no image: nothing under"):
        made(tmp_path, "fashioniq")
    found = made(tmp_path, "fashioniq", on_problem="set_aside")
    assert found.composed.asked["query"].unique().tolist() == ["shirt/B3/B4"]
    assert rows(found.composed.galleries)[0] == ("dress", "B1")
    assert len(manifest.select(found.items, "text", "composed")) == 2
    assert found.problems["problem"].tolist()[1:] == [
        "lost its target: the image was set aside",
        "lost its reference: the image was set aside",
    ]
    made(tmp_path, "circo")
    (tmp_path / "circo/COCO2017_unlabeled/unlabeled2017/000000000022.jpg").unlink()
    found = made(tmp_path, "circo", on_problem="set_aside")
    assert rows(found.composed.judged) == [("0", "333", "target")]


@pytest.mark.parametrize(
    ("layout", "file", "change", "said"),
    [
        ("cirr", "captions/cap.rc2.val.json", [], "is no list with anything in it"),
        ("cirr", "captions/cap.rc2.val.json", [{"pairid": 1}], r"\[0\] has reference None"),
        ("cirr", "image_splits/split.rc2.val.json", {SIX[0]: "x"}, f"names '{SIX[5]}', which image_splits lacks"),
        ("fashioniq", "image_splits/split.dress.val.json", ["B1"], "names 'B2', which image_splits of dress lacks"),
        ("fashioniq", "image_splits/split.dress.val.json", [1], "holds 1, which is no name of an image"),
        ("fashioniq", "captions/cap.dress.val.json",
         [{"target": "B2", "candidate": "B1", "captions": ["a"]}], r"has captions \['a'\]: two are asked for"),
        ("fashioniq", "captions/cap.dress.val.json",
         2 * [{"target": "B2", "candidate": "B1", "captions": ["a", "b"]}], "of B1 for B2 a second time"),
        ("circo", "annotations/val.json",
         [{"reference_img_id": 1, "relative_caption": "a", "id": 0}], "answers of the test split are not public"),
        ("circo", "COCO2017_unlabeled/annotations/image_info_unlabeled2017.json",
         {"images": [{"id": 1, "file_name": "000000000001.jpg"}]}, "names image 333, which"),
    ],
)  # fmt: skip
def test_what_a_file_lacks_is_said(tmp_path, layout, file, change, said):
    made(tmp_path, layout)
    put_json(tmp_path / layout / file, change)
    with pytest.raises(DatasetError, match=said):
        made(tmp_path, layout)


def test_rows_of_icir_that_cant_be(tmp_path):
    made(tmp_path, "icir")
    asking = tmp_path / "icir/query_files.csv"
    asking.write_text("icir/query/vase/q1.jpg,with flowers\n")
    with pytest.raises(DatasetError, match=r"line 1: .* is not path, text and instance"):
        made(tmp_path, "icir")
    asking.write_text("icir/query/vase/q1.jpg,broken,vase\n")
    with pytest.raises(DatasetError, match="asks for 'vase' 'broken', which no row of database_files"):
        made(tmp_path, "icir")
    rows = [f"icir/query/vase/q1.jpg,with flowers,{instance}\n" for instance in ("vase", "dog")]
    asking.write_text(rows[0] + rows[1])
    with pytest.raises(DatasetError, match=r"q1\.jpg asks for 'with flowers' of 'vase' and of 'dog'"):
        made(tmp_path, "icir")
    asking.write_text(rows[0] + rows[0])
    assert len(made(tmp_path, "icir").composed.asked) == 1
    shown = tmp_path / "icir/database_files.csv"
    shown.write_text(shown.read_text() + "icir/query/vase/q1.jpg,,vase\n")
    with pytest.raises(DatasetError, match=r"q1\.jpg is in query_files\.csv and in database_files\.csv"):
        made(tmp_path, "icir")


@pytest.mark.parametrize("copy", ["icir/query/vase/q1.jpg", "query.tar"])
def test_two_files_of_one_name_of_icir(tmp_path, copy):
    """A folder within the folder of its name, and a tar beside what was unpacked of it."""
    made(tmp_path, "icir")
    root = tmp_path / "icir"
    if copy.endswith(".tar"):
        with tarfile.open(root / copy, "w") as tar:
            tar.add(root / "query/vase/q1.jpg", "vase/q1.jpg")
    else:
        put(root, copy)
    with pytest.raises(DatasetError, match=r"icir/query/vase/q1\.jpg is any of .*: keep one, or mend `root`"):
        made(tmp_path, "icir")


def test_a_link_to_an_image_of_icir_is_no_second_one(tmp_path):
    made(tmp_path, "icir")
    (tmp_path / "icir/icir").symlink_to(tmp_path / "icir")
    assert len(manifest.select(made(tmp_path, "icir").items, "image")) == 4


@pytest.mark.parametrize(
    "row", [{"id": 22, "file_name": "000000000333.jpg"}, {"id": 5, "file_name": "000000000022.jpg"}]
)
def test_an_image_that_circo_lists_twice(tmp_path, row):
    made(tmp_path, "circo")
    file = tmp_path / "circo/COCO2017_unlabeled/annotations/image_info_unlabeled2017.json"
    held = json.loads(file.read_text())
    put_json(file, {"images": [*held["images"], row]})
    with pytest.raises(DatasetError, match=r"images\[4\] has id .* one of them twice"):
        made(tmp_path, "circo")


def test_two_images_of_one_name(tmp_path):
    made(tmp_path, "circo")
    put(tmp_path / "circo", "copy/000000000001.jpg")
    with pytest.raises(DatasetError, match=r"000000000001 is any of .* keep one, or mend `root`"):
        made(tmp_path, "circo")
