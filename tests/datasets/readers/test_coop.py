"""CoOp's split files, and the folders that its nine sets have."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from crossgap.datasets.declared import Coop, DatasetError
from crossgap.datasets.preparing import prepare
from crossgap.datasets.readers import read
from crossgap.prepared import manifest

# set: images' folder, template, an image of train, val and test each with its class, and what prompts call the classes
SETS = {
    "Caltech101": ("101_ObjectCategories", "coop/Caltech101", "a photo of a {}.", [
        ("Faces/image_0345.jpg", 0, "face"), ("sea_horse/image_0002.jpg", 80, "sea_horse"),
        ("Faces/image_0001.jpg", 0, "face"),
    ], {"face": "face", "sea_horse": "sea horse"}),
    "OxfordPets": ("images", "coop/OxfordPets", "a photo of a {}, a type of pet.", [
        ("Abyssinian_1.jpg", 0, "abyssinian"), ("great_pyrenees_2.jpg", 15, "great_pyrenees"),
        ("great_pyrenees_10.jpg", 15, "great_pyrenees"),
    ], {"abyssinian": "abyssinian", "great_pyrenees": "great pyrenees"}),
    "StanfordCars": (".", "coop/StanfordCars", "a photo of a {}.", [
        ("cars_train/00001.jpg", 13, "1991 Audi V8 Sedan"), ("cars_train/00002.jpg", 2, "2012 Acura TL Sedan"),
        ("cars_test/00001.jpg", 2, "2012 Acura TL Sedan"),
    ], {"1991 Audi V8 Sedan": "1991 Audi V8 Sedan", "2012 Acura TL Sedan": "2012 Acura TL Sedan"}),
    "OxfordFlowers": ("jpg", "coop/OxfordFlowers", "a photo of a {}, a type of flower.", [
        ("image_06734.jpg", 0, "pink primrose"), ("image_00001.jpg", 76, "passion flower"),
        ("image_06735.jpg", 0, "pink primrose"),
    ], {"passion flower": "passion flower", "pink primrose": "pink primrose"}),
    "Food101": ("images", "coop/Food101", "a photo of {}, a type of food.", [
        ("apple_pie/1005649.jpg", 0, "apple_pie"), ("waffles/1.jpg", 100, "waffles"),
        ("apple_pie/1014775.jpg", 0, "apple_pie"),
    ], {"apple_pie": "apple pie", "waffles": "waffles"}),
    "SUN397": ("SUN397", "coop/SUN397", "a photo of a {}.", [
        ("a/abbey/sun_aaa.jpg", 0, "abbey"), ("a/athletic_field/outdoor/sun_b.jpg", 19, "outdoor athletic_field"),
        ("a/abbey/sun_aab.jpg", 0, "abbey"),
    ], {"abbey": "abbey", "outdoor athletic_field": "outdoor athletic field"}),
    "DescribableTextures": ("images", "coop/DescribableTextures", "{} texture.", [
        ("banded/banded_0002.jpg", 0, "banded"), ("zigzagged/zigzagged_0001.jpg", 46, "zigzagged"),
        ("banded/banded_0060.jpg", 0, "banded"),
    ], {"banded": "banded", "zigzagged": "zigzagged"}),
    "EuroSAT": ("2750", "coop/EuroSAT", "a centered satellite photo of {}.", [
        ("AnnualCrop/AnnualCrop_1.jpg", 0, "Annual Crop Land"), ("SeaLake/SeaLake_7.jpg", 9, "Sea or Lake"),
        ("AnnualCrop/AnnualCrop_2.jpg", 0, "Annual Crop Land"),
    ], {"Annual Crop Land": "Annual Crop Land", "Sea or Lake": "Sea or Lake"}),
    "UCF101": ("UCF-101-midframes", "coop/UCF101", "a photo of a person doing {}.", [
        ("Archery/v_Archery_g08_c01.jpg", 2, "Archery"),
        ("Yo_Yo/v_YoYo_g01_c02.jpg", 100, "Yo_Yo"), ("Archery/v_Archery_g01_c01.jpg", 2, "Archery"),
    ], {"Archery": "Archery", "Yo_Yo": "Yo Yo"}),
}  # fmt: skip
SAME = {"query": "test", "gallery": "train"}


def jpeg() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (1, 1)).save(file, "JPEG")
    return file.getvalue()


def write(root: Path, images: str, entries: dict[str, list], name: str = "split.json") -> Path:
    root.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(json.dumps(entries))
    data = jpeg()
    for path, *_ in (entry for split in entries.values() for entry in split):
        file = root / images / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    return root


def declared(root: Path, **fields) -> Coop:
    fields = {
        "split_file": "split.json",
        "images": "images",
        "retrieval": SAME,
        "vocabulary": "none",
    } | fields
    return Coop(layout="coop", root=root, **fields)


TEXTURES = {
    "train": [["banded/1.jpg", 0, "banded"], ["dotted/1.jpg", 1, "dotted"], ["dotted/2.jpg", 1, "dotted"]],
    "val": [["banded/2.jpg", 0, "banded"]],
    "test": [["dotted/3.jpg", 1, "dotted"], ["banded/3.jpg", 0, "banded"]],
}


@pytest.fixture
def root(tmp_path) -> Path:
    return write(tmp_path / "dtd", "images", TEXTURES)


@pytest.mark.parametrize("name", SETS)
def test_a_miniature_of_every_set(name, tmp_path) -> None:
    images, templates, template, entries, names = SETS[name]
    splits = {split: [list(entry)] for split, entry in zip(("train", "val", "test"), entries, strict=True)}
    file = f"split_zhou_{name}.json"
    root = write(tmp_path / name, images, splits, file)
    items = prepare(declared(root, images=images, split_file=file, templates=templates), tmp_path).items
    found = manifest.select(items, "image")
    told = found[["path", "split", "label.class"]].to_numpy().tolist()
    where = "" if images == "." else f"{images}/"
    assert told == sorted(
        [where + path, split, label]
        for split, (path, _, label) in zip(("train", "val", "test"), entries, strict=True)
    )
    prompts = manifest.select(items, "text", manifest.CLASSES)
    assert dict(zip(prompts["label.class"], prompts["text"], strict=True)) == {
        label: template.replace("{}", called) for label, called in names.items()
    }


def test_splits_labels_and_ids(root, tmp_path) -> None:
    sizes = {"train": {"images": 3, "classes": 2}, "val": {"images": 1, "classes": 1}, "test": {"images": 2}}
    items = prepare(declared(root, sizes=sizes), tmp_path).items
    found = manifest.select(items, "image")
    assert found[["id", "split", "label.class"]].to_numpy().tolist() == [
        ["images/banded/1", "train", "banded"],
        ["images/banded/2", "val", "banded"],
        ["images/banded/3", "test", "banded"],
        ["images/dotted/1", "train", "dotted"],
        ["images/dotted/2", "train", "dotted"],
        ["images/dotted/3", "test", "dotted"],
    ]


def test_two_classes_of_one_name_stay_two(tmp_path) -> None:
    entries = {
        "train": [["a/1.jpg", 4, "crane"], ["b/1.jpg", 7, "crane"]],
        "val": [],
        "test": [["a/2.jpg", 4, "crane"], ["c/2.jpg", 5, "bird"]],
    }
    sizes = {"train": {"classes": 2}, "test": {"classes": 2}}
    items = prepare(declared(write(tmp_path / "x", "images", entries), sizes=sizes), tmp_path).items
    labels = dict(manifest.select(items, "image")[["path", "label.class"]].to_numpy().tolist())
    assert labels == {
        "images/a/1.jpg": "crane (4)",
        "images/a/2.jpg": "crane (4)",
        "images/b/1.jpg": "crane (7)",
        "images/c/2.jpg": "bird",
    }
    prompts = manifest.select(items, "text", manifest.CLASSES)
    assert prompts["text"].tolist() == ["a photo of a bird.", *["a photo of a crane."] * 2]


def test_own_class_names_and_unknown_ones(root) -> None:
    frame = read(declared(root, class_names={"dotted": "polka-dotted"}), root).frame
    assert manifest.select(frame, "text")["text"].tolist() == [
        "a photo of a banded.",
        "a photo of a polka-dotted.",
    ]
    with pytest.raises(
        DatasetError, match=r"class_names: .* has no class dots; its classes are banded, dotted"
    ):
        read(declared(root, class_names={"dots": "dotted"}), root)


def test_images_in_a_tar_are_the_same_dataset(root, tmp_path) -> None:
    folder = prepare(declared(root), tmp_path).items
    with tarfile.open(root / "images.tar", "w") as tar:
        for file in (root / "images").rglob("*.jpg"):
            tar.add(file, file.relative_to(root / "images").as_posix())
    shutil.rmtree(root / "images")
    tar = prepare(declared(root, images="images.tar"), tmp_path).items
    assert tar.drop(columns="path").equals(folder.drop(columns="path"))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"train": [', r"split\.json line 1: no JSON"),
        ("[]", "no list 'train'"),
        ({"train": [], "val": []}, "no list 'test'"),
        ({"train": {}, "val": [], "test": []}, "no list 'train'"),
        (TEXTURES | {"val": [["banded/2.jpg", 0]]}, r"val\[0\] is \['banded/2.jpg', 0\], not \[path, number, name\]"),
        (TEXTURES | {"val": ["banded/2.jpg"]}, r"val\[0\] is 'banded/2.jpg'"),
        (TEXTURES | {"val": [["banded/2.jpg", "0", "banded"]]}, r"val\[0\] is .*'0'"),
        (TEXTURES | {"val": [["banded/2.jpg", True, "banded"]]}, r"val\[0\] is .*True"),
        (TEXTURES | {"val": [["banded/2.jpg", 0, " "]]}, r"val\[0\] is .*' '"),
        (TEXTURES | {"val": [["banded/2.jpg", 1, "banded"]]}, r"val\[0\] calls class 1 'banded', others 'dotted'"),
        (TEXTURES | {"val": [["banded/3.jpg", 0, "banded"]]}, r"1 images are listed more than once \(images/banded/3"),
    ],
)  # fmt: skip
def test_a_malformed_split_file_is_told(content, said, root) -> None:
    (root / "split.json").write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(DatasetError, match=said):
        read(declared(root), root)


def test_a_wrong_root_a_missing_file_and_a_half_extracted_archive_are_told(root, tmp_path) -> None:
    with pytest.raises(DatasetError, match=r"root .*nowhere is no folder: .*mend `root`"):
        read(declared(tmp_path / "nowhere"), root)
    with pytest.raises(DatasetError, match=r"has no split_zhou\.json: CoOp's DATASETS\.md links it"):
        read(declared(root, split_file="split_zhou.json"), root)

    (root / "images" / "dotted" / "2.jpg").unlink()
    with pytest.raises(DatasetError, match=r"1 × no such file\n  images/dotted/2\.jpg: no such file"):
        prepare(declared(root), tmp_path)
    made = prepare(declared(root, on_problem="set_aside"), tmp_path)
    assert made.problems["id"].tolist() == ["images/dotted/2"]
    assert "images/dotted/2" not in set(made.items["id"])

    (root / "images" / "dotted").rename(root / "images" / "Dotted_")
    told = r"1 of 2 folders of listed .* \(images/dotted\); .*images has others instead \(Dotted_\): unpack"
    with pytest.raises(DatasetError, match=told):
        prepare(declared(root), tmp_path)
    made = prepare(
        declared(root, on_problem="set_aside", retrieval={"query": "val", "gallery": "train"}), tmp_path
    )
    assert len(made.problems) == 3 and len(manifest.select(made.items, "image")) == 3

    shutil.rmtree(root / "images")
    with pytest.raises(DatasetError, match=r"has no images: unpack the archive there, or mend `images`"):
        read(declared(root), root)


def test_a_path_out_of_the_root_is_a_problem(root, tmp_path) -> None:
    entries = TEXTURES | {"val": [["../../banded/2.jpg", 0, "banded"]]}
    (root / "split.json").write_text(json.dumps(entries))
    made = prepare(declared(root, on_problem="set_aside"), tmp_path)
    assert made.problems["problem"].tolist() == ["not a plain path inside the dataset's root"]


REAL = {
    "dtd": ("images", "coop/DescribableTextures", "{} texture.", 47),
    "oxford_flowers": ("jpg", "coop/OxfordFlowers", "a photo of a {}, a type of flower.", 102),
}


@pytest.mark.parametrize("name", REAL)
def test_the_real_val_and_test_of_coop_in_full(name, real, tmp_path) -> None:
    images, templates, template, classes = REAL[name]
    held = np.load(real / "clip-vit-b32" / f"{name}.npz")
    names = held["class_names"].tolist()
    entries = {"train": []}
    for split in ("val", "test"):
        files, labels = held[f"{split}_files"].tolist(), held[f"{split}_labels"].tolist()
        entries[split] = [[file, label, names[label]] for file, label in zip(files, labels, strict=True)]
    root = write(tmp_path / name, images, entries)
    sizes = {split: {"images": len(entries[split]), "classes": classes} for split in ("val", "test")}
    retrieval = {"query": "test", "gallery": "val"}
    declaration = declared(root, images=images, templates=templates, retrieval=retrieval, sizes=sizes)
    items = prepare(declaration, tmp_path).items

    for split in ("val", "test"):
        found = manifest.select(items, "image", split)
        told = dict(zip(found["path"], found["label.class"], strict=True))
        assert told == {f"{images}/{path}": label for path, _, label in entries[split]}
        assert Counter(told.values()) == Counter(names[label] for label in held[f"{split}_labels"])
    prompts = manifest.select(items, "text", manifest.CLASSES)
    assert sorted(prompts["text"]) == sorted(template.format(called.replace("_", " ")) for called in names)
    assert {"dtd": (1128, 1692), "oxford_flowers": (1633, 2463)}[name] == (
        len(entries["val"]),
        len(entries["test"]),
    )


@pytest.mark.parametrize("on_problem", ["error", "set_aside"])
@pytest.mark.parametrize("folder", ["images", "images/dotted"])
def test_a_folder_within_one_of_its_name_is_told(root, tmp_path, folder, on_problem) -> None:
    """Kaggle's Stanford Cars: cars_test/cars_test."""
    (root / folder).rename(root / "inner")
    (root / folder).mkdir()
    (root / "inner").rename(root / folder / Path(folder).name)
    count = 6 if folder == "images" else 3
    told = rf"{count} images are listed in {folder} and lie one folder deeper, in {folder}/{Path(folder).name}: move"
    with pytest.raises(DatasetError, match=told):
        prepare(declared(root, on_problem=on_problem), tmp_path)


def test_a_folder_of_a_class_may_have_one_of_its_name(tmp_path) -> None:
    root = write(tmp_path / "dtd", "images", TEXTURES | {"val": [["banded/banded/2.jpg", 0, "banded"]]})
    assert len(manifest.select(prepare(declared(root), tmp_path).items, "image")) == 6


def test_a_root_one_folder_above_is_told_with_the_right_one(root) -> None:
    with pytest.raises(DatasetError, match=r"has no split\.json: .*\(.*/dtd has one\)"):
        read(declared(root.parent), root)


def test_a_number_below_0_is_no_class(root, tmp_path) -> None:
    write(root, "images", TEXTURES | {"val": [["banded/2.jpg", -1, "unlabelled"]]})
    items = prepare(declared(root), tmp_path).items
    assert manifest.select(items, "image", "val")["label.class"].tolist() == [None]
    assert set(manifest.select(items, "text")["label.class"]) == {"banded", "dotted"}
