"""Data sets of the library `datasets`, from local folders: none of this reaches the hub."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from crossgap.datasets.declared import DatasetError, HuggingFace
from crossgap.datasets.image_files import read_bytes
from crossgap.datasets.images import decode
from crossgap.datasets.preparing import prepare
from crossgap.datasets.readers import read
from crossgap.prepared import manifest

datasets = pytest.importorskip("datasets")


@pytest.fixture(autouse=True)
def _offline(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    datasets.disable_progress_bars()


def declared(id: Path | str, **fields) -> HuggingFace:
    fields = {"splits": {"test": "test"}, "retrieval": {"query": "test", "gallery": "test"}} | fields
    return HuggingFace(layout="huggingface", id=str(id), vocabulary="none", **fields)


def pixels(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)


def photo(file: Path, seed: int) -> bytes:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels(seed)).save(file)
    return file.read_bytes()


@pytest.fixture
def saved(tmp_path) -> Path:
    """Saved to disk: JPEG files' bytes, two captions each, classes, of which nobody is a cow."""
    features = datasets.Features(
        {
            "picture": datasets.Image(),
            "kind": datasets.ClassLabel(names=["cat", "polar_bear", "cow"]),
            "told": datasets.List(datasets.Value("string")),
        }
    )
    parts = {}
    for part, (first, kinds) in {"train": (0, [0, 1]), "validation": (2, [1, -1])}.items():
        files = [tmp_path / f"files/{first + at}.jpg" for at in range(2)]
        for at, file in enumerate(files):
            photo(file, first + at)
        held = {
            "picture": [{"bytes": file.read_bytes(), "path": file.name} for file in files],
            "kind": kinds,
            "told": [[f" One of {file.stem}.", f"Two of {file.stem}."] for file in files],
        }
        parts[part] = datasets.Dataset.from_dict(held, features)
    datasets.DatasetDict(parts).save_to_disk(tmp_path / "saved")
    return tmp_path / "saved"


BOTH = {"splits": {"train": "train", "test": "validation"}, "image_column": "picture"}


def test_images_with_classes_and_captions(saved, tmp_path) -> None:
    items = prepare(declared(saved, **BOTH, label_column="kind", text_column="told"), tmp_path).items
    images = manifest.select(items, "image")
    assert images[["id", "path", "split", "label.class"]].to_numpy().tolist() == [
        ["train/0", "images.tar/train/0.jpg", "train", "cat"],
        ["train/1", "images.tar/train/1.jpg", "train", "polar_bear"],
        ["test/0", "images.tar/test/0.jpg", "test", "polar_bear"],
        ["test/1", "images.tar/test/1.jpg", "test", None],
    ]
    for at, path in enumerate(images["path"]):
        assert read_bytes(tmp_path, path) == (tmp_path / f"files/{at}.jpg").read_bytes()
    captions = items[items["group"].notna() & (items["modality"] == "text")]
    assert captions[["group", "rank", "text"]].to_numpy().tolist() == [
        [image, rank, f"{('One', 'Two')[rank]} of {at}."]
        for at, image in enumerate(images["id"])
        for rank in range(2)
    ]
    prompts = manifest.select(items, "text", manifest.CLASSES)
    assert prompts["text"].tolist() == ["a photo of a cat.", "a photo of a cow.", "a photo of a polar bear."]


@pytest.mark.parametrize("names", [["-1", "1"], ["1", "1.0"], ["0", "-1"]])
def test_classes_that_the_set_names_are_as_it_names_them(tmp_path, names) -> None:
    features = datasets.Features({"picture": datasets.Image(), "kind": datasets.ClassLabel(names=names)})
    images = [{"bytes": photo(tmp_path / f"{seed}.jpg", seed), "path": None} for seed in range(3)]
    held = datasets.Dataset.from_dict({"picture": images, "kind": [0, 1, -1]}, features)
    datasets.DatasetDict({"test": held}).save_to_disk(tmp_path / "saved")
    declaration = declared(
        tmp_path / "saved", splits={"test": "test"}, image_column="picture", label_column="kind"
    )
    items = prepare(declaration, tmp_path).items
    assert manifest.select(items, "image")["label.class"].tolist() == [*names, None]


@pytest.mark.parametrize(
    ("names", "said"), [(["a", "a "], "two classes 'a'"), (["", "x"], "a class by a blank")]
)
def test_classes_that_cannot_be_told_apart_are_told(tmp_path, names, said) -> None:
    features = datasets.Features(
        {"words": datasets.Value("string"), "kind": datasets.ClassLabel(names=names)}
    )
    held = datasets.Dataset.from_dict({"words": ["One.", "Two."], "kind": [0, 1]}, features)
    datasets.DatasetDict({"test": held}).save_to_disk(tmp_path / "saved")
    declaration = declared(
        tmp_path / "saved",
        splits={"test": "test"},
        image_column=None,
        text_column="words",
        label_column="kind",
    )
    with pytest.raises(DatasetError, match=f"the set names {said}, whose items can't be told apart"):
        prepare(declaration, tmp_path)


def test_a_class_whose_name_has_blanks_around_it_is_one_class(tmp_path) -> None:
    """Else texts of the class that no image has would be prompts too, and be found in place of its own."""
    names = {"kind": datasets.ClassLabel(names=[" tabby cat", "dog ", "bare"])}
    features = datasets.Features({"picture": datasets.Image(), **names})
    images = [{"bytes": photo(tmp_path / f"{seed}.jpg", seed), "path": None} for seed in range(2)]
    held = datasets.Dataset.from_dict({"picture": images, "kind": [0, 1]}, features)
    datasets.DatasetDict({"test": held}).save_to_disk(tmp_path / "saved")
    declaration = declared(
        tmp_path / "saved", splits={"test": "test"}, image_column="picture", label_column="kind"
    )
    items = prepare(declaration, tmp_path).items
    assert manifest.select(items, "image")["label.class"].tolist() == ["tabby cat", "dog"]
    prompts = manifest.select(items, "text", "classes").set_index("label.class")["text"]
    assert prompts.to_dict() == {name: f"a photo of a {name}." for name in ("bare", "dog", "tabby cat")}


def test_another_place_is_read_where_one_is_given(saved, tmp_path) -> None:
    elsewhere = declared("org/not-here", **BOTH, label_column="kind", root=saved)
    assert len(manifest.select(prepare(elsewhere, tmp_path).items, "image")) == 4


def test_a_folder_of_images(tmp_path) -> None:
    kept = {
        name: photo(tmp_path / f"pets/test/{name}", seed) for seed, name in enumerate(("a/0.png", "b/1.png"))
    }
    items = prepare(declared(tmp_path / "pets", label_column="label"), tmp_path).items
    images = manifest.select(items, "image")
    assert images["label.class"].tolist() == ["a", "b"]
    assert [read_bytes(tmp_path, path) for path in images["path"]] == list(kept.values())


def test_arrays_lose_nothing(tmp_path) -> None:
    held = {"image": [pixels(seed) for seed in range(2)]}
    features = datasets.Features({"image": datasets.Image()})
    datasets.Dataset.from_dict(held, features).save_to_disk(tmp_path / "one")
    items = prepare(declared(tmp_path / "one", splits={"test": "train"}), tmp_path).items
    assert len(items) == 2
    for at, path in enumerate(items["path"]):
        assert np.array_equal(np.asarray(decode(path, read_bytes(tmp_path, path))), pixels(at))


def test_texts_alone(tmp_path) -> None:
    (tmp_path / "news").mkdir()
    (tmp_path / "news/test.csv").write_text("text,label\nGoal!,3\nRates rise.,4\n")
    fields = {"image_column": None, "text_column": "text", "label_column": "label"}
    items = prepare(declared(tmp_path / "news", **fields), tmp_path).items
    assert items[["id", "modality", "text", "label.class", "group"]].to_numpy().tolist() == [
        ["test/0", "text", "Goal!", "3", None],
        ["test/1", "text", "Rates rise.", "4", None],
    ]
    (tmp_path / "news/test.csv").write_text('text,label\nGoal!,3\n" ",4\n')
    with pytest.raises(DatasetError, match="1 × empty text\n  test/1: empty text"):
        prepare(declared(tmp_path / "news", **fields), tmp_path)


def test_empty_captions_and_missing_images_are_problems(tmp_path) -> None:
    data = photo(tmp_path / "0.png", 0)
    held = {
        "image": [{"bytes": data, "path": None}, None, {"bytes": data, "path": None}],
        "text": ["A.", "B.", ""],
    }
    features = datasets.Features({"image": datasets.Image(), "text": datasets.Value("string")})
    table = datasets.Dataset.from_dict(held, features)
    datasets.DatasetDict({"test": table}).save_to_disk(tmp_path / "d")
    declaration = declared(tmp_path / "d", text_column="text", on_problem="set_aside")
    made = prepare(declaration, tmp_path)
    assert made.problems[["item", "problem"]].to_numpy().tolist() == [
        ["test/1", "no image: image is null"],
        ["test/2", "empty caption"],
        ["test/2", "image without caption"],
    ]
    assert manifest.select(made.items, "image")["id"].tolist() == ["test/0"]


def test_numbered_classes_need_names(tmp_path) -> None:
    held = {"image": [pixels(0), pixels(1)], "label": [7, 8]}
    features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("int64")})
    datasets.DatasetDict({"test": datasets.Dataset.from_dict(held, features)}).save_to_disk(tmp_path / "n")
    with pytest.raises(DatasetError, match=r"class_names: 2 labels are numbers without a name \(7, 8\)"):
        read(declared(tmp_path / "n", label_column="label"), tmp_path)
    named = declared(tmp_path / "n", label_column="label", class_names={"7": "mug", "8": "hat"})
    prompts = manifest.select(prepare(named, tmp_path).items, "text")
    assert prompts["text"].tolist() == ["a photo of a mug.", "a photo of a hat."]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"splits": {"test": "dev"}}, "splits: .*saved has no split dev; it has train, validation"),
        ({"image_column": "image"}, "image_column: .*saved has no column 'image'; it has picture, kind, told"),
        ({"label_column": "class"}, "label_column: .* no column 'class'"),
        ({"text_column": "text"}, "text_column: .* no column 'text'"),
        ({"image_column": "told"}, "image_column: 'told' of .* holds .*, not images: name another, or null"),
        ({"text_column": "kind"}, "text_column: train/0 has 0 in 'kind', not a string or a list"),
        ({"label_column": "told"}, "label_column: train/0 has .* in 'told': name a column with one class a row"),
        ({"image_column": None, "text_column": "told"}, "text_column: train/0 has 2 texts, but no image"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_told(saved, tmp_path, fields, said) -> None:
    with pytest.raises(DatasetError, match=said):
        read(declared(saved, **(BOTH | fields)), tmp_path)


def test_no_data_no_library_and_no_columns_are_told(tmp_path, monkeypatch) -> None:
    with pytest.raises(DatasetError, match=r"id: .*nowhere can't be loaded .*: give an id of the hub"):
        read(declared(tmp_path / "nowhere"), tmp_path)
    with pytest.raises(ValueError, match=r"image_column and text_column are both null"):
        declared("x", image_column=None)
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(
        DatasetError, match=r"needs the library `datasets`: pip install 'crossgap\[datasets\]'"
    ):
        read(declared("x"), tmp_path)


def test_code_of_a_data_set_does_not_run(tmp_path) -> None:
    (tmp_path / "own").mkdir()
    (tmp_path / "own/own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    with pytest.raises(DatasetError, match=r"can't be loaded"):
        read(declared(tmp_path / "own"), tmp_path)
    assert not (tmp_path / "ran").exists()


def parquet(tmp_path: Path, **columns) -> HuggingFace:
    import pyarrow as pa
    import pyarrow.parquet as pq

    (tmp_path / "set").mkdir()
    pq.write_table(pa.table(columns), tmp_path / "set/test-0.parquet")
    return declared(tmp_path / "set", label_column="label" if "label" in columns else None)


@pytest.mark.parametrize(
    "kind", ["binary", "large_binary", "struct", "struct of bytes", "struct, other order"]
)
def test_images_without_the_feature_of_images(tmp_path, kind) -> None:
    """As other tools write parquet: bytes, or {bytes, path}, of which the library knows nothing."""
    import pyarrow as pa

    data = [photo(tmp_path / f"{seed}.png", seed) for seed in range(3)]
    rows = [{"bytes": held, "path": f"{seed}.png"} for seed, held in enumerate(data)]
    column = {
        "binary": pa.array(data, pa.binary()),
        "large_binary": pa.array(data, pa.large_binary()),
        "struct": pa.array(rows, pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        "struct, other order": pa.array(
            rows, pa.struct([("path", pa.large_string()), ("bytes", pa.large_binary())])
        ),
        "struct of bytes": pa.array([{"bytes": held} for held in data], pa.struct([("bytes", pa.binary())])),
    }[kind]
    made = prepare(parquet(tmp_path, image=column), tmp_path)
    paths = manifest.select(made.items, "image")["path"]
    assert [read_bytes(tmp_path, path) for path in paths] == data


def test_a_column_of_texts_is_no_column_of_images(tmp_path) -> None:
    with pytest.raises(DatasetError, match=r"image_column: 'image' of .* holds .*string.*, not images"):
        prepare(parquet(tmp_path, image=["a.jpg", "b.jpg"]), tmp_path)


@pytest.mark.parametrize("labels", [[0, -1, 3], [0.0, -1.0, 3.0], ["0", "-1", "3"], [0.0, float("nan"), 3.0]])
def test_labels_that_are_numbers(tmp_path, labels) -> None:
    """Floats, as a gap makes them; -1 and NaN are unlabelled."""
    data = [photo(tmp_path / f"{seed}.png", seed) for seed in range(3)]
    declaration = parquet(tmp_path, image=data, label=labels)
    declaration = declaration.model_copy(update={"class_names": {"0": "cat", "3": "dog"}})
    items = prepare(declaration, tmp_path).items
    assert items["label.class"].tolist() == ["0", None, "3", "0", "3"]
    assert items["text"].dropna().tolist() == ["a photo of a cat.", "a photo of a dog."]


def test_a_label_that_is_a_fraction_is_told(tmp_path) -> None:
    data = [photo(tmp_path / "0.png", 0)]
    with pytest.raises(DatasetError, match=r"label_column: test/0 has 0\.5 in 'label'"):
        prepare(parquet(tmp_path, image=data, label=[0.5]), tmp_path)


def test_a_file_that_was_replaced_and_kept_its_time_is_read_anew(tmp_path) -> None:
    """As what is unpacked from an archive that gives all files one time; the library's cache holds the old rows."""
    file = tmp_path / "set/test.csv"
    file.parent.mkdir()
    for names in ("cat", "dog"), ("owl", "hen"), ("one", "more", "by one"):
        file.write_text("told\n" + "\n".join(names) + "\n")
        os.utime(file, (10**9, 10**9))
        items = prepare(declared(file.parent, image_column=None, text_column="told"), tmp_path).items
        assert items["text"].tolist() == [*names]


@pytest.mark.parametrize(("asked", "count"), [(None, 4), (True, 4), (False, 2)])
def test_texts_of_several_lines(tmp_path, asked, count) -> None:
    data = [photo(tmp_path / f"{seed}.png", seed) for seed in range(2)]
    declaration = parquet(tmp_path, image=data, told=["A dog.\nIt runs.", "A cat.\nIt sits."])
    declaration = declaration.model_copy(update={"text_column": "told", "caption_lines": asked})
    texts = manifest.select(prepare(declaration, tmp_path).items, "text", "test")
    assert texts["rank"].tolist() == ([0, 1] * 2 if count == 4 else [0, 0])


def test_paths_without_bytes_are_from_the_folder_of_the_set(tmp_path) -> None:
    (tmp_path / "set").mkdir()
    data = photo(tmp_path / "set/images/0.png", 0)
    rows = [{"bytes": None, "path": "images/0.png"}, {"bytes": None, "path": "images/gone.png"}]
    import pyarrow as pa
    import pyarrow.parquet as pq

    column = pa.array(rows, pa.struct([("bytes", pa.binary()), ("path", pa.string())]))
    pq.write_table(pa.table({"image": column}), tmp_path / "set/test-0.parquet")
    with pytest.raises(
        DatasetError, match=r"1 × no image\n  test/1: no image: images/gone\.png can't be read"
    ):
        prepare(declared(tmp_path / "set"), tmp_path)
    made = prepare(declared(tmp_path / "set", on_problem="set_aside"), tmp_path)
    (path,) = manifest.select(made.items, "image")["path"]
    assert read_bytes(tmp_path, path) == data
