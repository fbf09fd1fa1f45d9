"""COCO's captions JSON, of COCO and nocaps."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from crossgap.datasets.declared import Coco, DatasetError
from crossgap.datasets.preparing import prepare
from crossgap.datasets.readers import read
from crossgap.prepared import manifest

SPLITS = {"train": "annotations/captions_train2017.json", "val": "annotations/captions_val2017.json"}


def put(root: Path, *paths: str) -> None:
    for number, path in enumerate(paths):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4), (number, 0, 0)).save(root / path)


def put_json(file: Path, content: object) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content))


def captions(images: dict[int, str], texts: list[tuple[int, int, str]]) -> dict:
    """COCO's own keys; annotations lie in another order than the images."""
    return {
        "info": {"year": 2017},
        "licenses": [],
        "images": [
            {"license": 3, "file_name": name, "height": 4, "width": 4, "id": key}
            for key, name in images.items()
        ],
        "annotations": [{"image_id": image, "id": key, "caption": text} for key, image, text in texts],
    }


@pytest.fixture
def root(tmp_path) -> Path:
    root = tmp_path / "coco"
    put(root, "train2017/000000000009.jpg", "val2017/000000000139.jpg", "val2017/000000000285.jpg")
    put_json(root / SPLITS["train"], captions({9: "000000000009.jpg"}, [(1, 9, "Closeup of bins.")]))
    texts = [
        (30, 285, "A bear. \n"),
        (12, 139, "A woman."),
        (31, 285, "A brown bear."),
        (11, 139, "A room."),
        (13, 139, "A woman."),
    ]
    put_json(root / SPLITS["val"], captions({139: "000000000139.jpg", 285: "000000000285.jpg"}, texts))
    return root


def declared(root: Path, **fields) -> Coco:
    fields = {
        "captions": SPLITS,
        "retrieval": {"query": "val", "gallery": "val"},
        "vocabulary": "none",
    } | fields
    return Coco(layout="coco", root=root, **fields)


def test_the_miniature(root, tmp_path) -> None:
    sizes = {"train": {"images": 1, "texts": 1}, "val": {"images": 2, "texts": 5}}
    items = prepare(declared(root, sizes=sizes), tmp_path).items
    images = manifest.select(items, "image")
    assert images[["id", "split", "path"]].to_numpy().tolist() == [
        ["train2017/000000000009", "train", "train2017/000000000009.jpg"],
        ["val2017/000000000139", "val", "val2017/000000000139.jpg"],
        ["val2017/000000000285", "val", "val2017/000000000285.jpg"],
    ]
    texts = manifest.select(items, "text", "val")
    assert texts[["group", "rank", "text"]].to_numpy().tolist() == [
        ["val2017/000000000139", 0, "A woman."],
        ["val2017/000000000139", 1, "A room."],
        ["val2017/000000000139", 2, "A woman."],
        ["val2017/000000000285", 0, "A bear."],
        ["val2017/000000000285", 1, "A brown bear."],
    ]
    first, _, again = texts["id"][:3]
    assert again == f"{first}-2", "equal captions of an image have ids of their own"


def test_nocaps_has_its_images_in_a_folder_of_any_name(tmp_path) -> None:
    put(tmp_path / "nocaps", "images/0013ea2087020901.jpg")
    name = "nocaps_val_4500_captions.json"
    texts = [(number, 0, f"Caption {number}.") for number in range(10)]
    content = captions({0: "0013ea2087020901.jpg"}, texts)
    content["images"][0] |= {"open_images_id": "0013ea2087020901", "domain": "in-domain"}
    put_json(tmp_path / "nocaps" / name, content)
    items = prepare(declared(tmp_path / "nocaps", captions={"val": name}), tmp_path).items
    assert manifest.select(items, "image")["id"].tolist() == ["images/0013ea2087020901"]
    assert manifest.select(items, "text", "val")["text"].tolist() == [text for *_, text in texts]


def test_cocos_own_file(real, tmp_path) -> None:
    """5,000 images and 25,014 captions are what COCO says of val2017, and what its file must give."""
    file = real / "coco" / "captions_val2017.json"
    content = json.loads(file.read_text())
    root = tmp_path / "coco"
    (root / "val2017").mkdir(parents=True)
    Image.new("RGB", (1, 1)).save(tmp_path / "one.jpg")
    data = (tmp_path / "one.jpg").read_bytes()
    for image in content["images"]:
        (root / "val2017" / image["file_name"]).write_bytes(data)
    (root / "annotations").mkdir()
    (root / SPLITS["val"]).symlink_to(file)
    declaration = declared(
        root, captions={"val": SPLITS["val"]}, sizes={"val": {"images": 5000, "texts": 25014}}
    )
    items = prepare(declaration, tmp_path).items
    texts = manifest.select(items, "text", "val")
    assert texts["group"].value_counts().between(5, 7).all()
    for image in content["images"][::250]:
        theirs = [row["caption"].strip() for row in content["annotations"] if row["image_id"] == image["id"]]
        ours = texts[texts["group"] == f"val2017/{image['file_name'][:-4]}"].sort_values("rank")
        assert ours["text"].tolist() == theirs


def test_an_image_that_is_missing_is_named(root, tmp_path) -> None:
    (root / "val2017/000000000285.jpg").unlink()
    with pytest.raises(DatasetError, match=r"1 × no such file\n  000000000285.jpg"):
        prepare(declared(root), tmp_path)
    made = prepare(declared(root, on_problem="set_aside"), tmp_path)
    assert set(manifest.select(made.items, "text", "val")["text"]) == {"A woman.", "A room."}


def test_an_archive_that_is_missing(root, tmp_path) -> None:
    (root / "train2017/000000000009.jpg").unlink()
    with pytest.raises(DatasetError, match=r"split train: none of its 1 images is under .*000000000009.jpg"):
        read(declared(root), tmp_path)
    aside = prepare(declared(root, on_problem="set_aside"), tmp_path)
    assert set(manifest.select(aside.items, "image")["split"]) == {"val"}


def test_an_image_that_is_there_twice(root, tmp_path) -> None:
    put(root, "small/000000000285.jpg")
    with pytest.raises(DatasetError, match=r"small/000000000285.jpg, val2017/000000000285.jpg .*keep one"):
        read(declared(root), tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("annotations"), "has no list 'annotations'"),
        (lambda c: c["annotations"].clear(), "has no annotations"),
        (lambda c: c["annotations"][0].pop("caption"), r"annotations\[0\] has caption None"),
        (lambda c: c["annotations"][3].update(image_id=7), r"annotations\[3\] is of image 7"),
        (lambda c: c["images"][1].update(id=139), r"images\[1\] has id 139 .* twice"),
        (lambda c: c["images"].append("x"), r"images\[2\] has id None"),
        (lambda c: c["images"][0].update(file_name="000000000009.jpg"), "1 images of another split"),
    ],
)
def test_files_that_hold_something_else(root, tmp_path, change, message) -> None:
    content = json.loads((root / SPLITS["val"]).read_text())
    change(content)
    put_json(root / SPLITS["val"], content)
    with pytest.raises(DatasetError, match=message):
        read(declared(root), tmp_path)


def test_files_that_are_missing_or_cut_short(root, tmp_path) -> None:
    (root / SPLITS["val"]).write_text('{"images": [\n{"id": 1, ')
    with pytest.raises(DatasetError, match=r"captions_val2017.json line 2: no JSON"):
        read(declared(root), tmp_path)
    (root / SPLITS["val"]).unlink()
    with pytest.raises(DatasetError, match=r"captions .*captions_val2017.json can't be read: No such file"):
        read(declared(root), tmp_path)
    put_json(root / SPLITS["val"], captions({}, [(1, 1, "x")]))
    with pytest.raises(DatasetError, match="image 1, which `images` lacks"):
        read(declared(root), tmp_path)


def test_captions_that_are_empty(root, tmp_path) -> None:
    content = json.loads((root / SPLITS["val"]).read_text())
    content["annotations"][0]["caption"] = " "
    put_json(root / SPLITS["val"], content)
    with pytest.raises(DatasetError, match=r"1 × empty caption\n  000000000285.jpg"):
        prepare(declared(root), tmp_path)
    kept = prepare(declared(root, on_problem="set_aside"), tmp_path).items
    bears = kept[kept["group"] == "val2017/000000000285"]
    assert bears[["rank", "text"]].to_numpy().tolist() == [[0, None], [0, "A brown bear."]]


def test_one_file_under_two_names_is_one_image(root, tmp_path) -> None:
    (root / "again").symlink_to("val2017")
    (root / "0").symlink_to("val2017")
    paths = manifest.select(prepare(declared(root), tmp_path).items, "image")["path"]
    assert not paths.str.match("again|0/").any()
