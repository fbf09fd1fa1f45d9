from __future__ import annotations

import hashlib
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from crossgap import open_store
from crossgap.datasets import DatasetError
from crossgap.exporting import export
from crossgap.importing import (
    Assignment,
    FeatureImportError,
    from_clip_retrieval,
    import_features,
    shared_ids,
)

WIDTH = 6


@pytest.fixture
def features() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(4, WIDTH)).astype(np.float32)


@pytest.fixture
def bring(tmp_path):
    """Import by the words of the command line, with files in `tmp_path`."""

    def bring(*words: str, **more: str):
        target = tmp_path / "store" / "native.zarr.zip"
        assignments = [Assignment.parse(word.replace("=", f"={tmp_path}/", 1)) for word in words]
        options = {"backbone": "b32", "dataset": "dtd", "scratch": tmp_path / "scratch", **more}
        return import_features(assignments, target, **options)

    return bring


def saved(path: Path, features: np.ndarray) -> str:
    """Write a matrix in the format that the file's name says; how the command line names it."""
    from safetensors.numpy import save_file

    other = np.zeros(3)
    if path.suffix == ".npy":
        np.save(path, features)
    elif path.suffix == ".npz":
        np.savez(path, x=features)
    elif path.suffix == ".safetensors":
        save_file({"x": features, "other": other}, path)
        return f"{path.name}:x"
    elif path.suffix == ".parquet":
        pd.DataFrame({"x": list(features), "other": 0}).to_parquet(path)
        return f"{path.name}:x"
    return path.name


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".safetensors", ".parquet"])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_features_of_every_format(tmp_path, bring, features, suffix, dtype):
    features = features.astype(dtype)
    store = bring(f"image/test={saved(tmp_path / f'f{suffix}', features)}")
    group = store["image/test"]
    np.testing.assert_array_equal(group.features, features.astype(np.float32))
    assert group.features.dtype == np.float32
    assert list(group.ids) == [f"image/test/{row}" for row in range(4)]


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".parquet", ".csv", ".txt"])
def test_names_of_every_format(tmp_path, bring, features, suffix):
    names = ["cat", "007", "NA", "naïve"]
    np.save(tmp_path / "f.npy", features)
    path = tmp_path / f"names{suffix}"
    if suffix == ".npy":
        np.save(path, np.array(names))
    elif suffix == ".npz":
        np.savez(path, np.array(names))
    elif suffix == ".parquet":
        pd.DataFrame({"name": names}).to_parquet(path)
    elif suffix == ".csv":
        pd.DataFrame({"name": names}).to_csv(path, index=False)
    else:
        path.write_text("\n".join(names) + "\n", encoding="utf-8")
    store = bring("image/test=f.npy", f"image/test:id={path.name}", f"image/test:label.class={path.name}")
    assert list(store["image/test"].ids) == names
    assert list(store["image/test"].labels["class"]) == names


@pytest.mark.parametrize("labelling", ["kind/sub", "group", r"kind\sub", "long" * 51])
def test_a_labelling_that_cannot_name_metrics_is_refused(tmp_path, bring, features, labelling):
    np.save(tmp_path / "f.npy", features)
    np.save(tmp_path / "y.npy", np.arange(4))
    with pytest.raises(
        FeatureImportError, match=f"labelling {re.escape(repr(labelling))}.*name it otherwise"
    ):
        bring("image/test=f.npy", f"image/test:label.{labelling}=y.npy")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([3, 1, 3, 0], np.int16), ["3", "1", "3", "0"]),
        (np.array([3.0, np.nan, 3.0, 0.0]), ["3", "", "3", "0"]),
        (np.array([b"cat", b"dog", b"cat", b""]), ["cat", "dog", "cat", ""]),
        (np.array([True, False, True, True]), ["True", "False", "True", "True"]),
    ],
    ids=["int", "float", "bytes", "bool"],
)
def test_labels_become_strings(tmp_path, bring, features, values, expected):
    np.save(tmp_path / "f.npy", features)
    np.save(tmp_path / "y.npy", values)
    store = bring("image/test=f.npy", "image/test:label.class=y.npy")
    assert list(store["image/test"].labels["class"]) == expected


@pytest.mark.parametrize(
    ("images", "prompts", "expected"),
    [
        (["1.0", "0.0", "", "-1"], ["0", "1"], (["1", "0", "", ""], ["0", "1"])),
        (["1", "0", "1", "0"], ["0.0", "1.0"], (["1", "0", "1", "0"], ["0", "1"])),
        (["1.0", "0.0", "", "1.0"], ["0.0", "v1"], (["1.0", "0.0", "", "1.0"], ["0.0", "v1"])),
    ],
)
def test_whole_numbers_written_with_a_point(tmp_path, bring, features, images, prompts, expected):
    np.savez(tmp_path / "a.npz", x=features, y=np.array(images), p=features[:2], z=np.array(prompts))
    store = bring("image/test=a.npz:x", "image/test:label.class=a.npz:y",
                  "text/classes=a.npz:p", "text/classes:label.class=a.npz:z")  # fmt: skip
    for group, labels in zip(("image/test", "text/classes"), expected, strict=True):
        assert list(store[group].labels["class"]) == labels


def test_ids_of_two_splits_are_said(tmp_path, bring, features):
    np.savez(tmp_path / "a.npz", x=features, a=list("abcd"), b=list("xbya"))
    words = ["image/test=a.npz:x", "image/test:id=a.npz:a", "image/train=a.npz:x", "image/train:id=a.npz:b"]
    (said,) = shared_ids(bring(*words, "text/test=a.npz:x", "text/test:id=a.npz:a", "text/classes=a.npz:x",
                               "text/classes:id=a.npz:a", "text/classes:label.class=a.npz:b"))  # fmt: skip
    assert said.startswith("2 ids of image/test are in image/train too (a, b): equal ids are one item")
    assert said.endswith("give them other ids, by image/test:id")


def test_labels_with_gaps_in_a_table(tmp_path, bring, features):
    np.save(tmp_path / "f.npy", features)
    pd.DataFrame({"y": pd.array([3, None, 3, 0], dtype="Int64")}).to_parquet(tmp_path / "y.parquet")
    assert list(
        bring("image/test=f.npy", "image/test:label.class=y.parquet")["image/test"].labels["class"]
    ) == ["3", "", "3", "0"]


def test_large_numbers_with_gaps_in_a_table(tmp_path, bring, features):
    """A null beside them makes no floats of them, in which neighbours from 2⁵³ on would be one."""
    ids = [2**60, 2**60 + 1, 2**63 + 1, 2**63 + 2]
    np.save(tmp_path / "f.npy", features)
    for name, dtype, missing in (
        ("id", "UInt64", ids),
        ("of", "UInt64", [*ids[:3], None]),
        ("y", "Int64", None),
    ):
        values = [2**53, 2**53 + 1, None, 0] if missing is None else missing
        pd.DataFrame({name: pd.array(values, dtype)}).to_parquet(tmp_path / f"{name}.parquet")
    store = bring(
        "image/test=f.npy",
        "image/test:id=id.parquet",
        "image/test:label.class=y.parquet",
        "text/test=f.npy",
        "text/test:group=of.parquet",
    )
    assert store["image/test"].ids.tolist() == [str(one) for one in ids]
    assert store["text/test"]["group"].tolist() == [*(str(one) for one in ids[:3]), ""]
    assert store["image/test"].labels["class"].tolist() == [str(2**53), str(2**53 + 1), "", "0"]


@pytest.mark.parametrize(("dtype", "digits"), [(np.float64, 53), (np.float32, 24), (np.float16, 11)])
def test_floats_that_may_be_other_numbers_are_refused(tmp_path, bring, features, dtype, digits):
    np.save(tmp_path / "f.npy", features)
    np.save(tmp_path / "id.npy", np.array([1, 2, 3, 2**digits - 1], dtype))
    assert bring("image/test=f.npy", "image/test:id=id.npy")["image/test"].ids[3] == str(2**digits - 1)
    np.save(tmp_path / "id.npy", np.array([1, 2, 3, 2**digits], dtype))
    with pytest.raises(
        FeatureImportError, match=rf"image/test:id: {2**digits} is .* from 2\^{digits} on .*: save it as"
    ):
        bring("image/test=f.npy", "image/test:id=id.npy")


def test_a_byte_order_mark_is_no_part_of_a_name(tmp_path, bring, features):
    np.save(tmp_path / "f.npy", features)
    (tmp_path / "y.txt").write_text("cat\nline\u2028of one\ncat\ndog\n", encoding="utf-8-sig")
    labels = bring("image/test=f.npy", "image/test:label.class=y.txt")["image/test"].labels["class"]
    assert labels.tolist() == ["cat", "line\u2028of one", "cat", "dog"]
    (tmp_path / "y.txt").write_bytes(b"cat\r\n a\r\n\r\ndog\r\n")  # Windows' ends of lines
    labels = bring("image/test=f.npy", "image/test:label.class=y.txt")["image/test"].labels["class"]
    assert labels.tolist() == ["cat", "a", "", "dog"]


@pytest.mark.filterwarnings("error")
def test_a_value_beyond_float32_is_told_as_that(tmp_path, bring, features):
    np.save(tmp_path / "f.npy", features.astype(np.float64) * 1e39)
    said = refused(tmp_path, bring, "image/test=f.npy")
    assert "has a value beyond float32, 3.4e+38: scale all features" in said


def test_values_that_float32_has_few_digits_for_are_told_as_that(tmp_path, bring, features):
    np.save(tmp_path / "f.npy", features.astype(np.float64) * 1e-42)
    said = refused(tmp_path, bring, "image/test=f.npy")
    assert (
        "'image/test/0' (row 0) has no value above 9.9e-32, where float32 has few digits: scale all" in said
    )
    np.save(tmp_path / "f.npy", features.astype(np.float64) * 1e-25)
    kept = bring("image/test=f.npy")["image/test"].features.astype(np.float64)
    np.testing.assert_allclose(kept * 1e25, features, rtol=1e-6)


def test_features_of_no_dimensions_are_told_as_that(tmp_path, bring, features):
    np.save(tmp_path / "f.npy", features[:, :0])
    assert "'image/test/0'" in refused(tmp_path, bring, "image/test=f.npy")


def test_lines_that_are_not_utf_8_are_told_by_number(tmp_path, bring, features):
    np.save(tmp_path / "f.npy", features)
    (tmp_path / "y.txt").write_bytes(b"cat\ncaf\xe9\ncat\ndog\n")
    said = refused(tmp_path, bring, "image/test=f.npy", "image/test:label.class=y.txt")
    assert said.endswith("y.txt line 2: not UTF-8: save the file as UTF-8")


def test_captions_are_ranked_within_their_image_in_the_order_given(tmp_path, bring, features):
    np.savez(
        tmp_path / "all.npz",
        i=features[:2],
        t=features,
        group=np.array(["b", "a", "b", "b"]),
        id=np.array(["a", "b"]),
    )
    store = bring(
        "image/test=all.npz:i",
        "image/test:id=all.npz:id",
        "text/test=all.npz:t",
        "text/test:group=all.npz:group",
    )
    captions = store["text/test"]
    assert list(captions["group"]) == ["b", "a", "b", "b"]
    assert list(captions["rank"]) == [0, 0, 1, 2]
    assert list(store["image/test"]["group"]) == ["a", "b"]


def test_ranks_and_preprojection_are_taken_as_given(tmp_path, bring, features):
    wide = np.ones((4, 9), np.float32)
    np.savez(tmp_path / "all.npz", t=features, wide=wide, group=list("aabb"), rank=[1, 0, 0, 1])
    store = bring(
        "text/test=all.npz:t",
        "text/test:preprojection=all.npz:wide",
        "text/test:group=all.npz:group",
        "text/test:rank=all.npz:rank",
    )
    assert list(store["text/test"]["rank"]) == [1, 0, 0, 1]
    np.testing.assert_array_equal(store["text/test"].preprojection, wide)


@pytest.mark.parametrize("values", [[True, False, False, True], [1, 0, 0, 1], [1.0, 0.0, 0.0, 1.0],
                                    ["TRUE", "false", "0", "1"]])  # fmt: skip
def test_which_texts_were_cut_is_true_or_false(tmp_path, bring, features, values):
    np.savez(tmp_path / "all.npz", x=features, cut=values)
    for group in ("text/test", "post/test"):
        found = bring(f"{group}=all.npz:x", f"{group}:truncated=all.npz:cut")
        held = found[found.groups[0]]["truncated"]
        assert held.dtype == bool and held.tolist() == [True, False, False, True]


def test_ranks_of_texts_of_no_image_stay_as_given_and_may_come_twice(tmp_path, bring, features):
    np.savez(tmp_path / "all.npz", t=features, group=["a", "", "a", ""], rank=[5, 4, 3, 4])
    words = ("text/test=all.npz:t", "text/test:group=all.npz:group", "text/test:rank=all.npz:rank")
    assert list(bring(*words)["text/test"]["rank"]) == [1, 4, 0, 4]


def test_a_class_prompt_of_two_labellings_is_refused(tmp_path, bring, features):
    np.savez(tmp_path / "all.npz", t=features, kind=list("abcd"), colour=["", "", "", "red"])
    labels = (f"text/classes:label.{name}=all.npz:{name}" for name in ("kind", "colour"))
    with pytest.raises(FeatureImportError, match="every class prompt needs one class"):
        bring("text/classes=all.npz:t", *labels)


@pytest.mark.parametrize("ranks", [[2, 1, 1, 9], [0, -3, 5, 6], ["2", "1", "07", "8"], [2.0, 1.0, 1.0, 2.0]])
def test_ranks_count_by_their_order_wherever_they_start(tmp_path, bring, features, ranks):
    np.savez(tmp_path / "all.npz", t=features, group=list("abab"), rank=ranks)
    words = ("text/test=all.npz:t", "text/test:group=all.npz:group", "text/test:rank=all.npz:rank")
    held = list(zip("abab", [float(rank) for rank in ranks], strict=True))
    slow = [sum(other < rank for name, other in held if name == group) for group, rank in held]
    assert list(bring(*words)["text/test"]["rank"]) == slow


@pytest.mark.parametrize(
    "values",
    [
        np.array([1, -1, 0, -1]),
        np.array([1.0, -1.0, 0.0, np.nan]),
        np.array(["1", "-1", "0", " "]),
        np.array(["1", "-1.0", "0", "-1"]),
    ],
    ids=["int", "float", "text", "text of floats"],
)
def test_minus_one_stands_for_unlabelled(tmp_path, bring, features, values):
    np.savez(tmp_path / "all.npz", x=features, y=values)
    pd.DataFrame({"y": values}).to_csv(tmp_path / "y.csv", index=False)
    for source in ("all.npz:y", "y.csv"):
        labels = bring("image/test=all.npz:x", f"image/test:label.class={source}")["image/test"].labels
        assert [label.removesuffix(".0") for label in labels["class"]] == ["1", "", "0", ""]


def test_a_prompt_of_minus_one_is_refused(tmp_path, bring, features):
    np.savez(tmp_path / "all.npz", x=features, y=[0, 1, -1, 2])
    words = ("image/test=all.npz:x", "text/classes=all.npz:x", "text/classes:label.class=all.npz:y")
    assert "every class prompt needs one class" in refused(tmp_path, bring, *words)


@pytest.mark.parametrize("dtype", ["bfloat16", "float8_e4m3fn", "float16"])
def test_safetensors_of_numbers_that_numpy_lacks(tmp_path, bring, features, dtype):
    import torch
    from safetensors.torch import save_file

    narrow = torch.from_numpy(features).to(getattr(torch, dtype))
    save_file({"x": narrow}, tmp_path / "f.safetensors")
    held = bring("image/test=f.safetensors")["image/test"].features
    np.testing.assert_array_equal(held, narrow.to(torch.float32).numpy())


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_table_of_names_may_be_of_any_delimiter(tmp_path, bring, features, delimiter):
    np.save(tmp_path / "f.npy", features)
    names = ["NA", "null", "a,b;c", "007"]
    pd.DataFrame({"name": names, "n": range(4)}).to_csv(tmp_path / "n.csv", sep=delimiter, index=False)
    assert list(bring("image/test=f.npy", "image/test:id=n.csv:name")["image/test"].ids) == names


def test_provenance_says_which_files(tmp_path, bring, features):
    np.savez(tmp_path / "all.npz", x=features, y=np.arange(4))
    store = bring("image/test=all.npz:x", "image/test:label.class=all.npz:y", note="from a colleague")
    digest = hashlib.sha256((tmp_path / "all.npz").read_bytes()).hexdigest()
    assert store.provenance["imported_from"] == [
        {"array": "image/test:features", "file": "all.npz", "key": "x", "sha256": digest},
        {"array": "image/test:label.class", "file": "all.npz", "key": "y", "sha256": digest},
    ]
    assert {key: store.provenance[key] for key in ("backbone", "dataset", "note")} == {
        "backbone": "b32",
        "dataset": "dtd",
        "note": "from a colleague",
    }
    assert open_store(store.path).provenance["fingerprint"] == store.provenance["fingerprint"]


def test_a_large_array_is_read_in_blocks(tmp_path, bring, monkeypatch, features):
    """More rows than a shard of the store, in the order of the file."""
    many = np.random.default_rng(1).normal(size=(20_000, WIDTH)).astype(np.float16)
    np.save(tmp_path / "f.npy", many)
    np.testing.assert_array_equal(bring("image/test=f.npy")["image/test"].features, many.astype(np.float32))


def refused(tmp_path: Path, bring, *words: str) -> str:
    with pytest.raises(FeatureImportError) as error:
        bring(*words)
    assert not (tmp_path / "store" / "native.zarr.zip").exists()
    return str(error.value)


def test_pickled_objects_are_refused(tmp_path, bring, features):
    np.save(tmp_path / "f.npy", features)
    np.save(tmp_path / "y.npy", np.array(["a", None, "b", "c"], dtype=object))
    np.savez(tmp_path / "y.npz", np.array(["a", None, "b", "c"], dtype=object))
    for name in ("y.npy", "y.npz"):
        message = refused(tmp_path, bring, "image/test=f.npy", f"image/test:label.class={name}")
        assert name in message and "pickled" in message and "astype(str)" in message


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.array([b"a", b"b", b"c", b"d"]).view("V1"), "|V1"),
        (np.zeros(4, [("id", "i4"), ("at", "f4")]), "'id'"),
        (np.arange(4) * 1j, "complex128"),
        (np.array("a"), "shape ()"),
    ],
)
@pytest.mark.parametrize("column", ["id", "label.class", "rank", "truncated"])
def test_what_is_neither_text_nor_a_number_an_item_is_refused(
    tmp_path, bring, features, values, said, column
):
    np.save(tmp_path / "f.npy", features)
    np.save(tmp_path / "c.npy", values)
    message = refused(tmp_path, bring, "text/test=f.npy", f"text/test:{column}=c.npy")
    assert f"text/test:{column}" in message and said in message and "give" in message


def test_one_number_alone_is_no_features(tmp_path, bring):
    np.save(tmp_path / "f.npy", np.float32(3))
    assert "float32 ()" in refused(tmp_path, bring, "image/test=f.npy")


@pytest.mark.parametrize("column", ["id", "label.class"])
@pytest.mark.parametrize("wrong", [b"\xff", "\ud800"])
def test_a_name_that_is_not_utf_8_is_told(tmp_path, bring, features, column, wrong):
    np.save(tmp_path / "f.npy", features)
    if isinstance(wrong, bytes):
        file = "c.parquet"
        pd.DataFrame({"x": [b"a", b"b", wrong, b"d"]}).to_parquet(tmp_path / file)
    else:
        file = "c.npy"
        np.save(tmp_path / file, np.array(["a", "b", wrong, "d"]))
    message = refused(tmp_path, bring, "image/test=f.npy", f"image/test:{column}={file}")
    assert f"image/test:{column}" in message and repr(wrong) in message and "UTF-8" in message


@pytest.mark.parametrize(("wrong", "said"), [([1.0], "1 number"), (None, "no number")])
def test_a_row_of_another_length_in_a_table_is_told(tmp_path, bring, wrong, said):
    pd.DataFrame({"x": [[1.0, 2.0], [3.0, 4.0], wrong, [5.0, 6.0]]}).to_parquet(tmp_path / "f.parquet")
    message = refused(tmp_path, bring, "image/test=f.parquet")
    assert "row 2" in message and said in message and "row 0" in message and "2" in message


@pytest.mark.parametrize("column", ["features", "id"])
@pytest.mark.parametrize(
    "lists",
    [
        pa.array([["a", "b"]] * 4, pa.list_(pa.string(), 2)),
        pa.array([[[1, 2]]] * 4, pa.list_(pa.list_(pa.int8(), 2), 1)),
    ],
)
def test_lists_of_what_is_no_number_are_told_as_that(tmp_path, bring, features, column, lists):
    np.save(tmp_path / "f.npy", features)
    pq.write_table(pa.table({"x": lists}), tmp_path / "x.parquet", row_group_size=3)
    given = (
        ["image/test:features=x.parquet"]
        if column == "features"
        else ["image/test=f.npy", "image/test:id=x.parquet"]
    )
    message = refused(tmp_path, bring, *given)
    shape = f"(4, {lists.type.list_size})"
    assert message.startswith(f"image/test:{column} ") and shape in message and ": give " in message


@pytest.mark.parametrize("column", ["features", "id", "label.class"])
@pytest.mark.parametrize(
    ("values", "said"),
    [
        (pa.array([{"a": 1}] * 4), "x is struct<a: int64>: give one text"),
        (pa.array([[("a", 1)]] * 4, pa.map_(pa.string(), pa.int64())), "x is map<string, int64"),
        (pa.array([None, ["a"], ["b"], ["c"]]), "row 1 has 1 number, row 0 has 0"),
        (pa.FixedShapeTensorArray.from_numpy_ndarray(np.ones((4, 2, 3))), "shape=[2,3]"),
    ],
    ids=["struct", "map", "none, then lists", "tensors"],
)  # fmt: skip
def test_nested_values_of_a_table_are_refused(tmp_path, bring, features, column, values, said):
    np.save(tmp_path / "f.npy", features)
    pq.write_table(pa.table({"x": values}), tmp_path / "x.parquet")
    given = f"image/test:{column}=x.parquet"
    words = [given] if column == "features" else ["image/test=f.npy", given]
    assert said in refused(tmp_path, bring, *words)


def test_tensors_of_one_dimension_are_lists(tmp_path, bring, features):
    pq.write_table(
        pa.table({"x": pa.FixedShapeTensorArray.from_numpy_ndarray(features)}),
        tmp_path / "f.parquet",
        row_group_size=3,
    )
    np.testing.assert_array_equal(bring("image/test=f.parquet")["image/test"].features, features)


def test_a_name_that_is_there_twice_is_told(tmp_path, bring, features):
    np.save(tmp_path / "f.npy", features)
    (tmp_path / "x.csv").write_text("x,y,x\n" + "a,b,c\n" * 4)
    pq.write_table(pa.table([pa.array(list("abcd"))] * 2, names=["x", "x"]), tmp_path / "x.parquet")
    for file in ("x.csv", "x.parquet"):
        said = refused(tmp_path, bring, "image/test=f.npy", f"image/test:id={file}:x")
        assert said.endswith(f"{file}:x: 'x' is there 2 times: rename all but one")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("column", ["id", "label.class"])
def test_fractions_are_refused_since_their_digits_depend_on_the_file(
    tmp_path, bring, features, column, dtype
):
    """1.0 beside 0.5 was the label 1.0, and 1 in a split that has none; 0.1 has other digits in float32."""
    np.savez(
        tmp_path / "a.npz",
        x=features,
        y=np.array([1, 2, 0.1, 4], dtype),
        inf=np.array([1, np.nan, 3, np.inf]),
    )
    said = refused(tmp_path, bring, "image/test=a.npz:x", f"image/test:{column}=a.npz:y")
    assert (
        said.startswith(f"image/test:{column}: 0.1")
        and "(row 2): give whole numbers, or fractions as text" in said
    )
    assert ": inf (row 3)" in refused(tmp_path, bring, "image/test=a.npz:x", f"image/test:{column}=a.npz:inf")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_no_numbers_name_the_item(tmp_path, bring, features, value):
    features[2, 1] = value
    np.savez(tmp_path / "all.npz", x=features, id=list("pqrs"))
    message = refused(tmp_path, bring, "image/test=all.npz:x", "image/test:id=all.npz:id")
    assert "image/test:features" in message and "'r' (row 2)" in message and "NaN" in message


def test_zero_vector_names_the_item(tmp_path, bring, features):
    features[3] = 0
    np.save(tmp_path / "f.npy", features)
    assert "'text/test/3' (row 3)" in refused(tmp_path, bring, "text/test=f.npy")


@pytest.fixture
def archive(tmp_path, features) -> Path:
    """Arrays of all kinds, good and bad, that the cases below combine."""
    np.savez(
        tmp_path / "a.npz",
        x=features,
        narrow=features[:, :3],
        short=features[:2],
        flat=features[0],
        words=np.array(list("abcd")),
        ids=np.array(list("abca")),
        groups=np.array(list("abcz")),
        same=np.array(list("aabb")),
        y=np.arange(4),
        y3=np.arange(3),
        again=np.array([1, 2, 3, 3]),
        halves=np.array([0, 0.5, 0, 1]),
        missing=np.array([0, 1, np.nan, 1]),
        empty=features[:0],
        square=np.ones((4, 2)),
    )
    return tmp_path / "a.npz"


CASES = {
    "widths differ": (
        ["image/test=a.npz:x", "text/test=a.npz:narrow"],
        ["one width", "'image/test': 6", "'text/test': 3"],
    ),
    "lengths differ": (
        ["image/test=a.npz:x", "image/test:label.class=a.npz:y3"],
        ["image/test:label.class has 3 rows, its features 4"],
    ),
    "duplicate ids": (["image/test=a.npz:x", "image/test:id=a.npz:ids"], ["image/test:id", "'a'", "unique"]),
    "caption of a missing image": (
        [
            "image/test=a.npz:x",
            "image/test:id=a.npz:words",
            "text/test=a.npz:x",
            "text/test:group=a.npz:groups",
        ],
        ["text/test:group names 1 images that image/test:id lacks, such as 'z'"],
    ),
    "classes without labels": (
        ["image/test=a.npz:x", "text/classes=a.npz:x"],
        ["text/classes", "label.<labelling>=FILE"],
    ),
    "images of a kept split": (
        ["image/vocabulary=a.npz:x"],
        ["image/vocabulary: the split 'vocabulary' is kept for texts: name that of images otherwise"],
    ),
    "images of the class prompts": (["image/classes=a.npz:x"], ["'classes' is kept for texts"]),
    "a vocabulary with labels": (
        [
            "text/vocabulary=a.npz:x",
            "text/vocabulary:label.class=a.npz:y",
            "text/vocabulary:group=a.npz:same",
        ],
        ["text/vocabulary: such texts belong to no image and no class: leave label.class, group out"],
    ),
    "labels without features": (
        ["image/test:label.class=a.npz:y"],
        ["image/test has label.class but no features"],
    ),
    "given twice": (["image/test=a.npz:x", "image/test=a.npz:x"], ["image/test:features is given twice"]),
    "features of words": (["image/test=a.npz:words"], ["image/test:features is <U1 (4,): give numbers"]),
    "features of one row": (
        ["image/test=a.npz:flat"],
        ["image/test:features is float32 (6,): give numbers, (item, feature)"],
    ),
    "no features": (["image/test=a.npz:empty"], ["image/test:features is float32 (0, 6)"]),
    "labels of two columns": (
        ["image/test=a.npz:x", "image/test:label.class=a.npz:square"],
        ["shape (4, 2): give one value an item"],
    ),
    "ranks that are words": (
        ["text/test=a.npz:x", "text/test:group=a.npz:same", "text/test:rank=a.npz:words"],
        ["text/test:rank: 'a' (row 0): give whole numbers"],
    ),
    "ranks given twice": (
        ["text/test=a.npz:x", "text/test:group=a.npz:same", "text/test:rank=a.npz:again"],
        ["text/test:rank: two captions of 'b' are ranked 3: give each its own"],
    ),
    "ranks that are fractions": (
        ["text/test=a.npz:x", "text/test:group=a.npz:same", "text/test:rank=a.npz:halves"],
        ["text/test:rank: ", "0.5", "(row 1): give whole numbers"],
    ),
    "what is neither true nor false": (
        ["text/test=a.npz:x", "text/test:truncated=a.npz:again"],
        ["text/test:truncated: '2' (row 1): give true or false, or 1 or 0, for every item"],
    ),
    "not known whether it is true": (
        ["text/test=a.npz:x", "text/test:truncated=a.npz:missing"],
        ["text/test:truncated: '' (row 2): give true or false"],
    ),
    "several arrays and no key": (
        ["image/test=a.npz"],
        ["several arrays: name one after a colon; it holds x, narrow"],
    ),
    "unknown key": (["image/test=a.npz:z"], ["a.npz:z: no 'z'; it holds x, narrow"]),
    "missing file": (["image/test=b.npz:x"], ["b.npz:x: no such file"]),
    "folder of files": (["image/test=parts.parquet:x"], ["parts.parquet:x: is a folder: give one file"]),
    "unknown suffix": (["image/test=a.pt"], ["don't know '.pt'; .npy, .npz"]),
    "key of a single array": (["image/test=f.npy:x"], ["a .npy holds one array: leave out :x"]),
    "damaged npy": (["image/test=bad.npy"], ["bad.npy", "damaged"]),
    "npz called npy": (["image/test=zip.npy"], ["zip.npy: can't be read: it holds an .npz: rename it"]),
    "npy called npz": (["image/test=flat.npz"], ["flat.npz: can't be read: it holds an .npy: rename it"]),
    "damaged npz": (["image/test=bad.npz"], ["bad.npz"]),
    "damaged safetensors": (["image/test=bad.safetensors"], ["bad.safetensors: can't be read"]),
    "damaged parquet": (["image/test=bad.parquet"], ["bad.parquet: can't be read"]),
}


def test_a_vocabulary_needs_neither_group_nor_labels(tmp_path, bring, archive):
    store = bring(
        "image/test=a.npz:x",
        "text/vocabulary=a.npz:x",
        "text/vocabulary:id=a.npz:words",
        "text/vocabulary-photo=a.npz:short",
    )
    assert store.groups == ["image/test", "text/vocabulary", "text/vocabulary-photo"]
    names = store["text/vocabulary"]
    assert list(names.ids) == list("abcd") and "group" not in names and names.labels == {}
    assert list(store["text/vocabulary-photo"].ids) == [f"text/vocabulary-photo/{row}" for row in range(2)]


def test_judgements_come_along_with_their_source(tmp_path, bring, archive):
    (tmp_path / "qrels.txt").write_text("a 0 text/corpus/1 2\nb 0 text/corpus/0 -1\n")
    words = ["text/test=a.npz:x", "text/test:id=a.npz:words", "text/corpus=a.npz:short"]
    store = bring(*words, "text/vocabulary=a.npz:x", judged=tmp_path / "qrels.txt")
    assert store.judgements.to_numpy().tolist() == [
        ["judged", "a", "text/corpus/1", 2],
        ["judged", "b", "text/corpus/0", -1],
    ]
    digest = hashlib.sha256((tmp_path / "qrels.txt").read_bytes()).hexdigest()
    source = {"array": "judgements", "file": "qrels.txt", "key": None, "sha256": digest}
    assert store.provenance["imported_from"][-1] == source
    assert bring(*words).judgements is None


QUERIES = """query,role,item,set
q,image,a,s
q,text,text/composed/0,
q,text,text/composed/1,
q,target,b,
q,ignored,a,
q,member,c,
,candidate,b,s
,candidate,c,s
"""
COMPOSED = ["image/test=a.npz:x", "image/test:id=a.npz:words", "text/composed=a.npz:short"]


def test_composed_queries_come_along_with_their_source(tmp_path, bring, archive):
    (tmp_path / "q.csv").write_text(QUERIES)
    store = bring(*COMPOSED, composed_queries=tmp_path / "q.csv")
    asked, judged, galleries = (held.to_numpy().tolist() for held in store.composed)
    assert asked == [["q", "a", f"text/composed/{rank}", "", "s"] for rank in (0, 1)]
    assert judged == [["q", "b", "target"], ["q", "a", "ignored"], ["q", "c", "member"]]
    assert galleries == [["s", "b"], ["s", "c"]]
    assert store.provenance["imported_from"][-1]["array"] == "composed queries"
    assert bring(*COMPOSED).composed is None


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("q,target,b,", "no image is named that answers"),
        ("q,image,a,s", "line 2: q has no row with the role image"),
        ("text/composed/1", "no text of the split 'composed' has the id of the text"),
        ("q,ignored,a,", "line 6: role is 'skip': give one of image, text, candidate, target"),
        (",candidate,b,s", "line 8: a candidate has a set and no query"),
        ("q,text,text/composed/1,", "line 4: q has an image already"),
    ],
)
def test_composed_queries_that_cant_be(tmp_path, bring, archive, wrong, said):
    changed = {
        "text/composed/1": "text/composed/9", "q,ignored,a,": "q,skip,a,", ",candidate,b,s": ",candidate,b,",
        "q,text,text/composed/1,": "q,image,b,",
    }  # fmt: skip
    lines = QUERIES.replace(wrong, changed.get(wrong, "")).split("\n")
    (tmp_path / "q.csv").write_text("\n".join(line for line in lines if line))
    with pytest.raises(DatasetError, match=said):
        bring(*COMPOSED, composed_queries=tmp_path / "q.csv")


def test_judgements_by_an_id_of_an_image_and_of_a_text_are_refused(tmp_path, bring, archive):
    """The image would be no answer to the text: an item of the query's id is taken for the query itself."""
    (tmp_path / "qrels.txt").write_text("a 0 a 1\n")
    words = ["image/test=a.npz:x", "image/test:id=a.npz:words", "text/test=a.npz:x"]
    with pytest.raises(
        FeatureImportError, match=r"1 of these are of an item of either modality \(a\): give those"
    ):
        bring(*words, "text/test:id=a.npz:words", judged=tmp_path / "qrels.txt")
    (tmp_path / "qrels.txt").write_text("text/test/0 0 a 1\n")
    assert len(bring(*words, judged=tmp_path / "qrels.txt").judgements) == 1


def test_judgements_of_other_items_are_refused(tmp_path, bring, archive):
    (tmp_path / "qrels.txt").write_text("a 0 text/test/1 2\na 0 text/vocabulary/0 1\n")
    with pytest.raises(DatasetError, match=r"gallery split .*line 2 \(a, text/vocabulary/0, 1\)") as error:
        bring("text/test=a.npz:x", "text/vocabulary=a.npz:x", judged=tmp_path / "qrels.txt")
    assert "query split" in str(error.value)
    assert not (tmp_path / "store" / "native.zarr.zip").exists()


@pytest.mark.parametrize("case", CASES)
def test_what_does_not_fit_is_refused_with_its_name(tmp_path, bring, archive, features, case):
    np.save(tmp_path / "f.npy", features)
    np.savez(tmp_path / "pack.npz", features)
    (tmp_path / "pack.npz").rename(tmp_path / "zip.npy")
    (tmp_path / "flat.npz").write_bytes((tmp_path / "f.npy").read_bytes())
    for name in ("a.pt", "bad.npy", "bad.npz", "bad.safetensors", "bad.parquet"):
        (tmp_path / name).write_bytes(b"not what the suffix says")
    (tmp_path / "parts.parquet").mkdir()
    words, messages = CASES[case]
    said = refused(tmp_path, bring, *words)
    assert all(message in said for message in messages), said


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image/test", "is not image/SPLIT"),
        ("test=f.npy", "is not image/SPLIT"),
        ("Audio/test=f.npy", "is not image/SPLIT"),
        ("image/=f.npy", "is not image/SPLIT"),
        ("image/a b=f.npy", "is not image/SPLIT"),
        (
            "image/test:colour=f.npy",
            "unknown column 'colour'; it may be features, preprojection, id, group, rank, truncated or",
        ),
        ("image/test:group=f.npy", "`group` is of texts"),
        ("image/test:truncated=f.npy", "`truncated` is of texts, which a tokenizer cuts: leave it out"),
        ("imag/test=f.npy", "names 'imag'; did you mean 'image'. If not, name it otherwise"),
        ("texts/test:id=f.npy", "names 'texts'; did you mean 'text'"),
        ("text/clases=f.npy", "names 'clases'; did you mean 'classes'"),
        ("text/vocabulary-photos=f.npy", "names 'vocabulary-photos'; did you mean 'vocabulary-photo'"),
    ],
)
def test_words_that_mean_nothing(text, message):
    with pytest.raises(FeatureImportError, match=message.replace("`", ".")) as error:
        Assignment.parse(text)
    assert repr(text) in str(error.value)


@pytest.mark.parametrize("group", ["image2/test", "protein/test", "context/test", "video/class", "text/test"])
def test_other_names_are_names(group):
    assert Assignment.parse(f"{group}=f.npy").group == group


@pytest.mark.parametrize("split", ["audio", "test-audio", "text", "image", "video.2"])
def test_a_split_keeps_its_name_beside_modalities_of_other_names(tmp_path, bring, features, split):
    np.save(tmp_path / "f.npy", features)
    store = bring(f"audio/{split}=f.npy", f"video/{split}=f.npy")
    assert store.groups == [f"image/{split}", f"text/{split}"]
    assert store[f"text/{split}"].ids[1] == f"video/{split}/1"
    words = {word.partition(":")[0] for word in export(store, "parquet", tmp_path / "out")}
    assert words == {f"audio/{split}", f"video/{split}"}


def test_a_labelling_has_a_name():
    with pytest.raises(FeatureImportError, match=r"the labelling '' has no name: give label\.<labelling>"):
        Assignment.parse("image/test:label.=f.npy")


def test_colon_in_a_file_name(tmp_path, features):
    path = tmp_path / "a:b.npy"
    np.save(path, features)
    assert Assignment.parse(f"image/test={path}") == Assignment("image/test", "features", path, None)
    assert Assignment.parse("image/test=C:/a.npz:x").key == "x"


@pytest.fixture
def clip_retrieval(tmp_path) -> Path:
    """Twelve items in parts of one, as many digits as `clip-retrieval inference` gives them, in float16."""
    folder = tmp_path / "embeddings"
    rows = np.random.default_rng(0).normal(size=(2, 12, WIDTH)).astype(np.float16)
    for name in ("img_emb", "text_emb", "metadata"):
        (folder / name).mkdir(parents=True)
    for part in range(12):
        np.save(folder / "img_emb" / f"img_emb_{part}.npy", rows[0, part : part + 1])
        np.save(folder / "text_emb" / f"text_emb_{part}.npy", rows[1, part : part + 1])
        pd.DataFrame({"image_path": [f"photos/{part}.jpg"], "caption": [f"number {part}"]}).to_parquet(
            folder / "metadata" / f"metadata_{part}.parquet"
        )
    np.save(folder / "all.npy", rows)
    return folder


def test_clip_retrieval_folder(tmp_path, clip_retrieval):
    """Part 10 comes after part 9, whatever the alphabet says."""
    store = import_features(
        from_clip_retrieval(clip_retrieval, "train"),
        tmp_path / "s.zip",
        backbone="b32",
        dataset="laion",
        scratch=tmp_path / "scratch",
    )
    images, texts = np.load(clip_retrieval / "all.npy").astype(np.float32)
    assert store.groups == ["image/train", "text/train"]
    np.testing.assert_array_equal(store["image/train"].features, images)
    np.testing.assert_array_equal(store["text/train"].features, texts)
    paths = [f"photos/{part}.jpg" for part in range(12)]
    assert list(store["image/train"].ids) == paths
    assert list(store["text/train"]["group"]) == paths
    files = [source["file"] for source in store.provenance["imported_from"]]
    assert len(files) == 48 and {"img_emb_10.npy", "text_emb_0.npy", "metadata_11.parquet"} <= set(files)


def test_clip_retrieval_folder_that_lacks_something(tmp_path, clip_retrieval):
    with pytest.raises(
        FeatureImportError, match=r"holds neither img_emb/img_emb_0.npy nor text_emb/text_emb_0.npy"
    ):
        from_clip_retrieval(tmp_path, "test")
    for table in (clip_retrieval / "metadata").iterdir():
        table.unlink()
    with pytest.raises(FeatureImportError, match=r"no metadata/metadata_0.parquet"):
        from_clip_retrieval(clip_retrieval, "test")
    for part in range(12):
        pd.DataFrame({"caption": ["a"]}).to_parquet(clip_retrieval / "metadata" / f"metadata_{part}.parquet")
    with pytest.raises(FeatureImportError, match="none of the columns image_path, key, url"):
        from_clip_retrieval(clip_retrieval, "test")


def test_a_part_of_clip_retrieval_that_is_damaged(clip_retrieval):
    """NumPy's own error advises to unpickle it."""
    (clip_retrieval / "img_emb" / "img_emb_3.npy").write_bytes(b"no array")
    with pytest.raises(
        FeatureImportError, match=r"img_emb_3.npy: holds pickled .* never loaded, or is damaged"
    ):
        from_clip_retrieval(clip_retrieval, "test")


def test_parts_of_clip_retrieval_are_paired_by_number(clip_retrieval):
    """As many parts each, but another one is missing: by their order, features would get other images' names."""
    (clip_retrieval / "img_emb" / "img_emb_3.npy").unlink()
    (clip_retrieval / "text_emb" / "text_emb_3.npy").unlink()
    (clip_retrieval / "metadata" / "metadata_10.parquet").unlink()
    with pytest.raises(FeatureImportError) as error:
        from_clip_retrieval(clip_retrieval, "test")
    said = str(error.value)
    assert "img_emb lacks 1 of 12 parts (3); text_emb lacks 1 of 12 parts (3); metadata lacks 1 of 12" in said
    assert "parts (10)" in said


def test_parts_of_clip_retrieval_have_as_many_rows(clip_retrieval):
    """Two parts of other lengths, as many rows in all."""
    for part, rows in ((4, 2), (5, 0)):
        np.save(clip_retrieval / "img_emb" / f"img_emb_{part}.npy", np.ones((rows, WIDTH), np.float16))
    message = r"part 4 differs in rows: img_emb_4.npy has 2, text_emb_4.npy has 1, metadata_4.parquet has 1"
    with pytest.raises(FeatureImportError, match=message):
        from_clip_retrieval(clip_retrieval, "test")


def test_a_part_of_clip_retrieval_that_is_there_twice(clip_retrieval):
    shutil.copy(clip_retrieval / "img_emb/img_emb_1.npy", clip_retrieval / "img_emb/img_emb_01.npy")
    with pytest.raises(FeatureImportError, match=r"img_emb_01\.npy and .*img_emb_1\.npy are both part 1"):
        from_clip_retrieval(clip_retrieval, "test")
