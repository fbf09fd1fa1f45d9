from __future__ import annotations

import os
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from crossgap import open_store, store

PROVENANCE = {"backbone": "nano", "fingerprint": "f" * 32, "nested": {"mean": [0.5, 0.25], "none": None}}
IDS = np.array(["a/0.png", "ü", "日本語#1", "with space", "🦊", "c"], dtype=object)


def arrays(rows: int, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "features": rng.normal(size=(rows, 5)).astype(np.float32),
        "preprojection": rng.normal(size=(rows, 7)).astype(np.float32),
        "truncated": rng.random(rows) < 0.5,
    }


INVERTED = {
    "features": np.array([[1, 2], [3, 4]], np.float32),
    "tokens": np.arange(12, dtype=np.float32).reshape(2, 2, 3),
    "loss": np.array([0.25, 0.5], np.float32),
}


def columns(ids: np.ndarray = IDS) -> dict[str, np.ndarray]:
    return {
        "id": ids,
        "group": ids,
        "rank": np.arange(len(ids)),
        "label.colour": np.array(["red", "", "grün"] * (len(ids) // 3), dtype=object),
    }


def build(path: Path, scratch: Path, *, blocks=None, provenance=PROVENANCE) -> None:
    with store.creating(path, scratch, provenance) as writer:
        writer.add("text/test", columns(), [arrays(len(IDS))] if blocks is None else blocks)
        writer.add("image/train", {"id": IDS[:2]}, [INVERTED])


@pytest.fixture
def path(tmp_path) -> Path:
    path = tmp_path / "deep" / "native.zarr.zip"
    build(path, tmp_path / "scratch")
    return path


def test_what_was_written_is_read(path) -> None:
    found = open_store(path)
    assert found.groups == ["image/train", "text/test"]
    assert "text/test" in found and "text/train" not in found
    group, inverted = found["text/test"], found["image/train"]
    assert len(group) == len(IDS) and "features" in group and "tokens" not in group
    written = arrays(len(IDS))
    pairs = [
        (group.features, written["features"]),
        (group.preprojection, written["preprojection"]),
        (group["truncated"], written["truncated"]),
        (inverted.features, INVERTED["features"]),
        (inverted.tokens, INVERTED["tokens"]),
        (inverted.losses, INVERTED["loss"]),
    ]
    for read, values in pairs:
        np.testing.assert_array_equal(read, values)
        assert read.dtype == values.dtype
    assert group.ids.tolist() == IDS.tolist() and group["group"].tolist() == IDS.tolist()
    assert all(type(name) is str for name in group.ids)
    assert group["rank"].tolist() == list(range(6))
    assert list(group.labels) == ["colour"]
    assert group.labels["colour"].tolist() == ["red", "", "grün", "red", "", "grün"]
    assert len(found["image/train"]) == 2 and found["image/train"].labels == {}
    for key, value in PROVENANCE.items():
        assert found.provenance[key] == value
    assert found.provenance["format"] == store.FORMAT


def test_what_is_not_there_is_named_beside_what_is(path) -> None:
    found = open_store(path)
    with pytest.raises(store.StoreError, match=r"'text/train'.*image/train, text/test"):
        found["text/train"]
    with pytest.raises(store.StoreError, match=r"image/train.*'preprojection'.*features, id, loss, tokens"):
        _ = found["image/train"].preprojection


def test_xarray_reads_a_group_with_dimension_names(path) -> None:
    xarray = pytest.importorskip("xarray")
    zipped = zarr.storage.ZipStore(path, mode="r")
    inverted = xarray.open_zarr(zipped, group="image/train", consolidated=False)
    assert inverted["tokens"].dims == ("item", "token", "embedding")
    assert inverted["loss"].dims == ("item",)
    data = xarray.open_zarr(zipped, group="text/test", consolidated=False)
    assert data["features"].dims == ("item", "feature")
    assert data["preprojection"].dims == ("item", "width")
    assert data["id"].dims == data["label.colour"].dims == data["truncated"].dims == ("item",)
    np.testing.assert_array_equal(data["features"].values, arrays(6)["features"])
    assert data["id"].values.tolist() == IDS.tolist()


def test_equal_content_gives_equal_bytes(path, tmp_path) -> None:
    again = tmp_path / "again.zip"
    build(again, tmp_path / "elsewhere")
    assert again.read_bytes() == path.read_bytes()
    build(again, tmp_path / "elsewhere", provenance={**PROVENANCE, "backbone": "other"})
    assert again.read_bytes() != path.read_bytes()
    first = arrays(6)
    halves = [{name: part[at] for name, part in first.items()} for at in (slice(0, 4), slice(4, 6))]
    build(again, tmp_path / "elsewhere", blocks=halves)
    assert again.read_bytes() == path.read_bytes()


@pytest.mark.parametrize("rows", [store.ROWS_A_CHUNK, store.ROWS_A_CHUNK + 1, 2 * store.ROWS_A_SHARD + 17])
def test_many_rows_stream_through_whole_shards(tmp_path, rows) -> None:
    rng = np.random.default_rng(1)
    features = rng.normal(size=(rows, 3)).astype(np.float32)
    tokens = rng.normal(size=(rows, 2, 2)).astype(np.float32)
    ids = np.array([f"item {row}" for row in range(rows)], dtype=object)

    def blocks():
        for start in range(0, rows, store.ROWS_A_SHARD):
            part = slice(start, start + store.ROWS_A_SHARD)
            yield {"features": features[part], "tokens": tokens[part]}

    for name in ("one", "two"):
        with store.creating(tmp_path / name, tmp_path / "scratch", {}) as writer:
            writer.add("image/test", {"id": ids}, blocks())
    group = open_store(tmp_path / "one")["image/test"]
    np.testing.assert_array_equal(group.features, features)
    np.testing.assert_array_equal(group.tokens, tokens)
    assert group.ids.tolist() == ids.tolist()
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    with zipfile.ZipFile(tmp_path / "one") as archive:
        files = [name for name in archive.namelist() if name.startswith("image/test/features/c")]
    assert len(files) == -(-rows // store.ROWS_A_SHARD)


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6)


@settings(max_examples=15, deadline=None)
@given(ids=st.lists(TEXTS, min_size=1, max_size=5, unique=True))
def test_any_id_survives(tmp_path_factory, ids) -> None:
    folder = tmp_path_factory.mktemp("ids")
    with store.creating(folder / "s.zip", folder, {}) as writer:
        writer.add("text/test", {"id": np.array(ids, dtype=object)})
    assert open_store(folder / "s.zip")["text/test"].ids.tolist() == ids


def test_arrays_of_another_number_of_rows_than_ids_are_an_error(tmp_path) -> None:
    with pytest.raises(ValueError, match=r"text/test: 5 rows of arrays for 6 items"):
        build(tmp_path / "s.zip", tmp_path, blocks=[arrays(5)])
    assert not (tmp_path / "s.zip").exists()


def test_an_error_while_writing_leaves_the_old_store_and_no_litter(path, tmp_path) -> None:
    before = path.read_bytes()
    with (
        pytest.raises(RuntimeError, match="disk"),
        store.creating(path, tmp_path / "scratch", PROVENANCE) as writer,
    ):
        writer.add("image/other", {"id": IDS})
        raise RuntimeError("disk full")
    assert path.read_bytes() == before
    assert list((tmp_path / "scratch").iterdir()) == []
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_an_error_while_packing_leaves_no_litter(path, tmp_path, monkeypatch) -> None:
    before = path.read_bytes()

    def fills_up(source, out, size):
        raise OSError("no space left")

    monkeypatch.setattr(shutil, "copyfileobj", fills_up)
    with pytest.raises(OSError, match="no space"):
        build(path, tmp_path / "scratch")
    assert path.read_bytes() == before
    assert list((tmp_path / "scratch").iterdir()) == []


def test_a_finished_store_replaces_the_old_one(path, tmp_path) -> None:
    with store.creating(path, tmp_path / "scratch", {"backbone": "new"}) as writer:
        writer.add("image/other", {"id": IDS})
    found = open_store(path)
    assert found.groups == ["image/other"] and found.provenance["backbone"] == "new"


def _absent(path: Path) -> None:
    path.unlink()


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _text(path: Path) -> None:
    path.write_text("no zip at all")


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def _foreign_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")


def _foreign_zarr(path: Path) -> None:
    path.unlink()
    with zarr.storage.ZipStore(path, mode="w") as zipped:
        zarr.create_group(zipped, attributes={"format": "something/else"})


def _never_finished(path: Path) -> None:
    path.unlink()
    with zarr.storage.ZipStore(path, mode="w") as zipped:
        zarr.create_group(zipped, attributes=PROVENANCE)


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _broken_root(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("zarr.json", '{"zarr_format": 3, ')


BROKEN = [_absent, _empty, _text, _cut, _foreign_zip, _foreign_zarr, _never_finished, _folder, _broken_root]


@pytest.mark.parametrize("how", BROKEN)
def test_a_path_without_a_finished_store_is_a_store_error_that_names_it(path, how) -> None:
    how(path)
    with pytest.raises(store.StoreError, match=r"native\.zarr\.zip"):
        open_store(path)


def test_damaged_values_are_a_store_error_and_no_wrong_features(path) -> None:
    with zipfile.ZipFile(path) as archive:
        name = next(n for n in archive.namelist() if n.startswith("text/test/features/c"))
        entry = archive.getinfo(name)
        at = entry.header_offset + 30 + len(name) + entry.file_size // 2
    content = bytearray(path.read_bytes())
    content[at] ^= 0x10
    path.write_bytes(content)
    with pytest.raises(store.StoreError, match=r"text/test.*features"):
        _ = open_store(path)["text/test"].features


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8])
def test_a_flipped_bit_in_a_shard_of_many_chunks_is_noticed(tmp_path, share) -> None:
    features = np.random.default_rng(0).standard_normal((4 * store.ROWS_A_CHUNK, 32)).astype(np.float32)
    path = tmp_path / "large.zarr.zip"
    with store.creating(path, tmp_path, {}) as writer:
        writer.add("image/test", {"id": np.arange(len(features)).astype(str)}, [{"features": features}])
    with zipfile.ZipFile(path) as archive:
        name = next(n for n in archive.namelist() if n.startswith("image/test/features/c"))
        entry = archive.getinfo(name)
        at = entry.header_offset + 30 + len(name) + int(entry.file_size * share)
    content = bytearray(path.read_bytes())
    content[at] ^= 0x10
    path.write_bytes(content)
    with pytest.raises(store.StoreError, match=r"image/test.*features.*damaged"):
        _ = open_store(path)["image/test"].features


def test_a_relative_path_still_reads_after_the_working_directory_changed(path, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(path.parent)
    found = open_store(path.name)
    os.chdir(tmp_path)
    assert found["text/test"].features.shape == (6, 5)
