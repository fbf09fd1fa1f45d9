"""Tables of one's own: images, captions, texts and labels, from CSV and parquet."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from crossgap import manifest
from crossgap.datasets import DatasetError, Table
from crossgap.datasets.preparing import prepare
from crossgap.datasets.readers import read

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
        ("path,caption\na,b\n", "unknown column 'caption': columns are id, path, text"),
        ("path,label.\na,b\n", r"unknown column 'label\.'"),
        ("path,label,label.class\na,b,c\n", "more than one column is class: keep one"),
        ("path,text\nimg/a.png,A\n,\n", "line 3: neither path nor text"),
        ("path,text\nimg/a.png,A\nimg/b.png\n", "line 3: columns: 1, in the header: 2"),
        ("path\nimg/a.png\nimg/a.png\n", r"line 3: img/a\.png is there already .*line 2.*no text"),
        ("path,text,split\nimg/a.png,A,x\nimg/a.png,B,y\n", "line 3: img/a.png is there .*another split"),
        ("path,id\nimg/a.png,1\nimg/b.png,1\n", "duplicate id: .*'1'"),
        ("path,text,group\nimg/a.png,,\n,B,img/c\n", "line 3: caption for no image: .*img/c"),
        ("path,group\nimg/a.png,img/b\n", "line 2: path and group"),
        ("path,text,rank\nimg/a.png,A,first\n", "line 2: rank 'first' is no whole number"),
        ("path,text,rank\nimg/a.png,A,1\nimg/a.png,B,1\n", "a rank given twice"),
        ("path,box\nimg/a.png,1 2 1 3\n", "line 2: box: .*is empty"),
    ],
)
def test_malformed_tables_are_told(root, tmp_path, text, said) -> None:
    with pytest.raises(ValueError, match=said):
        prepare(declared(root, text), tmp_path)


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
