"""Sets that torchvision reads: a miniature of DTD and OxfordIIITPet in their own layouts, and FakeData."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torchvision import datasets

from crossgap.datasets.declared import DatasetError, Torchvision
from crossgap.datasets.image_files import read_bytes
from crossgap.datasets.images import decode
from crossgap.datasets.preparing import prepare
from crossgap.datasets.readers import read
from crossgap.prepared import manifest

SPLITS = {"train": {"split": "train"}, "test": {"split": "test"}}
TEXTURES = {"train": ["banded/banded_0002.jpg", "dotted/dotted_0001.jpg"], "test": ["dotted/dotted_0003.jpg"]}


def declared(root: Path, name: str = "DTD", splits: dict | None = None, **fields) -> Torchvision:
    splits = splits or SPLITS
    fields = {"retrieval": {"query": "test", "gallery": "test"}, "vocabulary": "none"} | fields
    return Torchvision(layout="torchvision", root=root, name=name, splits=splits, **fields)


def noise(file: Path, seed: int) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)).save(file, "JPEG")


@pytest.fixture
def root(tmp_path) -> Path:
    dtd = tmp_path / "raw/dtd/dtd"
    (dtd / "labels").mkdir(parents=True)
    for split, paths in TEXTURES.items():
        (dtd / "labels" / f"{split}1.txt").write_text("\n".join(paths) + "\n")
        for path in paths:
            noise(dtd / "images" / path, len(path) + ord(path[-5]))
    return tmp_path / "raw"


def test_a_miniature_of_dtd(root, tmp_path) -> None:
    items = prepare(declared(root, templates="coop/DescribableTextures"), tmp_path).items
    images = manifest.select(items, "image")
    assert images[["id", "path", "split"]].to_numpy().tolist() == [
        ["train/0", "images.tar/train/0.png", "train"],
        ["train/1", "images.tar/train/1.png", "train"],
        ["test/0", "images.tar/test/0.png", "test"],
    ]
    assert images["label.class"].tolist() == ["banded", "dotted", "dotted"]
    prompts = manifest.select(items, "text", manifest.CLASSES)
    assert prompts["text"].tolist() == ["banded texture.", "dotted texture."]
    for path, file in zip(images["path"], (*TEXTURES["train"], *TEXTURES["test"]), strict=True):
        pixels = np.asarray(Image.open(root / "dtd/dtd/images" / file))
        assert np.array_equal(np.asarray(decode(path, read_bytes(tmp_path, path))), pixels)


def test_the_export_is_the_same_every_time(root, tmp_path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        read(declared(root), tmp_path / name)
    assert (tmp_path / "a/images.tar").read_bytes() == (tmp_path / "b/images.tar").read_bytes()


def test_a_miniature_of_the_pets(tmp_path) -> None:
    pets = tmp_path / "raw/oxford-iiit-pet"
    (pets / "annotations").mkdir(parents=True)
    (pets / "annotations/trainval.txt").write_text("great_pyrenees_1 2 2 1\nAbyssinian_1 1 1 1\n")
    (pets / "annotations/test.txt").write_text("Abyssinian_2 1 1 1\ngreat_pyrenees_2 2 2 1\n")
    for seed, name in enumerate(("great_pyrenees_1", "Abyssinian_1", "Abyssinian_2", "great_pyrenees_2")):
        noise(pets / "images" / f"{name}.jpg", seed)
    splits = {"train": {"split": "trainval"}, "test": {"split": "test"}}
    items = prepare(declared(tmp_path / "raw", "OxfordIIITPet", splits), tmp_path).items
    assert manifest.select(items, "image")[["id", "label.class"]].to_numpy().tolist() == [
        ["train/0", "Great Pyrenees"],
        ["train/1", "Abyssinian"],
        ["test/0", "Abyssinian"],
        ["test/1", "Great Pyrenees"],
    ]
    wrong = {"test": {"split": "test", "target_types": "segmentation"}}
    with pytest.raises(ValueError, match=r"splits.test: target_types can't be given"):
        declared(tmp_path / "raw", "OxfordIIITPet", wrong)


def test_fake_data_has_numbers_for_classes(tmp_path) -> None:
    arguments = {"size": 4, "image_size": [3, 8, 8], "num_classes": 2}
    fake = declared(tmp_path, "FakeData", {"test": arguments}, class_names={"0": "zero", "1": "one"})
    items = prepare(fake, tmp_path).items
    truth = datasets.FakeData(**arguments)
    images = manifest.select(items, "image")
    assert images["label.class"].tolist() == [str(int(truth[at][1])) for at in range(4)]
    for at, path in enumerate(images["path"]):
        assert np.array_equal(np.asarray(decode(path, read_bytes(tmp_path, path))), np.asarray(truth[at][0]))
    with pytest.raises(DatasetError, match=r"class_names: .* labels are numbers without a name"):
        read(declared(tmp_path, "FakeData", {"test": arguments}), tmp_path)
    with pytest.raises(DatasetError, match=r"download: torchvision does not download FakeData"):
        read(declared(tmp_path, "FakeData", {"test": arguments}, download=True), tmp_path)


def test_a_damaged_image_is_a_problem(root, tmp_path) -> None:
    (root / "dtd/dtd/images/dotted/dotted_0001.jpg").write_bytes(b"no image")
    with pytest.raises(
        DatasetError, match="1 × can't be read\n  DTD train/1: can't be read: UnidentifiedImageError"
    ):
        prepare(declared(root), tmp_path)
    made = prepare(declared(root, on_problem="set_aside"), tmp_path)
    assert manifest.select(made.items, "image")["id"].tolist() == ["train/0", "test/0"]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"name": "OxfordPets"}, "name: torchvision has no dataset 'OxfordPets': it has .*OxfordIIITPet"),
        ({"name": "os"}, "torchvision has no dataset 'os'"),
        ({"splits": {"test": {"part": 1}}}, "splits.test: DTD takes no part; it takes split, partition"),
        ({"splits": {"test": {"split": "dev"}}}, "splits.test: DTD refuses {'split': 'dev'}: .*dev"),
        ({"splits": {"test": {"root": "x"}}}, "splits.test: 'root' is no argument of a split: `root` stands"),
        ({"root": Path("nowhere")}, "DTD is not whole under root nowhere.*or declare `download: true`"),
    ],
)
def test_what_torchvision_refuses_is_told(root, tmp_path, fields, said) -> None:
    with pytest.raises(DatasetError, match=said):
        read(declared(**({"root": root} | fields)), tmp_path)


def test_unknown_splits_are_told(root) -> None:
    with pytest.raises(
        ValueError, match=r"retrieval\.query: 'val' is none of the splits read \(train, test\)"
    ):
        declared(root, retrieval={"query": "val", "gallery": "test"})


def test_unlabelled_images_of_stl10(tmp_path, monkeypatch) -> None:
    """Its own binary layout; the images of `unlabeled` have no numbers on disk, and -1 in torchvision."""
    folder = tmp_path / "raw/stl10_binary"
    folder.mkdir(parents=True)
    monkeypatch.setattr(datasets.STL10, "_check_integrity", lambda self: True)
    pixels = np.random.default_rng(0).integers(0, 255, (3, 3, 96, 96), dtype=np.uint8)
    (folder / "class_names.txt").write_text("airplane\nbird\ntruck\n")
    for split, count in (("train", 2), ("unlabeled", 3), ("test", 3)):
        pixels[:count].tofile(folder / f"{split}_X.bin")
        if split != "unlabeled":
            np.arange(1, count + 1, dtype=np.uint8).tofile(folder / f"{split}_y.bin")
    splits = {
        "train": {"split": "train+unlabeled"},
        "more": {"split": "unlabeled"},
        "test": {"split": "test"},
    }
    made = prepare(declared(tmp_path / "raw", "STL10", splits), tmp_path)
    labels = manifest.select(made.items, "image").groupby("split")["label.class"].agg(list).to_dict()
    assert labels == {
        "train": ["airplane", "bird", None, None, None],
        "more": [None] * 3,
        "test": ["airplane", "bird", "truck"],
    }
    assert "3 of 5 images of split train have no class (blank, or -1)" in made.notes


def test_classes_of_one_name_are_prompted_by_it(tmp_path, monkeypatch) -> None:
    """ImageNet's crane is a bird and a machine, and so two labels, both of which are called a crane."""
    named = type("Fake", (datasets.FakeData,), {"classes": [("crane", "bird"), "aircraft_carrier", "crane"]})
    monkeypatch.setattr(datasets, "FakeData", named)
    splits = {"test": {"size": 12, "image_size": (3, 8, 8), "num_classes": 3}}
    items = prepare(declared(tmp_path, "FakeData", splits), tmp_path).items
    prompts = items[items["split"] == "classes"]
    assert prompts[["label.class", "text"]].to_numpy().tolist() == [
        ["aircraft_carrier", "a photo of a aircraft carrier."],
        ["crane (0)", "a photo of a crane."],
        ["crane (2)", "a photo of a crane."],
    ]
    called = declared(tmp_path, "FakeData", splits, class_names={"crane (2)": "lifting crane"})
    assert "a photo of a lifting crane." in set(prepare(called, tmp_path).items["text"])
