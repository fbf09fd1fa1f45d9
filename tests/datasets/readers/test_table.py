"""Tables of one's own: images, captions, texts and labels, from CSV, parquet and JSON lines."""

from __future__ import annotations

import json
import unicodedata
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from crossgap.datasets.declared import DatasetError, Table
from crossgap.datasets.preparing import prepare
from crossgap.datasets.readers import read
from crossgap.prepared import manifest

SAME = {"query": "test", "gallery": "test"}


@pytest.fixture
def root(tmp_path) -> Path:
    for number, name in enumerate(("a", "b", "c")):
        (tmp_path / "shop/img").mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4), (number, 0, 0)).save(tmp_path / f"shop/img/{name}.png")
    return tmp_path / "shop"


def declared(root: Path, text: str | None = None, file: str = "t.csv", **fields) -> Table:
    if text is not None:
        (root / file).write_text(text)
    return Table(layout="table", root=root, table=file, vocabulary="none", **({"retrieval": SAME} | fields))


FULL = """path,text,id,split,group,rank,label,label.colour
img/a.png,A red mug.,A1,test,,1,mug,red
img/a.png,"A mug, red.",A1,test,,0,mug,red
img/b.png,,,train,,,hat_box,
,A box for hats.,t1,train,img/b.png,,,
,Also a box.,,train,img/b,,,
,Free text.,,test,,,,blue
"""


def items_of(declaration: Table, tmp_path: Path) -> pd.DataFrame:
    return prepare(declaration, tmp_path).items


def test_images_captions_texts_and_labels(root, tmp_path) -> None:
    items = items_of(declared(root, FULL), tmp_path)
    images = manifest.select(items, "image")
    columns = ["id", "path", "split", "label.class", "label.colour"]
    assert images[columns].to_numpy().tolist() == [
        ["A1", "img/a.png", "test", "mug", "red"],
        ["img/b", "img/b.png", "train", "hat_box", None],
    ]
    texts = items[(items["modality"] == "text") & (items["split"] != manifest.CLASSES)]
    free = f"test/{manifest.text_digest('Free text.')[:16]}"
    assert texts[["id", "text", "split", "group", "rank", "label.colour"]].to_numpy().tolist() == [
        [manifest.caption_id("A1", "A red mug."), "A red mug.", "test", "A1", 1, None],
        [manifest.caption_id("A1", "A mug, red."), "A mug, red.", "test", "A1", 0, None],
        ["t1", "A box for hats.", "train", "img/b", 0, None],
        [manifest.caption_id("img/b", "Also a box."), "Also a box.", "train", "img/b", 1, None],
        [free, "Free text.", "test", None, 0, "blue"],
    ]
    prompts = manifest.select(items, "text", manifest.CLASSES)
    assert prompts[["text", "label.class", "label.colour"]].to_numpy().tolist() == [
        ["a photo of a hat box.", "hat_box", None],
        ["a photo of a mug.", "mug", None],
        ["a photo of a red.", None, "red"],
    ]


def test_parquet_gives_the_same_manifest(root, tmp_path) -> None:
    table = pd.read_csv(declared(root, FULL).root / "t.csv")  # ranks become floats with gaps
    assert table["rank"].dtype == float
    table.to_parquet(root / "t.parquet")
    pd.testing.assert_frame_equal(
        items_of(declared(root, file="t.parquet"), tmp_path), items_of(declared(root), tmp_path)
    )


def test_json_lines_give_the_same_manifest(root, tmp_path) -> None:
    """Though a line lacks what it has no value for, or has null there; with a BOM, CRLF and blank lines too."""
    rows = pd.read_csv(declared(root, FULL).root / "t.csv").to_dict("records")
    kept = [{name: value for name, value in row.items() if value == value} for row in rows]
    kept[0]["group"] = None
    lines = [json.dumps(row, ensure_ascii=False) for row in kept]
    (root / "t.jsonl").write_text("\ufeff" + "\r\n".join(["", *lines, ""]), encoding="utf-8", newline="")
    pd.testing.assert_frame_equal(
        items_of(declared(root, file="t.jsonl"), tmp_path), items_of(declared(root), tmp_path)
    )


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            '{"path": "img/b.png", "te',
            r"line 2: no JSON \(Unterminated string.*\): write an object of columns",
        ),
        (r'{"path": "img/b.png", "text": "\ud83d"}', "t.jsonl line 2: no JSON .half a character, near"),
        ('{"path": "img/b.png", "text": "b", "text": "c"}', "line 2: no JSON .'text' is given twice"),
        ('["img/b.png"]', "line 2: no JSON object: write an object of columns"),
        ('{"path": "img/b.png", "text": ["b"]}', "t.jsonl line 2: text: a list of 1: give a row for each"),
        ('{"path": "img/b.png", "text": {"en": "b"}}', "line 2: text: dict .*: give text or a number"),
        ('{"path": "img/b.png", "caption": "b"}', "unknown column 'caption'"),
    ],
)
def test_json_lines_that_are_no_rows(root, tmp_path, line, said) -> None:
    with pytest.raises(DatasetError, match=said):
        read(declared(root, f'{{"path": "img/a.png", "text": "a"}}\n{line}\n', "t.jsonl"), tmp_path)


@pytest.mark.parametrize("column", ["id", "label"])
def test_floats_that_may_be_other_numbers_are_told(root, tmp_path, column) -> None:
    paths = ["img/a.png", "img/b.png", "img/c.png"]
    pd.DataFrame({"path": paths, column: [2.0**53 - 1, 2.0**53, None]}).to_parquet(root / "t.parquet")
    with pytest.raises(
        DatasetError, match=rf"t\.parquet row 2: {column}: 9007199254740992 is a whole number as a float"
    ):
        read(declared(root, file="t.parquet"), tmp_path)
    whole = pd.array([2**53, 2**53 + 1, None], "Int64")
    pd.DataFrame({"path": paths, "text": ["One", "Two", "Three"], column: whole}).to_parquet(
        root / "t.parquet"
    )
    names = {str(2**53): "a", str(2**53 + 1): "b"} if column == "label" else {}
    images = manifest.select(items_of(declared(root, file="t.parquet", class_names=names), tmp_path), "image")
    found = images["label.class" if column == "label" else "id"].tolist()
    assert found[:2] == [str(2**53), str(2**53 + 1)]


def test_lists_are_boxes_alone(root, tmp_path) -> None:
    held = {"path": ["img/a.png", "img/b.png"], "box": [[0, 0, 2, 2], [1, 1, 3, 3]]}
    pd.DataFrame(held).to_parquet(root / "t.parquet")
    images = manifest.select(items_of(declared(root, file="t.parquet"), tmp_path), "image")
    assert images["box"].tolist() == ["0 0 2 2", "1 1 3 3"]
    for column in ("text", "label", "id"):
        pd.DataFrame(held | {column: [["a", "b"], ["c"]]}).to_parquet(root / "t.parquet")
        with pytest.raises(
            DatasetError, match=rf"t\.parquet row 1: {column}: a list of 2: give a row for each"
        ):
            read(declared(root, file="t.parquet"), tmp_path)


def test_narrow_floats_that_may_be_other_numbers_are_told(root, tmp_path) -> None:
    ids = np.array([2**24 - 1, 2**24], np.float32)
    pd.DataFrame({"path": ["img/a.png", "img/b.png"], "id": ids}).to_parquet(root / "t.parquet")
    with pytest.raises(DatasetError, match=r"t\.parquet: id: 16777216 is a whole number as a float"):
        read(declared(root, file="t.parquet"), tmp_path)


def test_texts_alone_have_labels_and_no_prompts(root, tmp_path) -> None:
    text = "text\tsplit\tlabel\nOne\ttest\t3\nTwo\ttrain\t4\nOne\ttest\t4\n"
    items = items_of(declared(root, text, "t.tsv"), tmp_path)
    one = f"test/{manifest.text_digest('One')[:16]}"
    assert items[["id", "split", "label.class"]].to_numpy().tolist() == [
        [one, "test", "3"],
        [f"train/{manifest.text_digest('Two')[:16]}", "train", "4"],
        [f"{one}-2", "test", "4"],
    ]


def test_names_of_numbered_classes(root, tmp_path) -> None:
    text = "path,label\nimg/a.png,0\nimg/b.png,1\n"
    with pytest.raises(
        DatasetError, match=r"class_names: 2 labels are numbers without a name \(0, 1\): give each"
    ):
        read(declared(root, text), tmp_path)
    items = items_of(declared(root, class_names={"0": "mug", "1": "hat"}), tmp_path)
    prompts = manifest.select(items, "text", manifest.CLASSES)
    assert prompts[["label.class", "text"]].to_numpy().tolist() == [
        ["0", "a photo of a mug."],
        ["1", "a photo of a hat."],
    ]
    with pytest.raises(DatasetError, match=r"class_names: no item is labelled 2; labels: 0, 1"):
        read(declared(root, class_names={"0": "mug", "1": "hat", "2": "x"}), tmp_path)


def test_missing_images_are_problems(root, tmp_path) -> None:
    text = "path,text\nimg/a.png,One\nimg/none.png,Two\n"
    with pytest.raises(DatasetError, match=r"1 × no such file\n  img/none\.png"):
        prepare(declared(root, text), tmp_path)
    made = prepare(declared(root, on_problem="set_aside"), tmp_path)
    assert made.items["text"].dropna().tolist() == ["One"]
    assert len(made.problems) == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("path,label\n", "no items|no rows|no images"),
        ("", "is empty"),
        ("id,split\nx,test\n", "has neither a column path nor text: it has id, split"),
        ("path,caption\na,b\n", "unknown column 'caption'; columns are id, path, text"),
        ("path,label.\na,b\n", r"unknown column 'label\.'"),
        ("path,label,label.class\na,b,c\n", "more than one column is label.class: keep one"),
        ("path,text\nimg/a.png,A\n,\n", "line 3: neither path nor text"),
        ("path,text\nimg/a.png,A\nimg/b.png\n", "line 3: columns: 1, in the header: 2"),
        ("path\nimg/a.png\nimg/a.png\n", r"line 3: img/a\.png is there already .*line 2.*no text"),
        ("path,text,split\nimg/a.png,A,x\nimg/a.png,B,y\n", "line 3: img/a.png is there .*another split"),
        ("path,id\nimg/a.png,1\nimg/b.png,1\n", "duplicate id: .*'1'"),
        ("path,text,group\nimg/a.png,,\n,B,img/c\n", "line 3: caption for no image: .*img/c"),
        ("path,group\nimg/a.png,img/b\n", "line 2: path and group"),
        (
            "path,text\nimg/a.png,\"['A', 'B']\"\n",
            r"line 2: text: .* is a list written as a text: give a row for each",
        ),
        ('path,label\nimg/a.png,"[""a""]"\n', "line 2: label: .* is a list written as a text"),
        ("path,text,rank\nimg/a.png,A,first\n", "line 2: rank 'first' is no whole number"),
        ("path,text,rank\nimg/a.png,A,1\nimg/a.png,B,1\n", "a rank given twice"),
        ("path,box\nimg/a.png,1 2 1 3\n", "line 2: box: .*is empty"),
    ],
)
def test_malformed_tables_are_told(root, tmp_path, text, said) -> None:
    with pytest.raises(ValueError, match=said):
        prepare(declared(root, text), tmp_path)


@pytest.mark.parametrize("damaged", [b"red mug", b"text"])
def test_a_value_or_a_name_that_is_no_utf8_is_damage_of_a_parquet_table(root, tmp_path, damaged) -> None:
    table = pa.table({"text": ["red mug"]})
    pq.write_table(table, root / "t.parquet", compression="none", use_dictionary=False)
    whole = (root / "t.parquet").read_bytes()
    (root / "t.parquet").write_bytes(whole.replace(damaged, damaged[:-1] + b"\xff"))
    with pytest.raises(DatasetError, match=r"t\.parquet can't be read: .*: mend `table`"):
        read(declared(root, file="t.parquet"), tmp_path)


def test_unreadable_tables_and_unknown_splits_are_told(root, tmp_path) -> None:
    with pytest.raises(DatasetError, match=r"none\.csv can't be read"):
        read(declared(root, file="none.csv"), tmp_path)
    with pytest.raises(DatasetError, match=r"none\.parquet can't be read: .*: mend `table`"):
        read(declared(root, file="none.parquet"), tmp_path)
    with pytest.raises(DatasetError, match=r"t\.parquet can't be read: .*: mend `table`"):
        read(declared(root, "path\n", "t.parquet"), tmp_path)
    with pytest.raises(DatasetError, match=r"nowhere.*can't be read"):
        read(declared(root / "nowhere"), tmp_path)
    asked = declared(root, "path\nimg/a.png\n", retrieval={"query": "val", "gallery": "test"})
    with pytest.raises(DatasetError, match=r"retrieval\.query: split 'val' .*; splits: test"):
        prepare(asked, tmp_path)


def test_a_caption_is_of_the_image_at_its_path_whatever_the_ids_of_others(root, tmp_path) -> None:
    """`1.jpg` beside `1.jpg.png`: without its extension, the second is called as the first is."""
    for name in ("1.jpg", "1.jpg.png"):
        (root / name).write_bytes((root / "img/a.png").read_bytes())
    text = (
        "path,text,group\n1.jpg,,\n1.jpg.png,,\n1.jpg,By path.,\n,By group.,1.jpg\n,Of the other.,1.jpg.png\n"
    )
    items = items_of(declared(root, text), tmp_path)
    paths = dict(items.loc[items["modality"] == "image", ["id", "path"]].to_numpy().tolist())
    texts = items[items["modality"] == "text"]
    assert [(text, paths[group]) for text, group in texts[["text", "group"]].to_numpy()] == [
        ("By path.", "1.jpg"),
        ("By group.", "1.jpg"),
        ("Of the other.", "1.jpg.png"),
    ]


def test_a_group_that_is_an_id_and_another_path_is_told(root, tmp_path) -> None:
    text = "path,id,text,group\nimg/a.png,img/b.png,,\nimg/b.png,b,,\n,,Whose?,img/b.png\n"
    with pytest.raises(
        DatasetError, match=r"t\.csv line 4: caption for an ambiguous image: img/b\.png is the id of one"
    ):
        items_of(declared(root, text), tmp_path)


@pytest.mark.parametrize("ranks", [(1, 2), (7, 3), (0, 5), (-1, 0), (9, 10), ("1.0", "2.0")])
def test_ranks_count_by_their_order(root, tmp_path, ranks) -> None:
    rows = [f"img/{name}.png,{name} {k},{rank}" for name in "ab" for k, rank in enumerate(ranks)]
    items = items_of(declared(root, "\n".join(["path,text,rank", *rows, ",A text of no image.,4"])), tmp_path)
    texts = items[items["group"].notna() & (items["modality"] == "text")]
    order = [0, 1] if float(ranks[0]) < float(ranks[1]) else [1, 0]
    assert texts["rank"].tolist() == order * 2


def test_a_caption_without_a_rank_among_ranked_ones_is_told(root, tmp_path) -> None:
    text = "path,text,rank\nimg/a.png,One.,1\nimg/a.png,Two.,\nimg/b.png,Three.,\n"
    with pytest.raises(
        DatasetError, match=r"1 bad items: 1 × no rank\n  t\.csv line 3: no rank: other captions of img/a"
    ):
        items_of(declared(root, text), tmp_path)


def test_paths_as_people_write_them(root, tmp_path) -> None:
    text = f"path,group,text\n./img/a.png,,\nimg//b.png,,\n{root}/img/c.png,,\n,./img/a.png,A.\n,{root}/img/b.png,B.\n"
    items = items_of(declared(root, text), tmp_path)
    assert items["path"].tolist()[:3] == ["img/a.png", "img/b.png", "img/c.png"]
    assert items["group"].tolist()[3:] == ["img/a", "img/b"]
    text = "path,group,text\nimg/x/../a.png,,\n,img/../img/a.png,A.\n"
    assert items_of(declared(root, text), tmp_path)["path"].tolist() == ["img/a.png", None]
    (root / "link").symlink_to("img")
    for path in ("../img/a.png", "img/../../shop/img/a.png", "link/../a.png"):
        with pytest.raises(DatasetError, match="not a plain path inside"):
            items_of(declared(root, f"path\n{path}\n"), tmp_path)
    with pytest.raises(DatasetError, match=r"no such file: write / between folders, not \\"):
        items_of(declared(root, "path\n.\\img\\a.png\n"), tmp_path)
    with pytest.raises(DatasetError, match="not a plain path inside"):
        items_of(declared(root, "path\n/etc/hostname\n"), tmp_path)


@pytest.mark.parametrize(("kept", "written"), [("NFD", "NFC"), ("NFC", "NFD")])
def test_names_whose_letters_are_composed_otherwise_than_the_files(root, tmp_path, kept, written) -> None:
    kept, written = (unicodedata.normalize(form, "img/\u00fc.png") for form in (kept, written))
    (root / "img/a.png").rename(root / kept)
    items = items_of(declared(root, f"path,text,group\n{written},,\n,A mug.,{written}\n"), tmp_path)
    rows = items[["modality", "path", "group"]].astype(object).where(items.notna(), None).to_numpy().tolist()
    assert rows == [["image", kept, "img/\u00fc"], ["text", None, "img/\u00fc"]]


@pytest.mark.parametrize("column", ["label", "label.kind"])
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_minus_one_and_blank_are_no_classes(root, tmp_path, column, suffix) -> None:
    table = pd.DataFrame({"path": [f"img/{name}.png" for name in "abc"], column: [0.0, -1.0, None]})
    if suffix == "csv":
        table.to_csv(root / "t.csv", index=False)
    else:
        table.to_parquet(root / "t.parquet")
    names = {"0": "cat"} if suffix == "parquet" else {"0.0": "cat"}
    made = prepare(declared(root, file=f"t.{suffix}", class_names=names), tmp_path)
    labelling = f"label.{'class' if column == 'label' else 'kind'}"
    assert made.items[labelling].tolist() == [next(iter(names)), None, None, next(iter(names))]
    assert made.items["text"].dropna().tolist() == ["a photo of a cat."]
    assert f"2 of 3 images of split test have no {labelling[6:]} (blank, or -1)" in made.notes


@pytest.mark.parametrize(
    ("labels", "names", "expected"),
    [
        (["0.0", "1.0", ""], {"0": "cat", "1": "dog"}, ["0", "1", None]),
        (["0.0", "1", "-1.0"], {"0": "cat", "1": "dog"}, ["0", "1", None]),
        (["0.0", "1.0", "-1.0"], {"0": "cat", "1": "dog", "-1": "cow"}, ["0", "1", "-1"]),
        (["0.0", "1.0", ""], {"0.0": "cat", "1.0": "dog"}, ["0.0", "1.0", None]),
        (["0.0", "1.5", "2.0"], {"0.0": "cat", "1.5": "dog", "2.0": "cow"}, ["0.0", "1.5", "2.0"]),
        (["1.0", "word", ""], {"1.0": "first"}, ["1.0", "word", None]),
    ],
)
def test_whole_numbers_written_with_a_point(root, tmp_path, labels, names, expected) -> None:
    rows = [f"img/{name}.png,{label},{label}" for name, label in zip("abc", labels, strict=True)]
    text = "\n".join(["path,label,label.other", *rows])
    items = items_of(declared(root, text, class_names=names), tmp_path)
    assert items["label.class"].tolist()[:3] == items["label.other"].tolist()[:3] == expected
    named = [names.get(label, label) for label in sorted(label for label in expected if label)]
    assert items["text"].dropna().tolist() == [f"a photo of a {name}." for name in named] * 2


def test_each_labelling_is_whole_or_not_by_itself(root, tmp_path) -> None:
    text = "path,label,label.v\nimg/a.png,1.0,1.0\nimg/a.png,1,1.0\nimg/b.png,0.0,x\n"
    with pytest.raises(DatasetError, match=r"line 3: img/a\.png is there already .*no text"):
        items_of(declared(root, text, class_names={"0": "cat", "1": "dog"}), tmp_path)
    text = text.replace("img/a.png,1,1.0\n", "img/c.png,1,2\n")
    items = items_of(
        declared(root, text, class_names={"0": "cat", "1": "dog", "2": "b", "1.0": "a"}), tmp_path
    )
    assert items["label.v"].dropna().tolist()[:3] == ["1.0", "2", "x"]


def test_a_labelling_may_be_called_as_a_column_is(root, tmp_path) -> None:
    text = "path,text,label.text,label.split\nimg/a.png,A.,x,y\nimg/a.png,B.,x,y\n"
    items = items_of(declared(root, text), tmp_path)
    assert items.loc[0, ["label.text", "label.split", "split"]].tolist() == ["x", "y", "test"]
    with pytest.raises(DatasetError, match=r"line 3: img/a.png is there already .*another label\.text"):
        items_of(declared(root, text.replace("B.,x", "B.,z")), tmp_path)


def test_minus_one_that_is_named_is_a_class(root, tmp_path) -> None:
    text = "path,label\nimg/a.png,1\nimg/b.png,-1\n"
    items = items_of(declared(root, text, class_names={"1": "good", "-1": "bad"}), tmp_path)
    assert items["text"].dropna().tolist() == ["a photo of a bad.", "a photo of a good."]
    with pytest.raises(DatasetError, match=r"labels are numbers without a name \(-2\)"):
        items_of(declared(root, "path,label\nimg/a.png,-2\n"), tmp_path)


@pytest.mark.parametrize("delimiter", ["\t", ";"])
def test_tables_of_other_delimiters(root, tmp_path, delimiter) -> None:
    text = delimiter.join(["path", "text", "rank"]) + "\n" + delimiter.join(["img/a.png", "A, b", "1"]) + "\n"
    assert items_of(declared(root, text), tmp_path)["text"].tolist() == [None, "A, b"]
    assert items_of(declared(root, text, "t.tsv"), tmp_path)["text"].tolist() == [None, "A, b"]


def test_a_hundred_labellings_are_read_and_nothing_is_warned_of(root, tmp_path) -> None:
    names = [f"label.l{number}" for number in range(120)]
    text = "\n".join(
        [",".join(["path", *names]), *(",".join([f"img/{one}.png", *one * 120]) for one in "abc")]
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        items = items_of(declared(root, text), tmp_path)
    assert manifest.labellings(items) == sorted(name.removeprefix("label.") for name in names)
    images = manifest.select(items, "image")
    assert (images[names].nunique(axis=1) == 1).all() and sorted(images["label.l7"]) == ["a", "b", "c"]
