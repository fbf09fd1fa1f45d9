"""CUB-200-2011 by its own lists."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from PIL import Image

from crossgap.datasets.declared import Cub, DatasetError
from crossgap.datasets.preparing import prepare
from crossgap.datasets.readers import read
from crossgap.prepared import manifest

ALBATROSS, AUKLET = "001.Black_footed_Albatross", "007.Parakeet_Auklet"
IMAGES = {
    "1": (f"{ALBATROSS}/Black_Footed_Albatross_0046_18.jpg", "1", "0"),
    "2": (f"{ALBATROSS}/Black_Footed_Albatross_0009_34.jpg", "1", "1"),
    "3": (f"{AUKLET}/Parakeet_Auklet_0024_795962.jpg", "2", "0"),
}
ALL = {"query": "all", "gallery": "all"}


@pytest.fixture
def root(tmp_path) -> Path:
    folder = tmp_path / "CUB_200_2011"
    for path, _, _ in IMAGES.values():
        (folder / "images" / path).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (2, 2)).save(folder / "images" / path)
    lists = {
        "images.txt": [f"{image} {path}" for image, (path, _, _) in IMAGES.items()],
        "image_class_labels.txt": [f"{image} {number}" for image, (_, number, _) in IMAGES.items()],
        "train_test_split.txt": [f"{image} {training}" for image, (_, _, training) in IMAGES.items()],
        "classes.txt": [f"1 {ALBATROSS}", f"2 {AUKLET}"],
    }
    for name, lines in lists.items():
        (folder / name).write_text("\n".join(lines) + "\n")
    return folder


def declared(root: Path, **fields) -> Cub:
    return Cub(layout="cub", root=root, **{"retrieval": ALL, "vocabulary": "none"} | fields)


def test_the_miniature_is_one_split(root, tmp_path) -> None:
    items = prepare(declared(root, sizes={"all": {"images": 3, "classes": 2}}), tmp_path).items
    assert manifest.select(items, "image")[["id", "split", "label.class"]].to_numpy().tolist() == [
        [f"images/{ALBATROSS}/Black_Footed_Albatross_0009_34", "all", ALBATROSS],
        [f"images/{ALBATROSS}/Black_Footed_Albatross_0046_18", "all", ALBATROSS],
        [f"images/{AUKLET}/Parakeet_Auklet_0024_795962", "all", AUKLET],
    ]
    assert manifest.select(items, "text", manifest.CLASSES)["text"].tolist() == [
        "a photo of a Black footed Albatross.",
        "a photo of a Parakeet Auklet.",
    ]


def test_composed_queries_say_the_names_of_classes(root, tmp_path) -> None:
    asks = {"controls": {"composed": {"class": "but a {}, flying"}}}
    for named, first in (({}, "Black footed Albatross"), ({ALBATROSS: "gooney"}, "gooney")):
        declaration = declared(root, templates=["{}.", "a {}"], class_names=named, **asks)
        asked = prepare(declaration, tmp_path).composed.asked
        assert set(asked["words"]) == {f"but a {first}, flying", "but a Parakeet Auklet, flying"}


def test_the_official_split(root, tmp_path) -> None:
    declaration = declared(root, official_split=True, retrieval={"query": "test", "gallery": "train"})
    found = manifest.select(prepare(declaration, tmp_path).items, "image")
    assert found["split"].tolist() == ["train", "test", "test"]


def test_the_split_is_not_asked_for_where_it_is_not_used(root) -> None:
    (root / "train_test_split.txt").unlink()
    assert set(read(declared(root), root).frame["split"]) == {"all", manifest.CLASSES}
    with pytest.raises(DatasetError, match=r"has no train_test_split\.txt"):
        read(declared(root, official_split=True, retrieval={}, on_problem="set_aside"), root)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("image_class_labels.txt", "1 1\n2 1\n", r"image_class_labels\.txt and images\.txt differ in 1 images \(3\)"),
        ("image_class_labels.txt", "1 1\n2 1\n3 9\n", r"image_class_labels\.txt has class 9, it may be 1, 2"),
        ("image_class_labels.txt", "1 1\n2 1\n2 2\n3 2\n", r"image_class_labels\.txt line 3: 2 is there already"),
        ("train_test_split.txt", "1 0\n2 1\n3 yes\n", r"train_test_split\.txt has is_training yes, it may be 1, 0"),
        ("images.txt", "1\n", r"images\.txt line 1: '1' is not `image path`"),
        ("classes.txt", "", r"classes\.txt is empty"),
    ],
)  # fmt: skip
def test_malformed_lists_are_told(name, text, said, root) -> None:
    (root / name).write_text(text)
    with pytest.raises(DatasetError, match=said):
        read(declared(root, official_split=True, retrieval={"query": "test", "gallery": "train"}), root)


def test_a_wrong_root_and_a_half_extracted_archive_are_told(root, tmp_path) -> None:
    with pytest.raises(DatasetError, match="nowhere is no folder"):
        read(declared(tmp_path / "nowhere"), root)
    with pytest.raises(DatasetError, match="has no images: unpack the archive again, or mend `root`"):
        read(declared(tmp_path), root)
    (root / "images" / AUKLET).rename(root / "images" / "Parakeet_Auklet")
    told = rf"1 of 2 folders .*\(images/{AUKLET}\); .*has others instead \(Parakeet_Auklet\)"
    with pytest.raises(DatasetError, match=told):
        read(declared(root), root)
    shutil.rmtree(root / "images" / "Parakeet_Auklet")
    with pytest.raises(DatasetError, match=rf"\(images/{AUKLET}\): unpack the archive again"):
        read(declared(root), root)
    (root / "images.txt").unlink()
    with pytest.raises(DatasetError, match=r"has no images\.txt"):
        read(declared(root), root)


def test_a_missing_file_is_told_with_its_path(root, tmp_path) -> None:
    (root / "images" / IMAGES["2"][0]).unlink()
    with pytest.raises(DatasetError, match=rf"{IMAGES['2'][0]}: no such file"):
        prepare(declared(root), tmp_path)


def test_captions_stand_beside_the_images(root, tmp_path) -> None:
    for image, (path, _, _) in IMAGES.items():
        file = root / "text_c10" / Path(path).with_suffix(".txt")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("" if image == "3" else f"A bird {image}.\n\nIt has wings. \n")
    found = read(declared(root, captions="text_c10"), tmp_path)
    (problem,) = found.problems
    assert (
        problem.id == f"images/{AUKLET}/Parakeet_Auklet_0024_795962"
        and "image without caption" in problem.problem
    )
    captions = found.frame[found.frame["group"].notna() & (found.frame["modality"] == "text")]
    assert captions[["group", "rank", "text", "label.class"]].to_numpy().tolist() == [
        [f"images/{ALBATROSS}/Black_Footed_Albatross_{name}", rank, text, ALBATROSS]
        for name, image in (("0009_34", 2), ("0046_18", 1))
        for rank, text in enumerate((f"A bird {image}.", "It has wings."))
    ]
    items = prepare(declared(root, captions="text_c10", on_problem="set_aside"), tmp_path / "prepared").items
    assert len(manifest.select(items, "image")) == 2
    with pytest.raises(DatasetError, match="has no text_c11"):
        read(declared(root, captions="text_c11"), tmp_path)
