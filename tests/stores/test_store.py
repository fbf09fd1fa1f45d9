from __future__ import annotations

import errno
import os
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from crossgap import open_store
from crossgap.stores import layout, store, temporary, writing

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


def test_strings_of_numpy_are_strings(tmp_path) -> None:
    ids = np.array([np.str_("a"), "ü"], dtype=object)
    with store.creating(tmp_path / "one.zip", tmp_path / "scratch", {}) as writer:
        writer.add("text/test", {"id": ids, "group": ids.astype(str)}, [arrays(2)])
    found = open_store(tmp_path / "one.zip")["text/test"]
    assert [list(found[name]) for name in ("id", "group")] == [["a", "ü"]] * 2


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
    assert found.provenance["format"] == layout.FORMAT


def test_a_store_shows_what_it_holds_and_iterates_over_its_groups(path, tmp_path) -> None:
    found = open_store(path)
    assert [*found] == found.groups == ["image/train", "text/test"] and "text/test" in found
    width = arrays(6)["features"].shape[1]
    assert repr(found).startswith(f"Store({path}")
    assert repr(found).endswith(f"; image/train: 2 items of width 2; text/test: 6 items of width {width})")
    other = tmp_path / "mine.zarr.zip"
    build(other, tmp_path / "scratch", provenance={"backbone": "b32", "dataset": "dtd"})
    assert repr(open_store(other)).startswith(f"Store({other}, b32, dtd; image/train")
    with store.creating(other, tmp_path / "scratch", {}):
        pass
    assert repr(open_store(other)) == f"Store({other})" and open_store(other)


def test_projections_lie_beside_the_groups(tmp_path) -> None:
    rng = np.random.default_rng(0)
    image, text = (rng.normal(size=(5, width)).astype(np.float32) for width in (7, 4))
    bias = rng.normal(size=5).astype(np.float32)
    with store.creating(tmp_path / "s.zip", tmp_path / "scratch", PROVENANCE) as writer:
        writer.add_projection("image", image)
        writer.add_projection("text", text, bias)
        writer.add("image/test", columns(), [arrays(len(IDS))])
    found = open_store(tmp_path / "s.zip")
    assert found.groups == ["image/test"]
    assert "projection/image" not in found
    assert list(found.projections) == ["image", "text"] and list(found.biases) == ["text"]
    np.testing.assert_array_equal(found.projections["image"], image)
    np.testing.assert_array_equal(found.projections["text"], text)
    np.testing.assert_array_equal(found.biases["text"], bias)
    assert found.projections["text"].dtype == np.float32
    xarray = pytest.importorskip("xarray")
    zipped = zarr.storage.ZipStore(tmp_path / "s.zip", mode="r")
    data = xarray.open_zarr(zipped, group="projection/text", consolidated=False)
    assert data["weight"].dims == ("feature", "width") and data["bias"].dims == ("feature",)


def test_a_store_of_before_has_no_projections(path) -> None:
    found = open_store(path)
    assert found.projections == {} and found.biases == {}


def test_a_damaged_projection_is_an_error_that_names_it(tmp_path) -> None:
    weight = np.random.default_rng(0).normal(size=(50, 70)).astype(np.float32)
    with store.creating(tmp_path / "s.zip", tmp_path / "scratch", PROVENANCE) as writer:
        writer.add_projection("image", weight)
    with zipfile.ZipFile(tmp_path / "s.zip") as archive:
        name = next(n for n in archive.namelist() if n.startswith("projection/image/weight/c"))
        entry = archive.getinfo(name)
        at = entry.header_offset + 30 + len(name) + entry.file_size // 2
    content = bytearray((tmp_path / "s.zip").read_bytes())
    content[at] ^= 0x10
    (tmp_path / "s.zip").write_bytes(content)
    with pytest.raises(store.StoreError, match=r"projection/image.*'weight' is damaged"):
        _ = open_store(tmp_path / "s.zip").projections


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


def test_zarr_itself_reads_everything(path) -> None:
    with zarr.storage.ZipStore(path, mode="r") as zipped:
        held = zarr.open_group(zipped, mode="r")
        assert held.attrs["backbone"] == PROVENANCE["backbone"]
        for name, values in {**columns(), **arrays(6)}.items():
            found = held[f"text/test/{name}"]
            assert found.metadata.dimension_names[0] == "item"
            np.testing.assert_array_equal(np.asarray(found[:]), values)


def test_tensorstore_reads_numbers_and_no_words(path) -> None:
    tensorstore = pytest.importorskip("tensorstore")

    def opened(name: str):
        kept = {"driver": "zip", "base": path.as_uri(), "path": f"{name}/"}
        return tensorstore.open({"driver": "zarr3", "kvstore": kept}, open=True, read=True).result()

    features = opened("text/test/features")
    assert features.domain.labels == ("item", "feature")
    for name, values in arrays(6).items():
        np.testing.assert_array_equal(opened(f"text/test/{name}").read().result(), values)
    with pytest.raises(ValueError, match="string data type"):
        opened("text/test/id")


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


@pytest.mark.parametrize(
    "rows", [writing.ROWS_A_CHUNK, writing.ROWS_A_CHUNK + 1, 2 * writing.ROWS_A_SHARD + 17]
)
def test_many_rows_stream_through_whole_shards(tmp_path, rows) -> None:
    rng = np.random.default_rng(1)
    features = rng.normal(size=(rows, 3)).astype(np.float32)
    tokens = rng.normal(size=(rows, 2, 2)).astype(np.float32)
    ids = np.array([f"item {row}" for row in range(rows)], dtype=object)

    def blocks():
        for start in range(0, rows, writing.ROWS_A_SHARD):
            part = slice(start, start + writing.ROWS_A_SHARD)
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
    assert len(files) == -(-rows // writing.ROWS_A_SHARD)


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6)


@settings(max_examples=15, deadline=None)
@given(ids=st.lists(TEXTS, min_size=1, max_size=5, unique=True))
def test_any_id_survives(tmp_path_factory, ids) -> None:
    folder = tmp_path_factory.mktemp("ids")
    with store.creating(folder / "s.zip", folder, {}) as writer:
        writer.add("text/test", {"id": np.array(ids, dtype=object)})
    assert open_store(folder / "s.zip")["text/test"].ids.tolist() == ids


def test_arrays_of_another_number_of_rows_than_ids_are_an_error(tmp_path) -> None:
    with pytest.raises(
        ValueError, match=r"text/test: 5 rows of '(features|preprojection|truncated)' for 6 items"
    ):
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

    def fills_up(descriptor, parts):
        raise OSError("no space left")

    monkeypatch.setattr(os, "writev", fills_up)
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
    features = np.random.default_rng(0).standard_normal((4 * writing.ROWS_A_CHUNK, 32)).astype(np.float32)
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


ROWS = 2 * writing.ROWS_A_CHUNK + 300
STEPS = np.array([5, 25, 150])


@pytest.fixture(scope="module")
def snapshots(tmp_path_factory) -> tuple[Path, dict[str, np.ndarray]]:
    """An inversion store of several chunks, with snapshots, and what is in it."""
    rng = np.random.default_rng(3)
    shapes = {
        "features": (4,),
        "tokens": (2, 3),
        "loss": (),
        "snapshots": (3, 4),
        "snapshot_loss": (3,),
        "snapshot_tokens": (3, 2, 3),
    }
    held = {name: rng.normal(size=(ROWS, *inner)).astype(np.float32) for name, inner in shapes.items()}
    path = tmp_path_factory.mktemp("snapshots") / "oti.zarr.zip"
    write_inverted(path, held, 1000)
    return path, held


def write_inverted(path: Path, held: dict[str, np.ndarray], size: int) -> None:
    ids = np.arange(ROWS).astype(str)
    cuts = [slice(start, start + size) for start in range(0, ROWS, size)]
    with store.creating(path, path.parent / "scratch", {}) as writer:
        writer.add(
            "image/test",
            {"id": ids, "step": STEPS},
            ({name: array[cut] for name, array in held.items()} for cut in cuts),
        )


def test_snapshots_lie_along_a_dimension_of_steps_and_are_cut_by_step(snapshots) -> None:
    path, held = snapshots
    group = open_store(path)["image/test"]
    assert group.steps.tolist() == STEPS.tolist()
    np.testing.assert_array_equal(group.snapshots, held["snapshots"])
    np.testing.assert_array_equal(group.snapshot_losses, held["snapshot_loss"])
    array = group.zarr_group["snapshots"]
    assert array.chunks == (writing.ROWS_A_CHUNK, 1, 4)
    assert len(group) == ROWS
    xarray = pytest.importorskip("xarray")
    zipped = zarr.storage.ZipStore(path, mode="r")
    read = xarray.open_zarr(zipped, group="image/test", consolidated=False)
    assert read["snapshots"].dims == ("item", "step", "feature")
    assert read["snapshot_loss"].dims == ("item", "step")
    assert read["snapshot_tokens"].dims == ("item", "step", "token", "embedding")
    at_25 = read["snapshots"].sel(step=25).values
    np.testing.assert_array_equal(at_25, held["snapshots"][:, 1])


@settings(max_examples=40, deadline=None)
@given(
    name=st.sampled_from(["features", "loss", "tokens", "snapshots"]),
    positions=st.lists(st.integers(0, ROWS - 1), max_size=20)
    | st.integers(0, ROWS - 300).map(lambda start: list(range(start, start + 300))),
)
def test_rows_are_those_of_the_whole_array_in_the_order_asked_for(snapshots, name, positions) -> None:
    path, held = snapshots
    group = open_store(path)["image/test"]
    found = group.rows(name, np.array(positions, int))
    np.testing.assert_array_equal(found, held[name][positions])
    assert found.dtype == held[name].dtype
    assert group.rows("id", positions).tolist() == [str(position) for position in positions]


@pytest.mark.parametrize("positions", [[3, 1, 2, 3, 1], [2, 1], [1, 1]])
def test_neighbouring_rows_are_in_the_order_asked_for(snapshots, positions) -> None:
    path, held = snapshots
    group = open_store(path)["image/test"]
    assert group.rows("id", positions).tolist() == [str(position) for position in positions]
    for name in ("features", "tokens", "snapshots"):
        np.testing.assert_array_equal(group.rows(name, positions), held[name][positions])


@pytest.mark.parametrize("positions", [np.arange(ROWS) < 2, [1.5], ["1"]])
def test_a_mask_is_no_positions(snapshots, positions) -> None:
    with pytest.raises(
        TypeError, match=r"positions holds .*: give whole numbers from 0; of a mask, np\.flatnonzero"
    ):
        open_store(snapshots[0])["image/test"].rows("features", positions)


def test_positions_beyond_the_items_are_named_and_no_others(snapshots) -> None:
    with pytest.raises(IndexError, match=rf"has {ROWS} items, none at {ROWS}, {ROWS + 1}$"):
        open_store(snapshots[0])["image/test"].rows("features", [ROWS + 1, 3, ROWS])


@pytest.mark.parametrize("position", [-1, ROWS])
def test_rows_beyond_the_items_are_an_error(snapshots, position) -> None:
    with pytest.raises(IndexError, match=f"has {ROWS} items"):
        open_store(snapshots[0])["image/test"].rows("features", [0, position])
    with pytest.raises(store.StoreError, match="has no 'preprojection'"):
        open_store(snapshots[0])["image/test"].rows("preprojection", [0])


def test_rows_and_steps_read_only_the_chunks_that_hold_them(snapshots, monkeypatch) -> None:
    """But for what lies between two of them: zarr from 3.2 reads over less than a MiB, here over nothing."""
    path, held = snapshots
    read, get = [], store.ZipReader.get

    async def counting(self, key, prototype, byte_range=None):
        found = await get(self, key, prototype, byte_range)
        read.append((key, 0 if found is None else len(found)))
        return found

    monkeypatch.setattr(store.ZipReader, "get", counting)
    with zarr.config.set({"array.sharding_coalesce_max_gap_bytes": 0}):
        group = open_store(path)["image/test"]
        group.rows("snapshots", np.arange(1100, 1200))
        parts = sum(size for key, size in read if "/c/" in key)
        assert 0 < parts < held["snapshots"].nbytes / 2
        read.clear()
        np.testing.assert_array_equal(group.zarr_group["snapshots"][:, 2], held["snapshots"][:, 2])
        parts = sum(size for key, size in read if "/c/" in key)
        assert 0 < parts < held["snapshots"].nbytes / 2


@pytest.mark.parametrize("size", [1, 777, writing.ROWS_A_CHUNK, ROWS])
def test_bytes_do_not_depend_on_the_cuts_that_came(snapshots, tmp_path, size) -> None:
    path, held = snapshots
    few = {name: held[name] for name in ("loss", "features")} if size == 1 else held
    for name, cut in (("one", size), ("other", 300)):
        write_inverted(tmp_path / name, few, cut)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "other").read_bytes()
    if size != 1:
        assert (tmp_path / "one").read_bytes() == path.read_bytes()


def test_rows_too_wide_for_a_shard_are_cut_smaller(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(writing, "BYTES_A_SHARD", 1 << 16)
    tokens = np.random.default_rng(0).normal(size=(1500, 4, 16)).astype(np.float32)
    with store.creating(tmp_path / "s.zip", tmp_path, {}) as writer:
        blocks = ({"tokens": tokens[start : start + 400]} for start in range(0, 1500, 400))
        writer.add("image/test", {"id": np.arange(1500).astype(str)}, blocks)
    group = open_store(tmp_path / "s.zip")["image/test"]
    assert group.zarr_group["tokens"].shards == (256, 4, 16)
    np.testing.assert_array_equal(group.tokens, tokens)


def test_blocks_of_other_arrays_are_an_error(tmp_path) -> None:
    blocks = [{"loss": np.zeros(2)}, {"loss": np.zeros(2), "features": np.zeros((2, 3))}]
    with (
        pytest.raises(ValueError, match=r"a block has \['features', 'loss'\], those before it \['loss'\]"),
        store.creating(tmp_path / "s.zip", tmp_path, {}) as writer,
    ):
        writer.add("image/test", {"id": np.arange(4).astype(str)}, blocks)


@pytest.mark.parametrize("rows", [5, 7, 2000])
def test_too_few_or_too_many_rows_are_an_error_however_they_come(tmp_path, rows) -> None:
    for size in (1000, 3):
        blocks = ({"loss": np.zeros(min(size, rows - at))} for at in range(0, rows, size))
        with (
            pytest.raises(ValueError, match=f"{rows} rows of 'loss' for 6 items"),
            store.creating(tmp_path / "s.zip", tmp_path, {}) as writer,
        ):
            writer.add("image/test", {"id": np.arange(6).astype(str)}, blocks)


def test_a_group_is_opened_and_its_arrays_read_once(path) -> None:
    found = open_store(path)
    assert found["text/test"] is found["text/test"]
    assert found["text/test"].features is found["text/test"].features


def test_a_store_can_be_sent_to_another_process(path) -> None:
    sent = pickle.loads(pickle.dumps(open_store(path)))
    np.testing.assert_array_equal(sent["text/test"].features, arrays(6)["features"])


def test_what_a_killed_process_was_assembling_is_removed(path, tmp_path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    scratch = tmp_path / "scratch"
    (scratch / f"assembling.{temporary._HOST}.{ended.pid}.0123abcd.tmp" / "image").mkdir(parents=True)
    (scratch / f"assembling.{temporary._HOST}.{ended.pid}.4567abcd.tmp").write_bytes(b"half a zip")
    living = scratch / f"assembling.{temporary._HOST}.{os.getppid()}.0123abcd.tmp"
    living.mkdir()
    build(path, scratch)
    assert list(scratch.iterdir()) == [living]


def test_a_scratch_folder_on_another_file_system_will_do(tmp_path, monkeypatch) -> None:
    replace = os.replace

    def refuses(source, target):
        if Path(source).parent != Path(target).parent:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        replace(source, target)

    monkeypatch.setattr(os, "replace", refuses)
    build(tmp_path / "to" / "s.zip", tmp_path / "scratch")
    assert open_store(tmp_path / "to" / "s.zip").groups == ["image/train", "text/test"]
    assert [entry.name for entry in (tmp_path / "to").iterdir()] == ["s.zip"]
    assert list((tmp_path / "scratch").iterdir()) == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_says_what_has_no_room_and_leaves_no_half_store(
    path, tmp_path, monkeypatch, number
) -> None:
    before = path.read_bytes()

    def fills_up(descriptor, parts):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "writev", fills_up)
    expected = (
        rf"no room for .*native\.zarr\.zip of .*B: {os.strerror(number)}, with .*B free under .*scratch"
    )
    with pytest.raises(temporary.DiskFullError, match=expected):
        build(path, tmp_path / "scratch")
    assert path.read_bytes() == before
    assert list((tmp_path / "scratch").iterdir()) == []
