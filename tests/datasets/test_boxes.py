"""Images cropped to a box: declared in a CSV, kept in the manifest, applied before the transform."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from crossgap import open_store
from crossgap.datasets.declared import DatasetError, ImageFolder
from crossgap.datasets.images import crop
from crossgap.encode import encode
from crossgap.errors import ImageError
from crossgap.prepared import manifest
from tests.datasets.test_folders import prepare

WIDTH, HEIGHT = 40, 30


@pytest.fixture
def root(tmp_path) -> Path:
    """Three images of noise, 40 × 30, one of them twice."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "root" / "kind"
    folder.mkdir(parents=True)
    for name in "abc":
        Image.fromarray(rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)).save(folder / f"{name}.png")
    (folder / "d.png").write_bytes((folder / "a.png").read_bytes())
    return tmp_path / "root"


def declared(root: Path, boxes: str, **fields) -> ImageFolder:
    file = root.parent / "boxes.csv"
    file.write_text(boxes, encoding="utf-8")
    return ImageFolder(layout="imagefolder", root=root, boxes=file, retrieval={"query": "test"}, **fields)


HEADER = "image,left,upper,right,lower\n"
BOXES = HEADER + "kind/a.png,1.5,0,20.4,25\n./kind/b.png, -0.6,10,40.7,30.5\n"


def test_boxes_come_into_the_manifest(root, tmp_path) -> None:
    frame, problems = prepare(declared(root, BOXES))
    assert problems.empty and list(frame)[8:] == ["box", "label.class"]
    images = manifest.select(frame, "image").set_index("id")["box"]
    assert images.to_dict() == {
        "kind/a": "1.5 0.0 20.4 25.0",
        "kind/b": "-0.6 10.0 40.7 30.5",
        "kind/c": None,
        "kind/d": None,
    }
    assert manifest.select(frame, "text")["box"].isna().all()
    manifest.write(frame, tmp_path)
    assert manifest.read(tmp_path)["box"].tolist() == frame["box"].tolist()


def test_content_differs_by_the_box_and_is_the_digest_without_one(root) -> None:
    frame, _ = prepare(declared(root, BOXES))
    content = dict(zip(frame["id"], manifest.content(frame), strict=True))
    digest = dict(zip(frame["id"], frame["digest"], strict=True))
    assert digest["kind/a"] == digest["kind/d"] == content["kind/d"] != content["kind/a"]
    assert content["kind/c"] == digest["kind/c"]
    moved, _ = prepare(declared(root, BOXES.replace("20.4", "21")))
    assert manifest.content(moved)[0] != content["kind/a"]
    assert manifest.content(frame.drop(columns="box")) == frame["digest"].tolist()


def test_features_are_of_the_pixels_in_the_box(root, tiny, tmp_path) -> None:
    frame, _ = prepare(declared(root, BOXES))
    for size in (1, 64):
        where = {"provenance": {}, "scratch": tmp_path / f"scratch{size}"}
        encode(frame, root, tiny, tmp_path / "native.zip", batch_size=size, **where)
        group = open_store(tmp_path / "native.zip")["image/test"]
        whole = {"kind/a": (2, 0, 20, 25), "kind/b": (0, 10, 40, 30)}
        for row, name in enumerate(group.ids):
            pixels = np.asarray(Image.open(root / f"{name}.png"))
            left, upper, right, lower = whole.get(name, (0, 0, WIDTH, HEIGHT))
            cut = Image.fromarray(pixels[upper:lower, left:right])
            expected = tiny.encode_images(torch.stack([tiny.transform(cut)])).features[0].numpy()
            np.testing.assert_allclose(group.features[row], expected, rtol=1e-4, atol=1e-5)
        assert group["box"].tolist() == ["1.5 0.0 20.4 25.0", "-0.6 10.0 40.7 30.5", "", ""]
    assert not np.allclose(group.features[0], group.features[3])


def test_another_box_changes_the_fingerprint_and_no_other_item(root, tiny, tmp_path) -> None:
    found = []
    for boxes in (BOXES, BOXES.replace("20.4", "30")):
        frame, _ = prepare(declared(root, boxes))
        where = {"provenance": {}, "scratch": tmp_path / "scratch"}
        encode(frame, root, tiny, tmp_path / "native.zip", **where)
        store = open_store(tmp_path / "native.zip")
        found.append((store.provenance["fingerprint"], store["image/test"].features))
    assert found[0][0] != found[1][0]
    assert (found[0][1] == found[1][1]).all(axis=1).tolist() == [False, True, True, True]


@pytest.mark.parametrize(
    ("corners", "size"),
    [((0, 0, 40, 30), (40, 30)), ((-1, -1, 41, 31), (40, 30)), ((0.4, 0.6, 10.4, 10.6), (10, 10))],
)
def test_a_crop_is_rounded_and_kept_within_the_image(corners, size) -> None:
    pixels = np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH) % 251
    image = Image.fromarray(pixels.astype(np.uint8))
    cut = crop("a.png", image, corners)
    assert cut.size == size
    left, upper = max(round(corners[0]), 0), max(round(corners[1]), 0)
    np.testing.assert_array_equal(np.asarray(cut), pixels[upper : upper + size[1], left : left + size[0]])


@pytest.mark.parametrize(
    ("corners", "problem"),
    [
        ((-1.1, 0, 5, 5), "box -1.1 0 5 5: not within the image's 40 × 30 pixels: mend the box"),
        ((0, 0, 41.5, 5), "not within"),
        ((0, 0, 5, 32), "not within"),
        ((40.2, 0, 41, 5), "holds no whole pixel"),
        ((3.1, 0, 3.4, 5), "holds no whole pixel"),
    ],
)
def test_a_box_outside_of_the_image_is_an_error(corners, problem) -> None:
    with pytest.raises(ImageError, match=rf"a\.png: .*{problem}"):
        crop("a.png", Image.new("RGB", (WIDTH, HEIGHT)), corners)


def test_a_box_outside_is_a_problem_like_any_other(root) -> None:
    boxes = HEADER + "kind/a.png,0,0,99,5\n"
    with pytest.raises(DatasetError, match=r"kind/a\.png: box 0 0 99 5: not within"):
        prepare(declared(root, boxes))
    frame, problems = prepare(declared(root, boxes, on_problem="set_aside"))
    assert problems["id"].tolist() == ["kind/a"] and "kind/a" not in set(frame["id"])


@pytest.mark.parametrize(
    ("boxes", "message"),
    [
        (
            "image,x,y,w,h\n",
            "line 1: the header .* has 0 columns 'left': it needs image, left, upper, right, lower",
        ),
        (HEADER + "a.png,0,0,1,1\n", r"line 2: 'a\.png' is nothing under the root"),
        (HEADER + "kind/a.png,0,0,1,1\nkind/a.png,0,0,2,2\n", r"line 3: a second box of 'kind/a\.png'"),
        (HEADER + "kind/a.png,0,0,1\n", "line 2: columns: 4, in the header: 5"),
        (HEADER + "kind/a.png,0,0,one,1\n", r"line 2: box of 'kind/a\.png': '0 0 one 1' is not four numbers"),
        (HEADER + "kind/a.png,0,0,nan,1\n", "is not four numbers"),
        (HEADER + "kind/a.png,0,0,inf,1\n", "is not four numbers"),
        (HEADER + "kind/a.png,,0,1,1\n", "is not four numbers"),
        (HEADER + "kind/a.png,5,0,5,1\n", "'5 0 5 1' is empty: left must be less than right"),
        (HEADER + "kind/a.png,0,5,1,4\n", "is empty"),
    ],
)
def test_a_wrong_file_is_told_by_line(root, boxes, message) -> None:
    with pytest.raises(DatasetError, match=message) as error:
        prepare(declared(root, boxes))
    assert "boxes.csv line" in str(error.value)


def test_a_tar_stands_for_a_folder_unless_both_are_there(root, tmp_path) -> None:
    import tarfile

    with tarfile.open(root / "kind.tar", "w") as archive:
        archive.add(root / "kind" / "b.png", "b.png")
    (root / "kind" / "b.png").unlink()
    frame, _ = prepare(declared(root, BOXES))
    assert frame.set_index("path")["box"]["kind.tar/b.png"] == "-0.6 10.0 40.7 30.5"
    with tarfile.open(root / "kind.tar", "w") as archive:
        archive.add(root / "kind" / "a.png", "a.png")
    with pytest.raises(
        DatasetError, match=r"line 2: 'kind/a\.png' is kind\.tar/a\.png or kind/a\.png: name one"
    ):
        prepare(declared(root, BOXES.splitlines()[0] + "\nkind/a.png,0,0,1,1\n"))
