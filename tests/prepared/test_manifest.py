from __future__ import annotations

import hashlib

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossgap.errors import CrossgapError, DatasetError
from crossgap.prepared import composed, judgements, manifest, transformations


def example() -> pd.DataFrame:
    """Two images, three captions, two class prompts."""
    columns = [
        "id",
        "modality",
        "split",
        "path",
        "text",
        "group",
        "rank",
        "digest",
        "label.colour",
        "label.shape",
    ]
    rows = [
        ("a", "image", "test", "a.png", None, "a", 0, "d0", "red", "star"),
        ("b", "image", "test", "t.tar/b.png", None, "b", 0, "d1", "blue", None),
        ("a#1", "text", "test", None, "a red star", "a", 0, "d2", "red", "star"),
        ("a#2", "text", "test", None, "a star", "a", 1, "d3", None, "star"),
        ("b#1", "text", "test", None, "blue", "b", 0, "d4", "blue", None),
        ("classes/colour/red#0", "text", "classes", None, "a red thing", None, 0, "d5", "red", None),
        ("classes/shape/star#0", "text", "classes", None, "a star", None, 0, "d6", None, "star"),
    ]
    return pd.DataFrame(rows, columns=columns)


def test_columns_come_in_order_with_none_for_missing():
    frame = example()[
        [
            "label.shape",
            "text",
            "label.colour",
            *["digest", "rank", "group", "path", "split"],
            "modality",
            "id",
        ]
    ]
    valid = manifest.validate(frame)
    assert list(valid) == [*manifest.COLUMNS, "label.colour", "label.shape"]
    assert valid["rank"].dtype == "int64"
    assert valid.at[0, "text"] is None and valid.at[2, "path"] is None and valid.at[1, "label.shape"] is None
    assert manifest.labellings(valid) == ["colour", "shape"]


def change(row: int, column: str, value: object) -> pd.DataFrame:
    frame = example().astype(object)
    frame.at[row, column] = value
    return frame


@pytest.mark.parametrize(
    ("row", "column", "value", "rule"),
    [
        (1, "id", "a", "duplicate id"),
        (0, "id", None, "no id"),
        (0, "modality", "audio", "unknown modality"),
        (3, "split", None, "no split"),
        (3, "split", "", "no split"),
        (3, "split", "test/a", "may not hold"),
        (3, "split", "..", "more than dots"),
        (3, "split", "ä" * 100 + "a", "longer than 200 bytes"),
        (1, "path", None, "image without path"),
        (2, "text", None, "text without text"),
        (2, "text", " \n\t", "text without text"),
        (0, "group", "b", "group of an image"),
        (0, "group", None, "group of an image"),
        (4, "group", "c", "group is no image"),
        (3, "rank", 0, "ranks"),
        (3, "rank", -1, "ranks"),
        (1, "split", "classes", "kept for class prompts"),
        (1, "split", "vocabulary", "kept for texts without labels: name yours otherwise"),
        (3, "split", "vocabulary", "kept for texts without labels"),
        (5, "split", "vocabulary-photo", "kept for texts without labels"),
        (5, "label.colour", None, "exactly one label"),
        (5, "label.shape", "star", "exactly one label"),
        (6, "digest", None, "no digest"),
    ],
)
def test_each_broken_rule_is_named_with_its_item(row, column, value, rule):
    frame = change(row, column, value)
    name = "row 0" if column == "id" and value is None else repr(frame.at[row, "id"])
    with pytest.raises(DatasetError, match=rule) as error:
        manifest.validate(frame)
    assert name in str(error.value)


def test_all_broken_rules_are_told_at_once():
    frame = change(1, "path", None)
    frame.at[3, "text"] = ""
    with pytest.raises(DatasetError) as error:
        manifest.validate(frame)
    assert "'b'" in str(error.value).splitlines()[0] and "'a#2'" in str(error.value).splitlines()[1]


def test_ten_items_are_counted_and_three_are_named():
    frame = pd.concat([example()] * 10, ignore_index=True)
    with pytest.raises(DatasetError, match=r"duplicate id.*\(70 rows: 'a', 'b', 'a#1', …\)"):
        manifest.validate(frame)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (example().drop(columns=["digest", "rank"]), "lacks columns rank, digest"),
        (example().assign(colour="red"), "unknown columns colour"),
        (example().assign(**{"label.": "red"}), "the labelling '' has no name: give label"),
        (example().assign(**{"label.kind/sub": "red"}), "labelling 'kind/sub' holds a '/'"),
        (example().assign(**{"label.kind\\sub": "red"}), r"labelling 'kind\\\\sub' holds a '\\'"),
        (example().assign(**{f"label.{'ü' * 101}": "red"}), "is longer than 200 bytes"),
        (
            example().assign(**{"label.group": "red"}),
            "labelling 'group' has the name of the relevance by image",
        ),
        (example().assign(rank="0"), "rank holds string"),
        (example().assign(rank=0.5), "rank holds floating"),
        (example().assign(**{"label.size": 3}), "label.size holds integer"),
        (example()[:0], "no items"),
    ],
)
def test_wrong_columns_are_refused(frame, message):
    with pytest.raises(DatasetError, match=message):
        manifest.validate(frame)


def test_a_box_is_of_an_image_and_has_four_numbers():
    frame = manifest.validate(example().assign(box=["1 2 3.5 4", *[None] * 6]))
    assert list(frame) == [*manifest.COLUMNS, "box", "label.colour", "label.shape"]
    assert manifest.corners(frame["box"][0]) == (1, 2, 3.5, 4)
    for box in (
        "1 2 3",
        "1 2 3 4 5",
        "a b c d",
        "0 0 nan 1",
        "0 0 inf 1",
        "3 0 3 1",
        "0 3 1 2",
        "0 3 1 3",
        "",
    ):
        with pytest.raises(DatasetError, match=r"wrong box: .*\(1 rows: 'b'\)"):
            manifest.validate(example().assign(box=[None, box, *[None] * 5]))
        with pytest.raises(ValueError, match=r"is not four numbers|is empty"):
            manifest.corners(box)
    with pytest.raises(DatasetError, match=r"text with a box.*'a#1'"):
        manifest.validate(example().assign(box=[None, None, "0 0 1 1", *[None] * 4]))


def test_a_concept_name_belongs_to_no_image():
    frame = example().astype(object)
    frame.loc[4, ["split", "label.colour"]] = "vocabulary", None
    with pytest.raises(DatasetError, match=r"kept for texts without labels.*'b#1'"):
        manifest.validate(frame)
    frame.at[4, "group"] = None
    assert len(manifest.validate(frame)) == len(frame)


def test_the_longest_name_of_a_split_has_200_bytes():
    assert manifest.validate(change(3, "split", "ä" * 100))["split"][3] == "ä" * 100


def test_captions_alone_may_belong_to_images_elsewhere():
    texts = manifest.select(example(), "text")
    assert manifest.validate(texts)["group"].tolist() == ["a", "a", "b", None, None]


def test_written_is_read_and_equal_manifests_are_equal_bytes(tmp_path):
    frame = example()
    path = manifest.write(frame, tmp_path / "one")
    as_objects = frame.astype({name: object for name in frame if name != "rank"})
    again = manifest.write(
        as_objects[list(reversed(list(frame)))].set_index(frame.index + 5), tmp_path / "two"
    )
    assert path.read_bytes() == again.read_bytes()
    pd.testing.assert_frame_equal(manifest.read(tmp_path / "one"), manifest.validate(frame))


def test_reading_nothing_and_writing_the_invalid_are_errors(tmp_path):
    with pytest.raises(DatasetError, match="prepare"):
        manifest.read(tmp_path)
    with pytest.raises(DatasetError, match="duplicate"):
        manifest.write(change(1, "id", "a"), tmp_path)
    assert not (tmp_path / manifest.FILE).exists()


@pytest.mark.parametrize("kind", [manifest, judgements, composed, transformations])
def test_a_damaged_table_is_told_with_the_remedy(kind, tmp_path):
    for name in (
        "manifest",
        "judgements",
        "transformations",
        "answers",
        *(f"composed-{name}" for name in composed.TABLES),
    ):
        (tmp_path / f"{name}.parquet").write_bytes(b"PAR1 cut short")
    with pytest.raises(
        CrossgapError, match=r"\.parquet is damaged \(.*\): `crossgap verify --repair` takes it away"
    ):
        kind.read(tmp_path)


def test_selection_by_modality_and_split():
    frame = example()
    assert manifest.select(frame, "image")["id"].tolist() == ["a", "b"]
    chosen = manifest.select(frame, "text", "classes")
    assert chosen["id"].tolist() == ["classes/colour/red#0", "classes/shape/star#0"]
    assert chosen.index.tolist() == [0, 1]
    assert manifest.select(frame, "image", "train").empty


def test_text_digest_is_blake2b_128():
    assert manifest.text_digest("é") == hashlib.blake2b(b"\xc3\xa9", digest_size=16).hexdigest()


def test_caption_ids_know_the_image_the_text_and_the_repeat():
    name = manifest.caption_id("x", "a dog")
    assert name == "x#" + hashlib.blake2b(b"a dog", digest_size=4).hexdigest()
    assert manifest.caption_id("x", "a dog", 2) == f"{name}-2"
    assert manifest.caption_id("y", "a dog") != name


@given(st.lists(st.text(min_size=1), unique=True, max_size=30))
def test_different_texts_have_different_ids(texts):
    assert len({manifest.caption_id("x", text) for text in texts}) == len(texts)
