"""`crossgap export`: what other tools read of it, and that the way back loses nothing."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import crossgap
from crossgap import exporting, open_store
from crossgap.cli import app
from crossgap.exporting import ExportError, _without_points, export
from crossgap.importing import Assignment, FeatureImportError, from_clip_retrieval, import_features
from crossgap.stores import store, writing

WIDTH = 5


def words(*values: str) -> np.ndarray:
    return np.array(values, object)


@pytest.fixture
def made(tmp_path, monkeypatch) -> store.Store:
    """A cell's store in a project: images with labels, captions, class prompts; of odd bits and odd names."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)

    def rows(count: int, width: int = WIDTH) -> np.ndarray:
        found = rng.normal(size=(count, width)).astype(np.float32)
        # a denormal number and a negative zero are bits too
        found[0, 0], found[0, 1] = np.float32(1e-42), -0.0
        return found

    path = Path("data/features/nano/world/native.zarr.zip")
    path.parent.mkdir(parents=True)
    with store.creating(path, "data/scratch/x", {"backbone": "nano", "fingerprint": "these"}) as writer:
        ids = words("a/ä b", "c,d", "007", 'e"f')
        columns = {
            "id": ids,
            "group": ids,
            "rank": np.zeros(4, np.int64),
            "label.class": words("x", "", "y", "01"),
        }
        writer.add("image/test", columns, [{"features": rows(4), "preprojection": rows(4, 7)}])
        columns = {
            "id": words("t0", "t1", "t2"),
            "group": words("c,d", "c,d", "007"),
            "rank": np.array([1, 0, 0]),
            "truncated": np.array([False, True, False]),
        }
        writer.add("text/test", columns, [{"features": rows(3), "preprojection": rows(3, 6)}])
        columns = {"id": words("p", "q"), "rank": np.zeros(2, np.int64), "label.class": words("x", "y")}
        columns["truncated"] = np.zeros(2, bool)
        writer.add("text/classes", columns, [{"features": rows(2)}])
    return open_store(path)


def same(found: store.Store, given: store.Store) -> None:
    assert found.groups == given.groups
    for name in given.groups:
        arrays = sorted(given[name].zarr_group.array_keys())
        assert sorted(found[name].zarr_group.array_keys()) == arrays
        for array in arrays:
            one, other = found[name][array], given[name][array]
            assert one.dtype == other.dtype and one.tolist() == other.tolist()
            if one.dtype.kind == "f":
                assert one.tobytes() == other.tobytes()


def brought_back(cell: str, form: str, out: str = "out") -> store.Store:
    """What comes back by the very command that the export prints."""
    done = CliRunner().invoke(app, ["export", cell, out, "--format", form])
    assert done.exit_code == 0, done.output
    command = done.output.rpartition("To bring them back: ")[2]
    name, *back = shlex.split(command)[1:]
    back[back.index("NAME")] = "again"
    done = CliRunner().invoke(app, [name, *back])
    assert done.exit_code == 0, done.output
    return open_store("data/imports/again/native.zarr.zip")


@pytest.mark.parametrize("form", ["clip-retrieval", "safetensors", "parquet"])
def test_a_group_of_no_items_is_one_in_every_form(made, form):
    with store.creating("none.zarr.zip", "data/scratch/x", {}) as writer:
        writer.add(
            "image/test", {"id": words(), "group": words()}, [{"features": np.zeros((0, WIDTH), "f4")}]
        )
    found = {
        Assignment.parse(one).column: Assignment.parse(one).load()
        for one in export(open_store("none.zarr.zip"), form, "out")
    }
    assert {name: held.shape for name, held in found.items()} == {"features": (0, WIDTH), "id": (0,)}


@pytest.mark.parametrize("out", ["out", "run:2"])
@pytest.mark.parametrize("form", ["clip-retrieval", "safetensors", "parquet"])
def test_what_is_exported_comes_back_bit_for_bit(made, form, out):
    same(brought_back("nano/world", form, out), made)


def test_arrays_go_and_come_back_in_parts(made, monkeypatch):
    """4 images, 3 at a time."""
    monkeypatch.setattr(exporting, "ROWS_A_SHARD", 3)
    monkeypatch.setattr(writing, "ROWS_A_SHARD", 3)
    same(brought_back("nano/world", "clip-retrieval"), made)


def test_an_item_of_a_later_part_is_named(made, monkeypatch):
    monkeypatch.setattr(writing, "ROWS_A_SHARD", 3)
    for value, said in ((np.nan, "NaN"), (1e-40, "no value above"), (1e39, "a value beyond float32")):
        rows = np.ones((5, 2))
        rows[4] = value
        np.save("rows.npy", rows)
        given = [Assignment.parse("image/test=rows.npy")]
        with pytest.raises(FeatureImportError, match=said) as caught:
            import_features(given, "x.zarr.zip", backbone="b", dataset="d", scratch="s")
        assert "item 'image/test/4' (row 4)" in str(caught.value)


def test_as_clip_retrieval_lays_it_out(made):
    """The images of a split are a folder that its own tools take, and `--clip-retrieval` too."""
    export(made, "clip-retrieval", "out")
    plain = np.load("out/image/test/img_emb/img_emb_0.npy", allow_pickle=False)
    assert plain.tobytes() == made["image/test"].features.tobytes() and plain.shape == (4, WIDTH)
    table = pq.read_table("out/image/test/metadata/metadata_0.parquet").to_pydict()
    assert table["image_path"] == table["id"] == made["image/test"].ids.tolist()
    assert pq.read_table("out/text/test/metadata/metadata_0.parquet").to_pydict()["image_path"] == [
        "c,d",
        "c,d",
        "007",
    ]
    for modality in ("image", "text"):
        back = import_features(from_clip_retrieval(f"out/{modality}/test", "test"), f"{modality}.zarr.zip",
                               backbone="b", dataset="d", scratch="scratch")  # fmt: skip
        assert back[f"{modality}/test"].features.tobytes() == made[f"{modality}/test"].features.tobytes()
        assert back[f"{modality}/test"]["group"].tolist() == made[f"{modality}/test"]["group"].tolist()


def test_a_table_has_lists_of_one_length(made):
    export(made, "parquet", "out")
    schema = pq.read_schema("out/image/test/items.parquet")
    assert schema.field("features").type == pa.list_(pa.float32(), WIDTH)
    assert schema.field("preprojection").type == pa.list_(pa.float32(), 7)
    assert schema.field("label.class").type == pa.string()


def test_an_inversions_tokens_go_along(made):
    """They are three-dimensional, and no import takes them; its features come back like any other's."""
    tokens = np.arange(2 * 3 * 4, dtype=np.float32).reshape(2, 3, 4)
    path = Path("data/features/nano/world/oti-3.zarr.zip")
    features = np.eye(2, WIDTH, dtype=np.float32)
    with store.creating(path, "data/scratch/x", {}) as writer:
        columns = {"id": words("a", "b"), "step": np.array([5])}
        arrays = {
            "features": features,
            "tokens": tokens,
            "snapshots": features[:, None],
            "loss": np.ones(2, np.float32),
        }
        writer.add("image/test", columns, [arrays])
    for form in ("clip-retrieval", "safetensors", "parquet"):
        done = CliRunner().invoke(app, ["export", "nano/world/oti-3", form, "--format", form])
        assert done.exit_code == 0, done.output
    from safetensors.numpy import load_file

    np.testing.assert_array_equal(np.load("clip-retrieval/image/test/tokens.npy"), tokens)
    np.testing.assert_array_equal(load_file("safetensors/image/test/arrays.safetensors")["tokens"], tokens)
    table = pq.read_table("parquet/image/test/items.parquet")
    assert set(table.column_names) == {"id", "features", "tokens", "loss"}
    assert table["tokens"].to_pylist() == tokens.tolist() and table["loss"].to_pylist() == [1, 1]
    np.testing.assert_array_equal(Assignment.parse("image/test=parquet/image/test/items.parquet:features").load(),
                                  features)  # fmt: skip


def test_lance(made):
    lance = pytest.importorskip("lance")
    export(made, "lance", "out")
    table = lance.dataset("out/image/test/items.lance").to_table()
    assert table["id"].to_pylist() == made["image/test"].ids.tolist()
    assert table["label_class"].to_pylist() == ["x", "", "y", "01"]
    assert table["features"].to_pylist() == made["image/test"].features.tolist()
    assert table.schema.field("features").type == pa.list_(pa.float32(), WIDTH)
    assert table.schema.field("label_class").metadata == {b"name": b"label.class"}


def test_names_without_points_never_collide():
    names = ["id", "label.a.b", "label.a_b", "label.a_b_", "label_a_b", "x.y"]
    assert _without_points(names) == ["id", "label_a_b_", "label_a_b__", "label_a_b___", "label_a_b", "x_y"]
    assert _without_points(["label.a.b", "label.a_b"]) == ["label_a_b", "label_a_b_"]


@pytest.mark.parametrize("form", ["clip-retrieval", "safetensors", "parquet"])
def test_labellings_that_differ_by_a_point_stay_apart(made, form):
    ids = words("p", "q")
    with store.creating("points.zarr.zip", "data/scratch/x", {}) as writer:
        labels = {"label.a.b": words("1", "2"), "label.a_b": words("3", "4")}
        writer.add(
            "image/test", {"id": ids, "group": ids, **labels}, [{"features": np.ones((2, WIDTH), "f4")}]
        )
    found = [Assignment.parse(one) for one in export(open_store("points.zarr.zip"), form, "out")]
    held = {one.column: one.load().tolist() for one in found if one.column.startswith("label.")}
    assert held == {"label.a.b": ["1", "2"], "label.a_b": ["3", "4"]}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            ["nano/words", "out"],
            "'nano/words' is no store under data; did you mean 'nano/world'[?]; there are nano/world$",
        ),
        (["imports/mine", "out"], "'imports/mine' is no store"),
        (["../nano/world", "out"], "is no store"),
        (
            ["nano/world", "out", "--format", "csv"],
            "no format 'csv'; there are clip-retrieval, safetensors, parquet",
        ),
        (["nano/world", "data"], "data exists: name a folder that does not"),
        (["nano/world", "dangling"], "dangling exists: name a folder that does not"),
        (["nano/world", "file/a/b"], "file/a/b can't be made [(]Not a directory[)]: name another place"),
        (["nano/world", "n" * 300], "can't be made [(]File name too long[)]: name another place"),
        (["nano/world", "s3://bucket/out"], "s3://bucket/out is no folder of this machine"),
    ],
)
def test_what_cannot_be_exported_is_one_sentence(made, given, said):
    import re

    Path("dangling").symlink_to("nowhere")
    Path("file").write_text("")
    done = CliRunner().invoke(app, ["export", *given])
    assert done.exit_code == 1 and re.search(said, done.output.strip()), done.output
    assert len(done.output.strip().splitlines()) == 1 and not Path("out").exists()


def test_of_a_damaged_store_nothing_stays(made):
    content = bytearray(made.path.read_bytes())
    at = content.find(made["image/test"].features.tobytes()[8:40])
    content[at + 4] ^= 1
    made.path.write_bytes(content)
    with pytest.raises(store.StoreError, match="damaged"):
        export(open_store(made.path), "parquet", "out")
    assert not Path("out").exists()


def test_of_a_killed_export_nothing_looks_whole_and_the_next_removes_what_it_left(made):
    code = (
        "import os; from crossgap import exporting, open_store\n"
        "exporting._write = lambda *_, **__: os.kill(os.getpid(), 9)\n"
        f"exporting.export(open_store({str(made.path)!r}), 'parquet', 'out')"
    )
    root = Path(crossgap.__file__).parents[1]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, check=False)
    assert done.returncode == -signal.SIGKILL
    assert not Path("out").exists() and list(Path().glob("out.*.tmp"))
    export(made, "parquet", "out")
    assert Path("out").is_dir() and not list(Path().glob("*.tmp"))


def test_an_empty_store_says_why(made):
    with store.creating("empty.zarr.zip", "data/scratch/x", {"not_applicable": "no texts"}):
        pass
    with pytest.raises(ExportError, match="holds no items: no texts"):
        export(open_store("empty.zarr.zip"), "parquet", "out")


FORMS = ["clip-retrieval", "safetensors", "parquet"]
LABELS = st.sampled_from(["-1", "-1.0", "1.0", "1", "01", "+1", "0", "NA", "nan", "v 1", " x", "é"])


@given(
    form=st.sampled_from(FORMS),
    labels=st.lists(st.one_of(st.just(""), LABELS), min_size=1, max_size=5),
    classes=st.lists(LABELS, min_size=1, max_size=4, unique=True),
)
@settings(deadline=None, max_examples=25)
def test_labels_of_every_kind_come_back(form, labels, classes):
    """Classes called -1 or 1.0 stay so, and what has no label has none."""

    def features(count: int) -> list[dict[str, np.ndarray]]:
        return [{"features": np.ones((count, WIDTH), np.float32)}]

    with tempfile.TemporaryDirectory() as folder:
        with store.creating(f"{folder}/given.zarr.zip", f"{folder}/x", {}) as writer:
            ids = words(*(f"{row}.0" for row in range(len(labels))))
            columns = {"id": ids, "group": ids, "rank": np.zeros(len(ids), np.int64)}
            writer.add("image/test", columns | {"label.a": words(*labels)}, features(len(ids)))
            columns = {"id": ids, "group": words(*[""] * len(ids)), "rank": np.zeros(len(ids), np.int64)}
            writer.add("text/test", columns | {"label.b": words(*labels)}, features(len(ids)))
            columns = {"id": words(*classes), "rank": np.zeros(len(classes), np.int64)}
            writer.add("text/classes", columns | {"label.a": words(*classes)}, features(len(classes)))
        made = open_store(f"{folder}/given.zarr.zip")
        back = [Assignment.parse(one) for one in export(made, form, f"{folder}/out")]
        named = {"backbone": "b", "dataset": "d", "scratch": f"{folder}/scratch"}
        same(import_features(back, f"{folder}/again.zarr.zip", **named), made)


@pytest.fixture
def inverted(made) -> store.Store:
    """An inversion of some items of `made`, which holds nothing of them but ids and features."""
    with store.creating(
        "data/features/nano/world/ovi.zarr.zip", "data/scratch/x", {"inverts": "these"}
    ) as writer:
        for group, rows in {"text/test": [2, 0], "text/classes": [1, 0]}.items():
            features = np.full((2, WIDTH), 0.5, np.float32)
            writer.add(group, {"id": made[group].ids[rows]}, [{"features": features}])
    return open_store("data/features/nano/world/ovi.zarr.zip")


@pytest.mark.parametrize("form", FORMS)
def test_an_inversions_items_go_with_their_labels(inverted, form):
    """Its class prompts too, which an import takes with a class alone."""
    back = brought_back("nano/world/ovi", form)
    assert back["text/classes"].labels["class"].tolist() == ["y", "x"]
    assert back["text/test"]["group"].tolist() == ["007", "c,d"]
    assert back["text/test"]["truncated"].tolist() == [False, False]
    for group in inverted.groups:
        assert back[group].ids.tolist() == inverted[group].ids.tolist()
        assert back[group].features.tobytes() == inverted[group].features.tobytes()


def test_labels_of_other_items_are_not_taken(made, inverted):
    other = Path("data/features/nano/world/ovi-other.zarr.zip")
    with store.creating(other, "data/scratch/x", {"inverts": "others"}) as writer:
        writer.add("text/classes", {"id": words("p")}, [{"features": np.ones((1, WIDTH), np.float32)}])
    assert not any(":label" in one for one in export(open_store(other), "parquet", "out", made))


def test_what_an_import_of_it_lacks_is_said(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path("data/imports/mine/native.zarr.zip")
    table = pd.DataFrame({"setting": ["judged"], "query": ["a"], "item": ["b"], "grade": [1]})
    with store.creating(path, "data/scratch/x", {}) as writer:
        writer.add("image/test", {"id": words("a", "b")}, [{"features": np.eye(2, dtype=np.float32)}])
        writer.add_judgements(table)
    told = CliRunner().invoke(app, ["export", "imports/mine", "out"]).output
    assert (
        f"{path} also has what is not written, and an import must be given: judgements (--judgements)" in told
    )
    assert "--composed" not in told


@pytest.mark.parametrize("form", ["clip-retrieval", "safetensors", "parquet"])
def test_a_full_disk_is_told_with_the_folder_and_nothing_stays(made, form):
    """Of a process that may write files of 100 bytes, in the place of a disk that is full."""
    limited = (
        "import resource, sys; from crossgap.cli import app; "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, resource.RLIM_INFINITY)); app(sys.argv[1:])"
    )
    words = ["export", str(made.path), "out", "--format", form]
    environment = {**os.environ, "PYTHONPATH": str(Path(crossgap.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", limited, *words], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1 and not list(Path().glob("out*"))
    assert re.fullmatch(
        r"crossgap: no room for out: .*; what is whole is kept: raise the limit .*\n", done.stderr
    )
