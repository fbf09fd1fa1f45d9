from __future__ import annotations

import csv
import io
import tarfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from pydantic import TypeAdapter, ValidationError

from crossgap.datasets import readers
from crossgap.datasets.checking import checked
from crossgap.datasets.checks import Checks
from crossgap.datasets.declared import Captions, DatasetError, Declaration, ImageFolder
from crossgap.datasets.reading import SET_ASIDE_WITH_IMAGE, image_ids
from crossgap.prepared import manifest


def read(declaration):
    frame, problems, *_ = readers.read(declaration, declaration.root)
    return frame, problems


def prepare(declaration, workers=2):
    return checked(
        declaration, readers.read(declaration, declaration.root), Checks(declaration.root), workers
    )


def photo(seed: int, kind: str = "JPEG") -> bytes:
    noise = np.random.default_rng(seed).integers(0, 256, (24, 24, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, kind)
    return file.getvalue()


def put(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


def pack(tar: Path, files: dict[str, bytes]) -> Path:
    tar.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(tar, "w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return tar


def captions_file(
    path: Path, rows: list[tuple[str, ...]], header: tuple[str, ...] = ("image", "caption")
) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return path


SAME = {"query": "test", "gallery": "test"}


def captioned(root: Path, file: Path, gallery: str = "test", **fields) -> Captions:
    retrieval = {"query": "test", "gallery": gallery}
    return Captions(layout="captions", root=root, captions=file, retrieval=retrieval, **fields)


IMAGES = {f"{name}.jpg": photo(i) for i, name in enumerate("abc")}
ROWS = [(f"{name}.jpg", f"photo {name}, view {k}") for name in "abc" for k in (2, 0, 1)]


def kinds(problems: pd.DataFrame) -> list[str]:
    return [problem.split(":")[0] for problem in problems["problem"]]


# captions


def test_captions_make_the_manifest(tmp_path):
    declaration = captioned(put(tmp_path / "root", IMAGES), captions_file(tmp_path / "c.csv", ROWS))
    frame, problems = prepare(declaration, workers=2)
    assert problems.empty and list(problems) == ["id", "item", "problem"]
    images, texts = manifest.select(frame, "image"), manifest.select(frame, "text")
    assert images["id"].tolist() == ["a", "b", "c"] and images["path"].tolist() == list(IMAGES)
    assert texts["text"].tolist() == [text for _, text in ROWS]
    assert texts["group"].tolist() == [name[0] for name, _ in ROWS]
    assert texts["rank"].tolist() == [0, 1, 2] * 3
    assert texts["id"].tolist() == [manifest.caption_id(name[0], text) for name, text in ROWS]
    assert texts["digest"].tolist() == [manifest.text_digest(text) for _, text in ROWS]
    assert set(frame["split"]) == {"test"}


def test_folder_tar_and_tar_in_a_folder_give_equal_manifests(tmp_path):
    files = {f"deep/{name}": data for name, data in IMAGES.items()}
    rows = captions_file(tmp_path / "c.csv", ROWS)
    folder, _ = prepare(captioned(put(tmp_path / "folder", files), rows))
    tar, _ = prepare(captioned(pack(tmp_path / "x.tar", files), rows))
    pd.testing.assert_frame_equal(folder, tar)
    pack(tmp_path / "tars" / "deep.tar", IMAGES)
    inside, _ = prepare(captioned(tmp_path / "tars", rows))
    pd.testing.assert_frame_equal(folder.drop(columns="path"), inside.drop(columns="path"))
    assert inside["path"][0] == "deep.tar/a.jpg"


def test_own_names_of_columns_and_splits(tmp_path):
    root = put(tmp_path / "root", IMAGES)
    rows = [("x", "a.jpg", "one", "train"), ("y", "b.jpg", "two", "test"), ("z", "c.jpg", "three", "train")]
    file = captions_file(tmp_path / "c.csv", rows, ("comment", "file", "sentence", "fold"))
    names = {"image_column": "file", "caption_column": "sentence"}
    frame, _ = prepare(captioned(root, file, split_column="fold", gallery="train", **names))
    assert frame["split"].tolist() == ["train", "test", "train"] * 2
    frame, _ = prepare(captioned(root, file, **names))
    assert set(frame["split"]) == {"test"}
    file = captions_file(tmp_path / "c.csv", rows, ("comment", "file", "sentence", "split"))
    frame, _ = prepare(captioned(root, file, **names))
    assert frame["split"].tolist() == ["train", "test", "train"] * 2
    with pytest.raises(DatasetError, match=r"gallery: split 'val' .* no images; splits: test, train"):
        prepare(captioned(root, file, gallery="val", **names))


def test_the_same_caption_of_two_commenters_is_two_captions(tmp_path):
    root = put(tmp_path / "root", {"a.jpg": IMAGES["a.jpg"]})
    rows = [("a.jpg", "0", "A dog."), ("a.jpg", "1", "A dog."), ("a.jpg", "2", "Dog!")]
    file = captions_file(tmp_path / "c.csv", rows, ("image", "commenter", "caption"))
    frame, _ = prepare(captioned(root, file))
    first = manifest.caption_id("a", "A dog.")
    assert frame["id"].tolist() == ["a", first, f"{first}-2", manifest.caption_id("a", "Dog!")]


def test_names_match_by_path_then_by_a_unique_ending(tmp_path):
    files = {"one/a.jpg": photo(0), "two/a.jpg": photo(1), "two/b.jpg": photo(2), "a.jpg": photo(3)}
    root = put(tmp_path / "root", files)
    rows = [
        ("a.jpg", "the one on top"),
        ("two/a.jpg", "by path"),
        ("./b.jpg", "by name"),
        ("one/a.jpg", "one"),
    ]
    frame, problems = prepare(captioned(root, captions_file(tmp_path / "c.csv", rows)))
    assert problems.empty
    texts = manifest.select(frame, "text")
    assert dict(zip(texts["text"], texts["group"], strict=True)) == {
        "the one on top": "a",
        "by path": "two/a",
        "by name": "two/b",
        "one": "one/a",
    }
    (root / "a.jpg").unlink()
    with pytest.raises(
        DatasetError, match=r"line 2: a\.jpg: caption for an ambiguous image: one/a\.jpg or two/a"
    ):
        prepare(captioned(root, tmp_path / "c.csv"))
    rows = [("three/b.jpg", "another folder's b")]
    with pytest.raises(DatasetError, match="caption for no image"):
        prepare(captioned(root, captions_file(tmp_path / "c.csv", rows)))


def test_a_composed_name_finds_the_decomposed_file(tmp_path):
    root = put(tmp_path / "root", {"cafe\u0301.jpg": photo(0)})
    frame, _ = prepare(captioned(root, captions_file(tmp_path / "c.csv", [("caf\u00e9.jpg", "a café")])))
    assert frame["id"][0] == "caf\u00e9" and frame["path"][0] == "cafe\u0301.jpg"


@pytest.fixture
def damaged(tmp_path) -> Captions:
    """One problem of each kind, and image `a` which is fine."""
    root = put(
        tmp_path / "root",
        IMAGES
        | {
            "b.jpg": photo(1)[:500],
            "c.jpg": b"",
            "d.jpg": b"no image",
            "lonely.jpg": photo(4),
            "both.jpg": photo(5),
        },
    )
    rows = [
        ("a.jpg", " ", "test"),  # line 2: empty
        ("a.jpg", "fine", "test"),
        ("a.jpg", "fine", "test"),  # line 4: duplicate
        ("b.jpg", "cut", "test"),
        ("b.jpg", "cut twice", "test"),
        ("c.jpg", "zero", "test"),
        ("d.jpg", "text", "test"),
        ("gone.jpg", "nothing here", "test"),  # line 9: no image
        ("both.jpg", "first", "train"),
        ("both.jpg", "second", "test"),
        ("a.jpg", "unsplit", ""),  # line 12: no split
    ]
    return captioned(root, captions_file(tmp_path / "c.csv", rows, ("image", "caption", "split")))


def test_all_problems_are_told_with_counts_and_the_remedy(damaged):
    with pytest.raises(DatasetError) as error:
        prepare(damaged)
    message = str(error.value)
    assert "8 bad items" in message and "set_aside" in message and SET_ASIDE_WITH_IMAGE not in message
    for line in [
        "c.csv line 2: a.jpg: empty caption",
        "c.csv line 4: a.jpg: duplicate row",
        "c.csv line 9: gone.jpg: caption for no image",
        "c.csv line 12: a.jpg: no split",
        "both.jpg: in several splits: test, train",
        "b.jpg: truncated or damaged: ",
        "c.jpg: empty file (0 bytes)",
        "d.jpg: not an image",
    ]:
        assert f"  {line}" in message


def test_problems_are_set_aside_and_listed(damaged):
    frame, problems = prepare(damaged.model_copy(update={"on_problem": "set_aside"}))
    assert frame["id"].tolist() == ["a", manifest.caption_id("a", "fine")]
    assert frame["rank"].tolist() == [0, 0]
    listed = dict(zip(zip(problems["id"], problems["item"], strict=True), kinds(problems), strict=True))
    assert listed == {
        (manifest.caption_id("a", ""), "c.csv line 2: a.jpg"): "empty caption",
        (manifest.caption_id("a", "fine"), "c.csv line 4: a.jpg"): "duplicate row",
        (manifest.caption_id("gone", "nothing here"), "c.csv line 9: gone.jpg"): "caption for no image",
        (manifest.caption_id("a", "unsplit"), "c.csv line 12: a.jpg"): "no split",
        ("both", "both.jpg"): "in several splits",
        (manifest.caption_id("both", "first"), "caption: first"): SET_ASIDE_WITH_IMAGE,
        (manifest.caption_id("both", "second"), "caption: second"): SET_ASIDE_WITH_IMAGE,
        ("b", "b.jpg"): "truncated or damaged",
        ("c", "c.jpg"): "empty file (0 bytes)",
        ("d", "d.jpg"): "not an image that Pillow can read",
        (manifest.caption_id("b", "cut"), "caption: cut"): SET_ASIDE_WITH_IMAGE,
        (manifest.caption_id("b", "cut twice"), "caption: cut twice"): SET_ASIDE_WITH_IMAGE,
        (manifest.caption_id("c", "zero"), "caption: zero"): SET_ASIDE_WITH_IMAGE,
        (manifest.caption_id("d", "text"), "caption: text"): SET_ASIDE_WITH_IMAGE,
    }


def test_only_twenty_of_many_problems_are_listed(tmp_path):
    root = put(tmp_path / "root", IMAGES)
    rows = [*ROWS, *((f"gone{i}.jpg", "x") for i in range(23))]
    with pytest.raises(DatasetError, match="23 bad items: 23 × caption for no image") as error:
        prepare(captioned(root, captions_file(tmp_path / "c.csv", rows)))
    assert str(error.value).count("line ") == 20 and "… and 3 more" in str(error.value)


def test_nothing_left_is_an_error_even_when_set_aside(tmp_path):
    root = put(tmp_path / "root", {"a.jpg": b""})
    file = captions_file(tmp_path / "c.csv", ROWS[:3])
    with pytest.raises(DatasetError, match=r"query: split 'test' .* has no images; splits: none"):
        prepare(captioned(root, file, on_problem="set_aside"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (
            b"file,caption\na.jpg,x\n",
            r"line 1: the header 'file,caption' has 0 columns 'image'.*`image_column`",
        ),
        (b"image:caption\na.jpg:x\n", r"line 1: the header 'image:caption' has 0 columns 'image'"),
        (b"a.jpg,One.\nb.jpg,Two.\n", r"line 1: .* if there is no header, write one above the first row"),
        (b"image,caption,image\na.jpg,x,a.jpg\n", "line 1: .* has 2 columns 'image'"),
        (b"image,caption\na.jpg,x\n\nb.jpg;y\n", "line 4: columns: 1, in the header: 2"),
        (b"image,caption\na.jpg,one, two\n", "line 2: columns: 3, in the header: 2; .* quote"),
        (b'image,caption\na.jpg,"x\ny"\nb.jpg\n', "line 4: columns: 1"),
        (b'image,caption\na.jpg,x\nb.jpg,"y" z\nc.jpg,z\n', "line 3: .*mend the quotes"),
        (b'image,caption\na.jpg,x\nb.jpg,"y\nc.jpg,z\n', "line 3: .*mend the quotes"),
        ("image,caption\na.jpg,x\nb.jpg,caf\u00e9\n".encode("latin-1"), "line 3: not UTF-8"),
        (
            b"image,caption\na.jpg,\"['A dog', 'A cat']\"\n",
            "line 2: .* is a list written as a text: give a row for each",
        ),
    ],
)
def test_a_malformed_captions_file_is_told_by_line(tmp_path, content, message):
    (tmp_path / "c.csv").write_bytes(content)
    with pytest.raises(DatasetError, match=message) as error:
        read(captioned(put(tmp_path / "root", IMAGES), tmp_path / "c.csv"))
    assert str(tmp_path / "c.csv") in str(error.value)


def test_byte_order_mark_windows_lines_quotes_and_line_breaks_are_read(tmp_path):
    text = '\ufeffimage,caption\r\na.jpg,"a ""big"", red\r\ndog"\r\nb.jpg,5" tall \r\n'
    (tmp_path / "c.csv").write_bytes(text.encode())
    root = put(tmp_path / "root", {name: IMAGES[name] for name in ("a.jpg", "b.jpg")})
    frame, _ = read(captioned(root, tmp_path / "c.csv"))
    assert frame["text"].tolist()[2:] == ['a "big", red\r\ndog', '5" tall']


def test_missing_places_are_told(tmp_path):
    with pytest.raises(DatasetError, match=r"root .*nowhere does not exist"):
        read(captioned(tmp_path / "nowhere", tmp_path / "c.csv"))
    (tmp_path / "root").mkdir()
    with pytest.raises(DatasetError, match="no images under"):
        read(captioned(tmp_path / "root", tmp_path / "c.csv"))
    put(tmp_path / "root", IMAGES)
    with pytest.raises(DatasetError, match=r"captions .*c\.csv can't be read: No such file"):
        read(captioned(tmp_path / "root", tmp_path / "c.csv"))
    (tmp_path / "root" / "x.tar").write_bytes(b"no tar")
    with pytest.raises(DatasetError, match=r"x\.tar: not a whole uncompressed tar"):
        read(captioned(tmp_path / "root", tmp_path / "c.csv"))


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(order=st.permutations([*ROWS, ("a.jpg", "photo b, view 0")]))
def test_ids_do_not_depend_on_the_order_of_rows(tmp_path, order):
    root = put(tmp_path / "root", IMAGES)
    frame, problems = read(captioned(root, captions_file(tmp_path / "c.csv", order)))
    assert not problems
    texts = manifest.select(frame, "text")
    named = {(row.group, row.text): row.id for row in texts.itertuples()}
    assert named == {(name[0], text): manifest.caption_id(name[0], text) for name, text in order}
    assert manifest.select(frame, "image")["id"].tolist() == ["a", "b", "c"]
    for group, rows in texts.groupby("group"):
        in_file = [text for name, text in order if name[0] == group]
        assert rows.sort_values("rank")["text"].tolist() == in_file


def test_a_cap_keeps_the_same_images_in_any_order_and_nested(tmp_path):
    files = {f"{i:02}.jpg": photo(i) for i in range(20)}
    root = put(tmp_path / "root", files)
    rows = [(name, f"{name} {k}") for name in files for k in range(2)]
    file = captions_file(tmp_path / "c.csv", rows)
    smaller = set()
    for count in (1, 5, 12, 20, 30):
        frame, _ = read(captioned(root, file, max_images=count))
        kept = set(manifest.select(frame, "image")["id"])
        assert len(kept) == min(count, 20) and kept >= smaller
        assert set(manifest.select(frame, "text")["group"]) == kept and len(frame) == 3 * len(kept)
        smaller = kept
        if count == 5:
            assert kept != set(sorted(name[:2] for name in files)[:5])
            captions_file(tmp_path / "d.csv", rows[::-1])
            again, _ = read(captioned(root, tmp_path / "d.csv", max_images=count))
            assert set(manifest.select(again, "image")["id"]) == kept


# image folders

TREE = {f"{name}/{i}.jpg": photo(7 * i + len(name)) for name in ("red_fox", "dog") for i in range(2)}


def test_classes_are_folders_and_prompts_follow(tmp_path):
    declaration = ImageFolder(
        layout="imagefolder",
        retrieval=SAME,
        root=put(tmp_path / "root", TREE),
        class_names={"dog": "hound {x}"},
        templates=["a photo of a {}.", "{}!"],
    )
    frame, problems = prepare(declaration)
    assert problems.empty and manifest.labellings(frame) == ["class"]
    images = manifest.select(frame, "image", "test")
    assert images["id"].tolist() == ["dog/0", "dog/1", "red_fox/0", "red_fox/1"]
    assert images["label.class"].tolist() == ["dog", "dog", "red_fox", "red_fox"]
    prompts = manifest.select(frame, "text", manifest.CLASSES)
    assert prompts[["id", "text", "label.class"]].to_numpy().tolist() == [
        ["classes/class/dog#0", "a photo of a hound {x}.", "dog"],
        ["classes/class/dog#1", "hound {x}!", "dog"],
        ["classes/class/red_fox#0", "a photo of a red fox.", "red_fox"],
        ["classes/class/red_fox#1", "red fox!", "red_fox"],
    ]
    assert len(frame) == 8


def test_splits_are_the_folders_named_whether_folders_or_tars(tmp_path):
    root = put(
        tmp_path / "root",
        {f"{split}/{name}": data for split in ("train", "val") for name, data in TREE.items()},
    )
    pack(tmp_path / "tars" / "train.tar", TREE)
    pack(tmp_path / "tars" / "val.tar", TREE)
    fields = {
        "layout": "imagefolder",
        "splits": ["val", "train"],
        "retrieval": {"query": "val", "gallery": "train"},
    }
    frame, _ = prepare(ImageFolder(root=root, **fields))
    assert frame["split"].value_counts().to_dict() == {"train": 4, "val": 4, "classes": 2}
    assert manifest.select(frame, "image", "val")["id"].tolist()[0] == "val/dog/0"
    tars, _ = prepare(ImageFolder(root=tmp_path / "tars", **fields))
    pd.testing.assert_frame_equal(frame.drop(columns="path"), tars.drop(columns="path"))
    one, _ = prepare(
        ImageFolder(
            layout="imagefolder", root=root, splits=["val"], retrieval={"query": "val", "gallery": "val"}
        )
    )
    assert set(one["split"]) == {"val", "classes"}


def test_a_wrong_layout_is_told(tmp_path):
    root = put(tmp_path / "root", {f"train/{name}": data for name, data in TREE.items()})
    for on_problem in ("error", "set_aside"):
        with pytest.raises(
            DatasetError, match=r"all images lie one folder deeper, in train: .* `splits: \[train\]`"
        ):
            prepare(ImageFolder(layout="imagefolder", root=root, retrieval=SAME, on_problem=on_problem))
    put(root, {"more/dog/0.jpg": photo(0)})
    with pytest.raises(DatasetError, match="5 × not laid out as <class>/<image>") as error:
        prepare(ImageFolder(layout="imagefolder", root=root, retrieval=SAME))
    assert "  train/dog/0.jpg: not laid out" in str(error.value) and "`splits`" in str(error.value)
    with pytest.raises(DatasetError, match=r"query: split 'test' .* no images"):
        prepare(ImageFolder(layout="imagefolder", root=root, on_problem="set_aside", retrieval=SAME))
    with pytest.raises(DatasetError, match="splits: nothing in test under"):
        prepare(ImageFolder(layout="imagefolder", root=root, splits=["train", "test"], retrieval=SAME))
    with pytest.raises(DatasetError, match="class_names: no item is labelled wolf; labels: dog, red_fox"):
        prepare(
            ImageFolder(
                layout="imagefolder",
                root=root / "train",
                class_names={"wolf": "x", "dog": "y"},
                retrieval=SAME,
            )
        )


@pytest.mark.parametrize(
    ("folders", "said"),
    [(["0", "1", "cat"], r"2 labels are numbers without a name \(0, 1\)"),
     (["n01440764", "cat"], r"1 labels are ids of WordNet without a name \(n01440764\): give each one")],
)  # fmt: skip
def test_folders_of_numbers_need_names(tmp_path, folders, said):
    root = put(tmp_path / "root", {f"{name}/1.jpg": photo(row) for row, name in enumerate(folders)})
    with pytest.raises(DatasetError, match=f"class_names: {said}"):
        read(ImageFolder(layout="imagefolder", root=root, retrieval=SAME))
    named = ImageFolder(
        layout="imagefolder", root=root, retrieval=SAME, class_names=dict.fromkeys(folders, "x")
    )
    assert len(manifest.select(read(named)[0], "text")) == len(folders)


def test_bad_images_of_a_class_are_set_aside_and_its_prompt_stays(tmp_path):
    root = put(tmp_path / "root", TREE | {"dog/0.jpg": b"", "dog/1.jpg": TREE["dog/1.jpg"][:400]})
    declaration = ImageFolder(layout="imagefolder", root=root, on_problem="set_aside", retrieval=SAME)
    frame, problems = prepare(declaration)
    assert problems["id"].tolist() == ["dog/0", "dog/1"] and problems["item"].tolist() == [
        "dog/0.jpg",
        "dog/1.jpg",
    ]
    assert manifest.select(frame, "image")["label.class"].tolist() == ["red_fox"] * 2
    assert manifest.select(frame, "text")["label.class"].tolist() == ["dog", "red_fox"]


# ids and declarations


def test_ids_leave_out_the_extension_unless_it_tells_images_apart():
    assert image_ids(["b.c.jpg", "x/a.jpg", "x/a.png", "x/b.png"]) == {
        "b.c.jpg": "b.c",
        "x/a.jpg": "x/a.jpg",
        "x/a.png": "x/a.png",
        "x/b.png": "x/b",
    }
    assert image_ids(["t.tar/a.jpg", "t/b.jpg", "t/a.jpg"]) == {
        "t.tar/a.jpg": "t.tar/a.jpg",
        "t/b.jpg": "t/b",
        "t/a.jpg": "t/a.jpg",
    }


paths = st.lists(st.sampled_from(["", "a/", "t/", "t.tar/", "a/t.tar/"]), max_size=2).map("".join)
names = st.lists(st.sampled_from(["a", "b", ".jpg", ".png"]), min_size=1, max_size=3).map("".join)


@given(st.sets(st.tuples(paths, names, st.sampled_from([".jpg", ".png"])).map("".join)), st.randoms())
def test_ids_are_unique_and_do_not_depend_on_the_order_of_paths(files, random):
    files = sorted(files)
    ids = image_ids(files)
    assert list(ids) == files and len(set(ids.values())) == len(files)
    random.shuffle(files)
    assert image_ids(files) == ids


def test_declarations_are_told_apart_by_layout():
    adapter = TypeAdapter(Declaration)
    one = adapter.validate_python(
        {"layout": "captions", "root": "x", "captions": "x/c.csv", "retrieval": SAME}
    )
    assert isinstance(one, Captions) and one.root == Path("x") and one.retrieval.gallery == "test"
    assert isinstance(
        adapter.validate_python({"layout": "imagefolder", "root": "x", "retrieval": SAME}), ImageFolder
    )


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"layout": "captions", "root": "x"}, "captions"),
        ({"layout": "imagefolder", "root": "x", "capt": 1}, "capt"),
        ({"layout": "imagefolder", "root": "x", "templates": ["a photo"]}, "exactly one {}"),
        ({"layout": "imagefolder", "root": "x", "templates": []}, "templates"),
        (
            {"layout": "imagefolder", "root": "x", "retrieval": {"gallery": "train"}},
            "none of the splits read",
        ),
        ({"layout": "imagefolder", "root": "x", "splits": ["a/b"], "retrieval": {"query": "a/b"}}, "splits"),
        ({"layout": "imagefolder", "root": "x", "on_problem": "ignore"}, "on_problem"),
        ({"layout": "imagefolder", "root": "x", "max_images": 0}, "max_images"),
        ({"layout": "karpathy", "root": "x"}, "layout|tag"),
    ],
)
def test_wrong_declarations_are_refused(fields, message):
    with pytest.raises(ValidationError, match=message):
        TypeAdapter(Declaration).validate_python({"retrieval": SAME, **fields})


# real photos


@pytest.mark.parametrize("root", [".", "images.tar"])
def test_flickr8k_is_whole(real, root):
    folder = real / "flickr8k"
    frame, problems = prepare(captioned(folder / root, folder / "captions.txt"), workers=2)
    assert problems.empty
    images, texts = manifest.select(frame, "image", "test"), manifest.select(frame, "text", "test")
    assert (len(images), len(texts)) == (1000, 5000)
    assert images["digest"].nunique() == 1000 and texts["digest"].nunique() == 4998
    assert texts.groupby("group")["rank"].agg(list).map(lambda ranks: ranks == [0, 1, 2, 3, 4]).all()
    first = texts[texts["rank"] == 0].iloc[0]
    assert first["text"] == "A child in a pink dress is climbing up a set of stairs in an entry way ."
    assert first["group"] == ("images/" if root == "." else "") + "1000268201_693b08cb0e"


def test_a_class_or_split_that_links_to_another_is_read_by_both_names(tmp_path):
    root = put(
        tmp_path / "root", {f"full/{name}/{k}.jpg": photo(k) for name in ("cat", "cow") for k in (0, 1)}
    )
    (root / "small").mkdir()
    (root / "small" / "cat").symlink_to(root / "full" / "cat")
    (root / "test").symlink_to("full")
    declared = ImageFolder(
        layout="imagefolder",
        root=root,
        splits=["full", "small", "test"],
        retrieval={"query": "small", "gallery": "full"},
    )
    frame, problems = read(declared)
    images = frame[frame["modality"] == "image"]
    assert images.groupby("split")["label.class"].agg(list).to_dict() == {
        "full": ["cat", "cat", "cow", "cow"],
        "small": ["cat", "cat"],
        "test": ["cat", "cat", "cow", "cow"],
    }
    assert problems == [] and images["id"].is_unique


def test_links_that_are_not_followed_are_counted(tmp_path):
    root = put(tmp_path / "root", {f"{split}/dog/{split}.jpg": photo(0) for split in ("test", "train")})
    (root / "test/dog/loop").symlink_to(root / "test")
    (root / "train/dog/self").symlink_to(".")
    (root / "train/cat").symlink_to("../elsewhere/cat")
    declared = ImageFolder(layout="imagefolder", root=root, splits=["test", "train"], retrieval={})
    reading = readers.read(declared, root)
    assert reading.notes == (
        "3 links lead nowhere or to a folder that they lie in, and are not followed (test/dog/loop, train/cat, "
        "train/dog/self)",
    )
    assert reading.frame["path"].dropna().tolist() == ["test/dog/test.jpg", "train/dog/train.jpg"]
    for link in ("test/dog/loop", "train/dog/self", "train/cat"):
        (root / link).unlink()
    assert readers.read(declared, root).notes == ()


def test_one_file_under_two_names_is_one_image_of_a_captions_file(tmp_path):
    root = put(tmp_path / "root", {"a/1.jpg": photo(0), "z/2.jpg": photo(1)})
    (root / "b").symlink_to("a")
    (root / "0").symlink_to("z")
    frame, problems = read(
        captioned(root, captions_file(tmp_path / "c.csv", [("1.jpg", "One."), ("2.jpg", "Two.")]))
    )
    assert problems == [] and frame["path"].dropna().tolist() == ["a/1.jpg", "z/2.jpg"]
    (root / "b").unlink()
    put(root, {"b/1.jpg": photo(2)})
    _, problems = read(
        captioned(root, captions_file(tmp_path / "c.csv", [("1.jpg", "One."), ("2.jpg", "Two.")]))
    )
    assert [problem.problem for problem in problems] == ["caption for an ambiguous image: a/1.jpg or b/1.jpg"]


@pytest.mark.parametrize("class_names", [{}, {"-1": "nothing"}])
def test_a_folder_minus_one_has_no_class_unless_it_is_named(tmp_path, class_names):
    root = put(tmp_path / "root", {"cat/1.jpg": photo(0), "-1/2.jpg": photo(1)})
    declared = ImageFolder(layout="imagefolder", root=root, retrieval={}, class_names=class_names)
    frame, _ = read(declared)
    named = ["-1"] if class_names else [None]
    assert frame[frame["modality"] == "image"]["label.class"].tolist() == [*named, "cat"]
    assert ("a photo of a nothing." in set(frame["text"])) == bool(class_names)
    assert "a photo of a -1." not in set(frame["text"])
    note = "1 images have no class by the name of their folder (-1): if it is one, rename it or name it in class_names"
    assert readers.read(declared, root).notes == (() if class_names else (note,))


def test_folders_without_a_class_are_named_in_every_split(tmp_path):
    """Also where all of a split is in one."""
    folders = ("test/-1", "test/cat", "train/-1.0")
    root = put(tmp_path / "root", {f"{folder}/{n}.jpg": photo(n) for folder in folders for n in range(2)})
    declared = ImageFolder(layout="imagefolder", root=root, splits=["test", "train"], retrieval={})
    (note,) = readers.read(declared, root).notes
    assert note.startswith("4 images have no class by the name of their folder (test/-1, train/-1.0)")


def test_what_a_captions_file_does_not_name_is_left_alone_and_counted(tmp_path):
    root = put(tmp_path / "root", {f"{number}.jpg": photo(number % 3) for number in range(9)})
    put(root, {"bad.jpg": b"not named, not opened"})
    rows = [(f"{number}.jpg", f"Number {number}.") for number in range(4)]
    declared = captioned(root, captions_file(tmp_path / "c.csv", rows))
    reading = readers.read(declared, root)
    assert reading.problems == [] and len(reading.frame) == 8
    assert reading.notes == (f"6 images under {root} are not named by c.csv: they are left alone",)
    frame, problems = prepare(declared)
    assert len(frame) == 8 and problems.empty


OTHERS = {
    "a/1.HEIC": b"",
    "a/2.heic": b"",
    "a/3.heic": b"",
    "a/.hidden": b"",
    "LICENSE": b"",
    "x.caf\udce9": b"",
}


def test_files_that_end_otherwise_are_left_out_and_counted(tmp_path):
    """Not so the declaration's own tables, hidden files and links that are told by themselves."""
    root = put(tmp_path / "root", {"a/1.jpg": photo(0)} | OTHERS)
    (root / "gone.txt").symlink_to("nowhere")
    captions = captioned(root, captions_file(root / "c.csv", [("1.jpg", "One.")]))
    folders = ImageFolder(layout="imagefolder", root=root, retrieval=SAME)
    for declared, count, table in ((captions, 5, ""), (folders, 6, "1 .csv, ")):
        said = f"{count} files under {root} don't end like images and are left out "
        assert readers.read(declared, root).notes[1:] == (
            f"{said}(3 .heic, 1 without an ending, {table}1 .caf?)",
        )


def test_where_no_file_ends_like_an_image_the_endings_are_said(tmp_path):
    root = put(tmp_path / "root", {"a/1.HEIC": b"", "a/2.heic": b"", "x.npy": b""})
    with pytest.raises(
        DatasetError, match=r"no images under .*: they lie in .*; it holds 2 \.heic, 1 \.npy$"
    ):
        readers.read(ImageFolder(layout="imagefolder", root=root, retrieval=SAME), root)


@pytest.mark.parametrize("delimiter", ["\t", ";", ",", "|"])
def test_captions_files_of_other_delimiters(tmp_path, delimiter):
    """open_clip's own training CSV has tabs and other names."""
    root = put(tmp_path / "root", {"1.jpg": photo(0)})
    (tmp_path / "c.csv").write_text(
        delimiter.join(["filepath", "title"])
        + "\n"
        + delimiter.join([f"{root}/1.jpg", '"A, b; c\td"'])
        + "\n"
    )
    declared = captioned(root, tmp_path / "c.csv").model_copy(
        update={"image_column": "filepath", "caption_column": "title"}
    )
    frame, problems = read(declared)
    assert problems == [] and frame["text"].tolist() == [None, "A, b; c\td"]


def test_backslashes_in_names_are_told(tmp_path):
    root = put(tmp_path / "root", {"a/1.jpg": photo(0), "a/2.jpg": photo(1)})
    rows = [(r"a\1.jpg", "One."), ("a/2.jpg", "Two."), ("b/3.jpg", "Three.")]
    _, problems = read(captioned(root, captions_file(tmp_path / "c.csv", rows)))
    lost = "caption for no image: nothing under the root has this name"
    assert [one.problem for one in problems] == [f"{lost}: write / between folders, not \\", lost]


def test_empty_folders_of_classes_are_counted(tmp_path):
    root = put(tmp_path / "root", {"test/cat/1.jpg": photo(0), "test/dog/notes.txt": b""})
    for name in ("test/cow", "test/.hidden", "train/ant"):
        (root / name).mkdir(parents=True)
    declared = ImageFolder(layout="imagefolder", root=root, splits=["test"], retrieval={})
    assert readers.read(declared, root).notes[1:] == (
        "2 folders of classes hold no image (test/cow, test/dog): they are no classes",
    )


def test_the_id_of_an_image_is_no_other_images_path(tmp_path):
    assert image_ids(["1.jpg", "1.jpg.png", "2.jpg.png"]) == {
        "1.jpg": "1",
        "1.jpg.png": "1.jpg.png",
        "2.jpg.png": "2.jpg",
    }


def test_images_by_their_paths_from_the_project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    put(tmp_path / "data/set", {"a/1.jpg": photo(0), "2.jpg": photo(1)})
    rows = [("data/set/a/1.jpg", "One."), ("./data/set/2.jpg", "Two.")]
    declared = captioned(Path("data/set"), captions_file(tmp_path / "c.csv", rows))
    frame, problems = read(declared)
    assert problems == [] and frame["path"].dropna().tolist() == ["2.jpg", "a/1.jpg"]


def test_classes_one_folder_deeper_are_told_in_one_sentence(tmp_path):
    root = put(tmp_path / "root", {"cars/cat/1.jpg": photo(0), "cars/dog/2.jpg": photo(1)})
    declared = ImageFolder(layout="imagefolder", root=root, retrieval={})
    with pytest.raises(
        DatasetError, match=r"all images lie one folder deeper, in cars: give .*/root/cars as `root`"
    ):
        read(declared)
    frame, problems = read(declared.model_copy(update={"root": root / "cars"}))
    assert len(frame) == 4 and problems == []
    put(root, {"test/test/cat/1.jpg": photo(2)})
    split = declared.model_copy(update={"splits": ["cars", "test"]})
    with pytest.raises(
        DatasetError, match=r"splits: the classes of test lie one folder deeper, in test/test: move"
    ):
        read(split)
