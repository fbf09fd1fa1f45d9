"""SIMAT's files: a miniature in their own layout, and the real tables."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from pydantic import TypeAdapter, ValidationError
from typer.testing import CliRunner

from crossgap import open_store
from crossgap.cli import app
from crossgap.datasets import simat
from crossgap.datasets.declared import DatasetError, Declaration, Simat
from crossgap.datasets.preparing import prepare
from crossgap.encode import encode
from crossgap.evaluation import Cell, evaluate
from crossgap.prepared import manifest
from crossgap.prepared.transformations import Transformations
from tests.rows import unit

SAME = {"query": "test", "gallery": "test"}
# region: image, box, subject, object, row of the matrix
REGIONS = {
    "7": ("100", "0,0,20,20", "dog", "sofa", 2),
    "11": ("100", "10,5,40,30", "cat", "sofa", 0),
    "12": ("205", "0,0,40,30", "dog", "field", 5),
    "30": ("205", "3,3,33,23", "cat", "field", 1),
    "31": ("300", "1,0,39,29", "dog", "field", 4),
    "99": ("300", "0,1,25,30", "bear", "sofa", 3),
}
CAPTIONS = ["dog sofa", "cat sofa", "dog field", "cat field", "bear sofa"]
# of region, the word that is replaced and what by, the caption that the answer should show, test or not
TRANSFOS = [
    ("7", "dog", "cat", 1, True),
    ("7", "sofa", "field", 2, True),
    ("11", "cat", "dog", 0, True),
    ("12", "dog", "cat", 3, False),
    ("12", "field", "sofa", 0, False),
    ("30", "cat", "dog", 2, False),
]
NORM = {"dog": 2, "cat": 2, "sofa": 1, "field": 1}
ANSWERS = {("1", "11"), ("2", "12"), ("2", "31"), ("0", "7"), ("3", "30")}


def matrix() -> np.ndarray:
    found = np.full((len(REGIONS), len(CAPTIONS)), 0.5, np.float32)  # 0.5 is not above 0.5
    for _, _, subject, thing, row in REGIONS.values():
        found[row, CAPTIONS.index(f"{subject} {thing}")] = 0.5001
    return found


def write(folder: Path) -> Path:
    """SIMAT's tables and Visual Genome's images, in two folders as it is distributed."""
    rng = np.random.default_rng(0)
    for number, image in enumerate(("100", "205", "300", "999")):
        file = folder / "vg" / f"VG_100K{'_2' * (number % 2)}" / f"{image}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (30, 40, 3), np.uint8)).save(file)
    tables = folder / "simat_db"
    tables.mkdir()
    triplets = [f"{region},{s},near,{o},{row}" for region, (_, _, s, o, row) in REGIONS.items()]
    (tables / "triplets.csv").write_text("\n".join(["region_id,subj,rel,obj,dataset_id", *triplets, ""]))
    database = ["region_id\timage_id\tsubj_attr\tbbox", "5\t1\tbig,brown\t0,0,9,9"]
    database += [f"{region}\t{image}\t\t{box}" for region, (image, box, *_) in REGIONS.items()]
    (tables / "retrieval_db.tsv").write_text("\n".join([*database, ""]))
    header = ",transfo_id,region_id,field,value,target,norm,query_ids,target_ids,dataset_id,norm2,is_test"
    rows = [
        f"{n + 3},{n},{region},subj,{value},{target},9,0,{caption},777,{NORM[value]},{is_test}"
        for n, (region, value, target, caption, is_test) in enumerate(TRANSFOS)
    ]
    (tables / "transfos.csv").write_text("\n".join([header, *rows, ""]))
    torch.save(torch.from_numpy(matrix()), tables / "oscar_similarity_matrix.pt")
    return tables


def declared(folder: Path, **fields) -> Simat:
    given = {"layout": "simat", "root": folder / "vg", "tables": folder / "simat_db", "retrieval": SAME}
    return TypeAdapter(Declaration).validate_python(given | {"vocabulary": "none"} | fields)


@pytest.fixture
def tables(tmp_path) -> Path:
    return write(tmp_path)


def told(frame: pd.DataFrame) -> list[tuple]:
    return list(frame.itertuples(index=False, name=None))


EXPECTED = [
    (
        region,
        f"classes/word/{value}#0",
        f"classes/word/{target}#0",
        str(caption),
        NORM[value] ** -0.5,
        "test" if is_test else "dev",
    )
    for region, value, target, caption, is_test in TRANSFOS
]


def test_the_miniature_becomes_a_manifest_and_transformations(tables, tmp_path) -> None:
    made = prepare(declared(tmp_path), tmp_path)
    images, words = manifest.select(made.items, "image"), manifest.select(made.items, "text")
    assert images["id"].tolist() == ["11", "30", "7", "99", "31", "12"]  # in the matrix's order
    assert set(images["split"]) == {"test"}
    for item in images.itertuples():
        image, box, *_ = REGIONS[item.id]
        assert Path(item.path).stem == image and item.box.split() == [f"{side}.0" for side in box.split(",")]
    assert told(words[["id", "text", "split", "label.word"]]) == [
        (f"classes/word/{word}#0", word, "classes", word) for word in ("cat", "dog", "field", "sofa")
    ]
    assert told(made.transformations.table) == EXPECTED
    assert set(told(made.transformations.answers)) == ANSWERS
    assert made.problems.empty and made.judgements is None


@pytest.mark.parametrize("ending", [".npy", ".npz"])
def test_the_matrix_may_be_numpys(tables, tmp_path, ending) -> None:
    (tables / "oscar_similarity_matrix.pt").unlink()
    file = tables / f"oscar_similarity_matrix{ending}"
    np.save(file, matrix()) if ending == ".npy" else np.savez(file, matrix().astype(np.float16))
    made = prepare(declared(tmp_path), tmp_path).transformations
    expected = ANSWERS if ending == ".npy" else set()  # 0.5001 is 0.5 in half precision
    assert set(told(made.answers)) == expected


def by_hand(ids, images, words, texts, scale: float, is_test: bool) -> float:
    images, texts, ids, words = unit(images), unit(texts), list(ids), list(words)
    total = gained = 0.0
    for region, value, target, caption, at in TRANSFOS:
        if at == is_test:
            query = images[ids.index(region)] + scale * (
                texts[words.index(target)] - texts[words.index(value)]
            )
            five = np.argsort(-(images @ query), kind="stable")[:5]
            answer = ids[five[0]] if ids[five[0]] != region else ids[five[1]]
            gained += NORM[value] ** -0.5 * ((str(caption), answer) in ANSWERS)
            total += NORM[value] ** -0.5
    return gained / total


def test_the_miniature_through_a_backbone_to_its_scores(tables, tmp_path, tiny) -> None:
    declaration = declared(tmp_path)
    made = prepare(declaration, tmp_path)
    where = {"provenance": {}, "scratch": tmp_path / "scratch", "transformations": made.transformations}
    encode(made.items, declaration.root, tiny, tmp_path / "s.zip", **where)
    store = open_store(tmp_path / "s.zip")
    images, words = store["image/test"], store["text/classes"]
    for region in ("7", "12"):  # of the pixels in the box, of the bare word
        image, box, *_ = REGIONS[region]
        path = next((tmp_path / "vg").rglob(f"{image}.jpg"))
        crop = Image.open(path).crop([int(side) for side in box.split(",")])
        feature = tiny.encode_images(tiny.transform(crop)[None]).features.numpy()[0]
        assert np.allclose(images.features[list(images.ids).index(region)], feature, atol=1e-5)
    bare = tiny.encode_texts(tiny.tokenize(["dog"])[0]).features.numpy()[0]
    assert np.allclose(words.features[list(words.labels["word"]).index("dog")], bare, atol=1e-5)

    found = evaluate(Cell(store, None, None, "test", "test"), resamples=199)
    of = images.ids, images.features, words.labels["word"], words.features
    table = found.arithmetic.set_index(["protocol", "split", "scale"])
    for (protocol, split, scale), row in table.iterrows():
        assert protocol == "simat" and row["transformations"] == 3
        assert row["score"] == pytest.approx(by_hand(*of, scale, split == "test"), abs=1e-6)
        assert 0 <= row["low"] <= row["score"] <= row["high"] <= 1
    for split in ("dev", "test"):
        expected = by_hand(*of, 1, split == "test")
        assert found.metrics[f"arithmetic/simat/{split}/score"] == pytest.approx(expected, abs=1e-6)
    assert "gap/centroid_distance" in found.metrics  # between regions and words


def test_regions_that_are_set_aside_are_asked_nothing_and_answer_nothing(tables, tmp_path) -> None:
    next((tmp_path / "vg").rglob("205.jpg")).unlink()
    with pytest.raises(DatasetError, match=r"2 bad items: 2 × no image[\s\S]*region 30: .*named 205.jpg"):
        prepare(declared(tmp_path), tmp_path)
    made = prepare(declared(tmp_path, on_problem="set_aside"), tmp_path)
    assert set(made.problems["id"]) == {"12", "30"}
    assert told(made.transformations.table) == EXPECTED[:3]
    assert set(told(made.transformations.answers)) == {("1", "11"), ("2", "31"), ("0", "7")}


def replaced(file: str, old: str, new: str):
    def change(tables: Path) -> None:
        text = (tables / file).read_text()
        assert old in text
        (tables / file).write_text(text.replace(old, new))

    return change


def saved(array: np.ndarray):
    return lambda tables: torch.save(torch.from_numpy(array), tables / "oscar_similarity_matrix.pt")


class Unpickled:
    def __reduce__(self):
        return (Path.touch, (Path("unpickled"),))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: (t / "triplets.csv").unlink(), r"triplets.csv can't be read: No such file"),
        (lambda t: (t / "transfos.csv").unlink(), r"transfos.csv can't be read: No such file"),
        (lambda t: (t / "retrieval_db.tsv").unlink(), r"retrieval_db.tsv can't be read: No such file"),
        (lambda t: (t / "oscar_similarity_matrix.pt").unlink(), "holds none of oscar_similarity_matrix.pt, "),
        (lambda t: (t / "oscar_similarity_matrix.pt").write_bytes(b"\x00" * 99), "can't be read as one array"),
        (lambda t: torch.save([1], t / "oscar_similarity_matrix.pt"), "can't be read as one array"),
        (lambda t: torch.save(Unpickled(), t / "oscar_similarity_matrix.pt"), "other objects, which are never loaded"),
        (saved(matrix().T), r"shape \(5, 6\): .* ask for 6 rows, one a region, and 4 columns or more"),
        (saved(matrix()[:, :3]), r"shape \(6, 3\): .* 4 columns or more, one a caption"),
        (saved(np.full((6, 5), np.nan)), "holds NaN or infinity"),
        (replaced("triplets.csv", "sofa,2", "sofa,0"), r"line 3: dataset_id 0 is that of region 7 already"),
        (replaced("triplets.csv", "sofa,2", "sofa,6"), "dataset_id doesn't number the 6 regions from 0"),
        (replaced("triplets.csv", "sofa,2", "sofa,x"), "line 2: dataset_id is 'x': it is a whole number"),
        (replaced("triplets.csv", "\n12,", "\n7,"), "a region is there twice"),
        (replaced("triplets.csv", "\n12,", "\n13,"), r"transfos.csv line 5: triplets.csv has no region '12'"),
        (replaced("retrieval_db.tsv", "\n12\t", "\n13\t"), "retrieval_db.tsv lacks the regions 12 of triplets"),
        (replaced("retrieval_db.tsv", "10,5,40,30", "10,5,40"), "line 4: bbox of region 11: '10 5 40' is not four"),
        (replaced("retrieval_db.tsv", "10,5,40,30", "40,5,40,30"), "bbox of region 11: .* is empty"),
        (replaced("retrieval_db.tsv", "10,5,40,30", "10,5,80,30"), r"box 10 5 80 30: not within the image's 40 × 30"),
        (replaced("retrieval_db.tsv", "bbox", "box"), "has 0 columns 'bbox'"),
        (replaced("transfos.csv", "9,0,1,777,2,True", "9,0,1,777,2,yes"), "line 2: is_test is 'yes'"),
        (replaced("transfos.csv", "9,0,1,777,2,True", "9,0,-1,777,2,True"), "line 2: target_ids is '-1'"),
        (replaced("transfos.csv", "9,0,1,777,2,True", "9,0,1,777,0,True"), "line 2: norm2 is 0"),
        (replaced("transfos.csv", "subj,dog,cat,9,0,1", "subj,,cat,9,0,1"), "line 2: value or target is no word"),
        (replaced("transfos.csv", "subj,dog,cat,9,0,1", "subj,dog,dog,9,0,1"), "the target is the source"),
    ],
)  # fmt: skip
def test_damaged_files_are_named_before_any_work(tables, tmp_path, change, message, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    change(tables)
    with pytest.raises(DatasetError, match=message):
        prepare(declared(tmp_path), tmp_path)
    assert not (tmp_path / "unpickled").exists()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"max_images": 3}, "max_images"),
        ({"boxes": "b.csv"}, "boxes"),
        ({"retrieval": {"query": "test", "gallery": "train"}}, "'train' is none of the splits read"),
        ({"tables": None}, "tables"),
    ],
)
def test_declarations_that_do_not_fit(tmp_path, fields, message) -> None:
    with pytest.raises(ValidationError, match=message):
        declared(tmp_path, **fields)


def test_an_ambiguous_image_is_a_problem(tables, tmp_path) -> None:
    shutil.copy(tmp_path / "vg/VG_100K/300.jpg", tmp_path / "vg/300.jpg")
    with pytest.raises(DatasetError, match=r"2 × ambiguous image[\s\S]*300.jpg or VG_100K/300.jpg"):
        prepare(declared(tmp_path), tmp_path)


def brought(folder: Path, ids=None, words=("sofa", "dog", "field", "cat", "bear")) -> list[str]:
    """Features in which an image is the sum of its words, and the arguments of `crossgap import`."""
    axes = dict(zip(("dog", "cat", "bear", "sofa", "field"), np.eye(5), strict=True))
    features = [axes[subject] + axes[thing] for _, _, subject, thing, _ in REGIONS.values()]
    np.savez(folder / "f.npz", images=features, ids=list(ids or REGIONS), words=list(words))
    np.save(folder / "texts.npy", np.stack([axes[word] for word in words]))
    return [
        "image/test=f.npz:images", "image/test:id=f.npz:ids", "text/classes=texts.npy",
        "text/classes:label.word=f.npz:words", "--simat", "simat_db",
    ]  # fmt: skip


def test_features_computed_elsewhere_with_simats_tables(tables, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["import", "mine", *brought(tmp_path)])
    assert done.exit_code == 0 and "transformations: 6" in done.output, done.output
    store = open_store(tmp_path / "data/imports/mine/native.zarr.zip")
    ids = dict(zip(store["text/classes"].labels["word"], store["text/classes"].ids, strict=True))
    assert told(store.transformations.table[["image", "source", "target"]]) == [
        (region, ids[value], ids[target]) for region, value, target, *_ in TRANSFOS
    ]
    names = [source["file"] for source in store.provenance["imported_from"]][-3:]
    assert names == ["triplets.csv", "transfos.csv", "oscar_similarity_matrix.pt"]

    # u(dog + sofa) − dog + cat is nearest to u(cat + sofa)
    metrics = evaluate(Cell(store, None, None, "test", "test"), resamples=99).metrics
    assert metrics["arithmetic/simat/test/score"] == metrics["arithmetic/simat/dev/score"] == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"ids": ["7", "11", "12", "30", "31", "98"]},
            "2 ids are in one of the features and .* such as '98'",
        ),
        ({"words": ["sofa", "dog", "field", "bear", "bear"]}, "a word is there twice"),
        ({"words": ["sofa", "dog", "field", "bear"]}, "no text for the words cat: encode all 4, bare"),
    ],
)
def test_features_that_are_not_simats_are_refused(tables, tmp_path, monkeypatch, change, message) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["import", "mine", *brought(tmp_path, **change)])
    assert done.exit_code == 1 and re.search(message, done.output), done.output
    assert not (tmp_path / "data/imports").exists()


@pytest.fixture(scope="module")
def real_tables(real, tmp_path_factory) -> Path:
    """The real tables, beside them made-up ones of what may not be had: every region of the database is in use."""
    folder = tmp_path_factory.mktemp("real")
    tables = folder / "simat_db"
    tables.mkdir()
    for name in ("transfos.csv", "retrieval_db.tsv"):
        (tables / name).symlink_to(real / "simat" / name)
    database = pd.read_csv(real / "simat" / "retrieval_db.tsv", sep="\t")
    rng = np.random.default_rng(0)
    triplets = {"region_id": database["region_id"], "dataset_id": rng.permutation(len(database))}
    pd.DataFrame(triplets).to_csv(tables / "triplets.csv", index=False)
    np.save(tables / "oscar_similarity_matrix.npy", rng.random((len(database), 645), dtype=np.float32) ** 4)
    root = folder / "vg"
    root.mkdir()
    for image in database["image_id"].unique():
        (root / f"{image}.jpg").touch()
    return tables


def test_the_real_tables(real, real_tables) -> None:
    raw = pd.read_csv(real / "simat" / "transfos.csv", index_col=0)
    known = simat.regions(real_tables)
    asked = simat.transformations(real_tables, known)
    table = asked.table
    assert len(table) == 17_996 and table["split"].value_counts().to_dict() == {"test": 9063, "dev": 8933}
    assert table["image"].nunique() == 3137
    assert (table["split"] == np.where(raw["is_test"], "test", "dev")).all()
    for ours, theirs in {"image": "region_id", "source": "value", "target": "target"}.items():
        assert (table[ours] == raw[theirs].astype(str).to_numpy()).all()
    # norm2 is the number of transformations with the same source word
    sizes = raw.groupby("value")["value"].transform("size")
    assert (sizes == raw["norm2"]).all() and np.allclose(table["weight"], sizes**-0.5, rtol=1e-15)

    words = np.load(real / "simat" / "words_clip_vit_b32.npz")["words"]
    assert len(simat.words(asked)) == 130 and set(simat.words(asked)) <= set(words)
    texts = {word: simat.word_id(word) for word in words}
    valid = simat.of_items(asked, known, texts)
    assert len(valid.table) == 17_996 and len(valid.answers) == len(asked.answers)

    matrix = np.load(real_tables / "oscar_similarity_matrix.npy")
    at = {region: row for row, region in enumerate(known)}
    shown = set(told(asked.answers))
    rng = np.random.default_rng(1)
    for row in rng.choice(len(raw), 200, replace=False):
        caption, region = raw["target_ids"].iloc[row], rng.choice(known)
        assert ((str(caption), region) in shown) == (matrix[at[region], caption] > 0.5)


def test_the_real_boxes(real, real_tables) -> None:
    known = simat.regions(real_tables)
    none = Transformations(pd.DataFrame({"source": [], "target": []}), pd.DataFrame())
    reading = simat.reading(declared(real_tables.parent), known, none)
    assert not reading.problems and reading.frame["id"].tolist() == known
    raw = pd.read_csv(real / "simat" / "retrieval_db.tsv", sep="\t", dtype=str).set_index("region_id")
    for item in reading.frame.iloc[::50].itertuples():
        assert [float(side) for side in raw["bbox"][item.id].split(",")] == list(manifest.corners(item.box))
        assert item.path == f"{raw['image_id'][item.id]}.jpg"
