"""ROxford5k and RParis6k: the pickle of the ground truth, boxes, judgements and the protocol on them."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from crossgap.datasets.declared import DatasetError, Revisited
from crossgap.datasets.image_files import read_bytes
from crossgap.datasets.images import crop, decode
from crossgap.datasets.preparing import prepare
from crossgap.datasets.readers import read
from crossgap.metrics.retrieval import judged_metrics, summarise
from crossgap.prepared import manifest

GALLERY = ["all_souls_000001", "all_souls_000002", "ashmolean_000003", "balliol_000004", "bodleian_000005"]
QUERIES = ["all_souls_000013", "christ_church_000179", "magdalen_000078"]
GND = [
    {"bbx": [3.5, 2.0, 40.25, 30.0], "easy": [0], "hard": [1, 3], "junk": [2]},
    # a fraction outside of the image
    {"bbx": [0.0, -0.4, 48.7, 32.0], "easy": [], "hard": [4], "junk": [0, 1]},
    {"bbx": [10.0, 5.0, 20.0, 15.0], "easy": [2, 4], "hard": [], "junk": []},
]
GRADES = {
    ("easy", 0): {0: 1, 1: -1, 3: -1, 2: -1},
    ("medium", 0): {0: 1, 1: 1, 3: 1, 2: -1},
    ("hard", 0): {0: -1, 1: 1, 3: 1, 2: -1},
    ("easy", 1): {4: -1, 0: -1, 1: -1},
    ("medium", 1): {4: 1, 0: -1, 1: -1},
    ("hard", 1): {4: 1, 0: -1, 1: -1},
    ("easy", 2): {2: 1, 4: 1},
    ("medium", 2): {2: 1, 4: 1},
    ("hard", 2): {2: -1, 4: -1},
}


def photo(file: Path, seed: int) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    Image.fromarray(pixels).resize((48, 32)).save(file, "JPEG", quality=95)


def as_arrays(truth: dict) -> dict:
    """An empty list becomes an array of floats."""
    return {name: np.array(held) for name, held in truth.items()}


@pytest.fixture(params=["lists", "arrays", "Python 2"])
def root(request, tmp_path, python2) -> Path:
    root = tmp_path / "roxford5k"
    for seed, name in enumerate([*GALLERY, *QUERIES, "radcliffe_camera_000006"]):
        photo(root / "jpg" / f"{name}.jpg", seed)
    gnd = GND if request.param == "lists" else [as_arrays(truth) for truth in GND]
    held = {"imlist": GALLERY, "qimlist": QUERIES, "gnd": gnd}
    dumps = python2 if request.param == "Python 2" else pickle.dumps
    (root / "gnd_roxford5k.pkl").write_bytes(dumps(held))
    return root


def declared(root: Path, **fields) -> Revisited:
    fields = {
        "retrieval": {"query": "query", "gallery": "gallery"},
        "vocabulary": "none",
        "ground_truth": "gnd_roxford5k.pkl",
        "controls": {"protocol": "revisited"},
    } | fields
    return Revisited(layout="revisited", root=root, **fields)


def test_the_miniature(root, tmp_path) -> None:
    sizes = {"query": {"images": 3}, "gallery": {"images": 5, "texts": 0}}
    made = prepare(declared(root, sizes=sizes), tmp_path)
    assert made.items[["id", "split", "path"]].to_numpy().tolist() == [
        *([f"query/{name}", "query", f"jpg/{name}.jpg"] for name in QUERIES),
        *([name, "gallery", f"jpg/{name}.jpg"] for name in GALLERY),
    ]
    boxes = [manifest.corners(box) for box in made.items["box"].dropna()]
    assert boxes == [tuple(truth["bbx"]) for truth in GND]
    assert made.items["box"].isna().tolist() == [False] * 3 + [True] * 5
    expected = {
        (setting, f"query/{QUERIES[query]}", GALLERY[item], grade)
        for (setting, query), grades in GRADES.items()
        for item, grade in grades.items()
    }
    assert set(made.judgements.itertuples(index=False, name=None)) == expected
    assert len(made.judgements) == len(expected)


def test_queries_are_cropped(root, tmp_path) -> None:
    items = prepare(declared(root), tmp_path).items
    sizes = []
    for row in manifest.select(items, "image", "query").itertuples():
        whole = decode(row.path, read_bytes(root, row.path))
        image = crop(row.path, whole, manifest.corners(row.box))
        sizes.append(image.size)
    assert sizes == [(36, 28), (48, 32), (10, 10)]
    np.testing.assert_array_equal(np.asarray(image), np.asarray(whole)[5:15, 10:20])
    assert "box" not in prepare(declared(root, crop_queries=False), tmp_path).items


def naive(similar: np.ndarray, lists: list[tuple[list[int], list[int]]]) -> float:
    """mAP of the protocol, a query at a time: junk leaves the ranking, the area is of trapezia.

    Args:
        similar: `(queries, gallery)`.
        lists: of each query the relevant and the ignored places.
    """
    found = []
    for row, (relevant, ignored) in zip(similar, lists, strict=True):
        if not relevant:
            continue
        ranking = [place for place in sorted(range(len(row)), key=lambda i: -row[i]) if place not in ignored]
        area = 0.0
        for hits, rank in enumerate(sorted(ranking.index(place) for place in relevant)):
            before = 1.0 if rank == 0 else hits / rank
            area += (before + (hits + 1) / (rank + 1)) / 2 / len(relevant)
        found.append(area)
    return sum(found) / len(found)


def test_map_of_toy_features_against_a_loop(root, tmp_path) -> None:
    made = prepare(declared(root), tmp_path)
    parts = [made.items[made.items["split"] == split] for split in ("query", "gallery")]
    queries, gallery = (np.stack([toy(root, row) for row in part.itertuples()]) for part in parts)
    similar = queries @ gallery.T
    for setting in ("easy", "medium", "hard"):
        table = judged_metrics(
            queries,
            gallery,
            made.judgements[made.judgements["setting"] == setting],
            query_ids=parts[0]["id"],
            gallery_ids=parts[1]["id"],
            protocol="revisited",
        )
        lists = []
        for number in range(3):
            grades = GRADES[setting, number]
            lists.append(([i for i, g in grades.items() if g > 0], [i for i, g in grades.items() if g < 0]))
        silent = sum(not relevant for relevant, _ in lists)
        found = summarise(table)
        assert found["mAP"] == pytest.approx(naive(similar, lists), abs=1e-12)
        assert (found["queries"], found["queries_without_relevant"]) == (3 - silent, silent)


def toy(root: Path, row) -> np.ndarray:
    """A unit feature of an item: its pixels' colours, after the crop."""
    image = decode(row.path, read_bytes(root, row.path))
    if row.box is not None:
        image = crop(row.path, image, manifest.corners(row.box))
    pixels = np.asarray(image.resize((3, 2)), float).ravel() - 128
    return pixels / np.linalg.norm(pixels)


def test_distractors_join_the_gallery(root, tmp_path) -> None:
    names = ["1/10000005.jpg", "2/10000042.jpeg"]
    for seed, name in enumerate(names):
        photo(root / "revisitop1m" / "jpg" / name, 100 + seed)
    (root / "revisitop1m" / "revisitop1m.txt").write_text("\n".join(names) + "\n")
    made = prepare(declared(root, distractors="revisitop1m"), tmp_path)
    gallery = manifest.select(made.items, "image", "gallery")
    assert gallery["id"].tolist() == [*GALLERY, "revisitop1m/jpg/1/10000005", "revisitop1m/jpg/2/10000042"]
    assert set(made.judgements["item"]) <= set(GALLERY)
    (root / "revisitop1m" / "revisitop1m.txt").write_text("\n")
    with pytest.raises(DatasetError, match=r"revisitop1m\.txt is empty"):
        read(declared(root, distractors="revisitop1m"), tmp_path)
    with pytest.raises(DatasetError, match=r"has no 1m/revisitop1m\.txt: download it, or mend `distractors`"):
        read(declared(root, distractors="1m"), tmp_path)


def test_a_missing_image_and_its_judgements(root, tmp_path) -> None:
    (root / "jpg" / f"{GALLERY[1]}.jpg").unlink()
    with pytest.raises(DatasetError, match=rf"1 × no such file\n  jpg/{GALLERY[1]}\.jpg"):
        prepare(declared(root), tmp_path)
    made = prepare(declared(root, on_problem="set_aside"), tmp_path)
    assert GALLERY[1] not in set(made.judgements["item"])


def test_a_box_outside_of_the_image(root, tmp_path) -> None:
    gnd = [{**GND[0], "bbx": [0.0, 0.0, 60.0, 32.0]}, *GND[1:]]
    held = {"imlist": GALLERY, "qimlist": QUERIES, "gnd": gnd}
    (root / "gnd_roxford5k.pkl").write_bytes(pickle.dumps(held))
    with pytest.raises(DatasetError, match=r"all_souls_000013.jpg: box 0 0 60 32: not within"):
        prepare(declared(root), tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda held: held.pop("imlist"), "imlist is no list of names"),
        (lambda held: held["qimlist"].pop(), "gnd is no list of 2 queries"),
        (lambda held: held.update(gnd={}), "gnd is no list of 3 queries"),
        (lambda held: held["gnd"].__setitem__(1, [1]), r"gnd\[1\] is a list, not a dict"),
        (lambda held: held["gnd"][1].update(bbx=[1, 2, 3]), r"gnd\[1\]: bbx \[1, 2, 3\] is no box"),
        (lambda held: held["gnd"][1].update(bbx=None), r"gnd\[1\]: bbx None is no box"),
        (lambda held: held["gnd"][2].update(easy=[5]), r"gnd\[2\]: easy has 5, imlist 5 images"),
        (lambda held: held["gnd"][2].update(easy=[-1]), r"gnd\[2\]: easy has -1, imlist 5 images"),
        (lambda held: held["gnd"][2].pop("junk"), r"gnd\[2\]: junk is no list of whole numbers"),
        (lambda held: held["gnd"][2].update(hard=["a"]), r"gnd\[2\]: hard is no list of whole numbers"),
    ],
)
def test_pickles_that_hold_something_else(root, tmp_path, change, message) -> None:
    held = {"imlist": list(GALLERY), "qimlist": list(QUERIES), "gnd": [dict(truth) for truth in GND]}
    change(held)
    (root / "gnd_roxford5k.pkl").write_bytes(pickle.dumps(held))
    with pytest.raises(DatasetError, match=message):
        read(declared(root), tmp_path)


def test_the_original_oxford_is_another_pickle(root, tmp_path) -> None:
    """Its `ok` and `junk` are not the revisited lists."""
    held = {"imlist": GALLERY, "qimlist": QUERIES}
    held |= {"gnd": [{"bbx": truth["bbx"], "ok": [1], "junk": [2]} for truth in GND]}
    (root / "gnd_oxford5k.pkl").write_bytes(pickle.dumps(held))
    with pytest.raises(DatasetError, match=r"gnd\[0\]: easy is no list"):
        read(declared(root, ground_truth="gnd_oxford5k.pkl"), tmp_path)


def test_what_is_missing(root, tmp_path) -> None:
    with pytest.raises(
        DatasetError, match=r"has no gnd_rparis6k.pkl: download it again, or mend `ground_truth`"
    ):
        read(declared(root, ground_truth="gnd_rparis6k.pkl"), tmp_path)
    with pytest.raises(DatasetError, match=r"root .*elsewhere is no folder"):
        read(declared(tmp_path / "elsewhere"), tmp_path)
    (root / "jpg").rename(root / "images")
    with pytest.raises(DatasetError, match=r"has no jpg: put the images themselves into it"):
        read(declared(root), tmp_path)


def test_a_pickle_that_would_execute(root, tmp_path) -> None:
    mark = tmp_path / "mark"
    evil = b"cos\nsystem\n(S'touch " + os.fsencode(mark) + b"'\ntR."
    (root / "gnd_roxford5k.pkl").write_bytes(evil)
    with pytest.raises(DatasetError, match=r"names os\.system, which is not executed"):
        read(declared(root), tmp_path)
    assert not mark.exists()
    pd.DataFrame({"imlist": GALLERY}).to_pickle(root / "gnd_roxford5k.pkl")
    with pytest.raises(DatasetError, match=r"names pandas\."):
        read(declared(root), tmp_path)


@pytest.mark.parametrize("root", ["Python 2"], indirect=True)
def test_a_pickle_that_was_read_with_bytes_and_pickled_again(root, tmp_path) -> None:
    before = prepare(declared(root), tmp_path)
    file = root / "gnd_roxford5k.pkl"
    held = pickle.loads(file.read_bytes(), encoding="bytes")
    assert b"imlist" in held
    file.write_bytes(pickle.dumps(held))
    after = prepare(declared(root), tmp_path)
    pd.testing.assert_frame_equal(before.items, after.items)
    pd.testing.assert_frame_equal(before.judgements, after.judgements)


def test_images_one_folder_deeper_are_told(root, tmp_path) -> None:
    (root / "jpg").rename(root / "inner")
    (root / "jpg").mkdir()
    (root / "inner").rename(root / "jpg/jpg")
    with pytest.raises(
        DatasetError, match=r"8 images are listed in jpg and lie one folder deeper, in jpg/jpg: move"
    ):
        prepare(declared(root), tmp_path)
