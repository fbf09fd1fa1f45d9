"""ImageNet and its variants, a folder a class."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import timm
from PIL import Image

from crossgap.datasets.declared import DatasetError, ImageNet
from crossgap.datasets.preparing import prepare
from crossgap.datasets.readers import read
from crossgap.datasets.readers.imagenet import wordnet_ids
from crossgap.datasets.vocabulary import imagenet_names
from crossgap.prepared import manifest

# numbers in the order of ILSVRC 2012: tench 0, crane 134 (the bird), crane 517 (the machine), missile 657 and 744
TENCH, BIRD, MACHINE, MISSILE, PROJECTILE = "n01440764", "n02012849", "n03126707", "n03773504", "n04008634"
NUMBERS = {TENCH: 0, BIRD: 134, MACHINE: 517, MISSILE: 657, PROJECTILE: 744}


def put(root: Path, *paths: str) -> Path:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (2, 2)).save(root / path, "JPEG")
    return root


def declared(root: Path, folders: dict[str, str], **fields) -> ImageNet:
    fields = {"retrieval": {"query": "test", "gallery": "test"}, "vocabulary": "none"} | fields
    return ImageNet(layout="imagenet", root=root, folders=folders, **fields)


def images(root: Path, declaration: ImageNet) -> list[list[str]]:
    found = manifest.select(prepare(declaration, root).items, "image")
    return found[["path", "split", "label.class"]].to_numpy().tolist()


def prompts(root: Path, declaration: ImageNet) -> dict[str, str]:
    found = manifest.select(read(declaration, root).frame, "text")
    return dict(zip(found["label.class"], found["text"], strict=True))


@pytest.fixture
def root(tmp_path) -> Path:
    return put(
        tmp_path / "imagenet",
        f"images/train/{TENCH}/{TENCH}_10026.JPEG",
        f"images/train/{TENCH}/{TENCH}_10027.JPEG",
        f"images/train/{MACHINE}/{MACHINE}_1.JPEG",
        f"images/val/{TENCH}/ILSVRC2012_val_00000293.JPEG",
        f"images/val/{BIRD}/ILSVRC2012_val_00000001.JPEG",
    )


SPLITS = {"train": "images/train", "test": "images/val"}


def test_links_that_are_not_followed_are_counted(root) -> None:
    (root / f"images/val/{TENCH}/again").symlink_to(root / "images/val")
    notes = read(declared(root, SPLITS), root).notes
    assert any(f"not followed (images/val/{TENCH}/again)" in note for note in notes)


def test_the_numbers_are_those_of_the_challenge() -> None:
    ids = wordnet_ids()
    assert len(ids) == len(set(ids)) == 1000 and ids == sorted(ids)
    assert {synset: ids.index(synset) for synset in NUMBERS} == NUMBERS
    assert imagenet_names()[134] == "crane bird" and imagenet_names()[517] == "construction crane"


def test_names_are_those_of_the_ids_by_the_lemmas_of_wordnet() -> None:
    """Almost every name shares the start of a word with its synset's lemmas, and hardly any with the next one's."""

    def starts(text: str) -> set[str]:
        return {word[:4] for word in re.findall(r"[a-z]+", text.lower())}

    lines = (
        (Path(timm.__file__).parent / "data" / "_info" / "imagenet_synset_to_lemma.txt")
        .read_text()
        .splitlines()
    )
    lemmas = dict(line.split("\t", 1) for line in lines)
    of = [starts(lemmas[synset]) for synset in wordnet_ids()]
    names = [starts(name) for name in imagenet_names()]
    assert sum(bool(a & b) for a, b in zip(names, of, strict=True)) > 950
    assert sum(bool(a & b) for a, b in zip(names[1:], of[:-1], strict=True)) < 250


def test_the_miniature_of_imagenet(root) -> None:
    sizes = {"train": {"images": 3, "classes": 2}, "test": {"images": 2, "classes": 2}}
    declaration = declared(root, SPLITS, sizes=sizes, retrieval={"query": "test", "gallery": "train"})
    assert images(root, declaration) == [
        [f"images/train/{TENCH}/{TENCH}_10026.JPEG", "train", TENCH],
        [f"images/train/{TENCH}/{TENCH}_10027.JPEG", "train", TENCH],
        [f"images/train/{MACHINE}/{MACHINE}_1.JPEG", "train", MACHINE],
        [f"images/val/{TENCH}/ILSVRC2012_val_00000293.JPEG", "test", TENCH],
        [f"images/val/{BIRD}/ILSVRC2012_val_00000001.JPEG", "test", BIRD],
    ]
    assert prompts(root, declaration) == {
        TENCH: "a photo of a tench.",
        BIRD: "a photo of a crane bird.",
        MACHINE: "a photo of a construction crane.",
    }


def test_names_of_coop_and_two_classes_of_one_name(root) -> None:
    (root / "classnames.txt").write_text(f"{TENCH} tench\n{BIRD} crane\n{MACHINE} crane\n")
    declaration = declared(root, SPLITS, class_names={BIRD: "crane, the bird"})
    assert prompts(root, declaration) == {
        TENCH: "a photo of a tench.",
        BIRD: "a photo of a crane, the bird.",
        MACHINE: "a photo of a crane.",
    }
    with pytest.raises(
        DatasetError, match=rf"class_names: .* has no class {MISSILE}; its classes are {TENCH}, "
    ):
        read(declared(root, SPLITS, class_names={MISSILE: "missile"}), root)


def test_the_miniature_of_v2_has_numbers_for_classes(tmp_path) -> None:
    folder = "imagenetv2-matched-frequency-format-val"
    root = put(tmp_path / "v2", *(f"{folder}/{number}/{number}abc.jpeg" for number in NUMBERS.values()))
    declaration = declared(root, {"test": folder})
    found = {path: label for path, _, label in images(root, declaration)}
    assert found == {f"{folder}/{number}/{number}abc.jpeg": synset for synset, number in NUMBERS.items()}
    told = prompts(root, declaration)
    assert told[MISSILE] == told[PROJECTILE] == "a photo of a missile." and len(told) == 5


@pytest.mark.parametrize("folder", ["images", "imagenet-a", "imagenet-r"])
def test_sketch_a_and_r_have_prompts_for_their_own_classes_only(folder, tmp_path) -> None:
    root = put(tmp_path, f"{folder}/{BIRD}/0.000116_digital clock_0.jpg", f"{folder}/{MACHINE}/art_0.jpg")
    (root / folder / "README.txt").write_text("n02012849 crane")
    declaration = declared(root, {"test": folder}, sizes={"test": {"images": 2, "classes": 2}})
    assert [label for *_, label in images(root, declaration)] == [BIRD, MACHINE]
    assert set(prompts(root, declaration)) == {BIRD, MACHINE}


def test_a_tar_a_class_is_a_folder(root, tmp_path) -> None:
    data = io.BytesIO()
    Image.new("RGB", (2, 2)).save(data, "JPEG")
    with tarfile.open(root / "images" / "train" / f"{BIRD}.tar", "w") as tar:
        member = tarfile.TarInfo(f"{BIRD}_7.JPEG")
        member.size = len(data.getvalue())
        tar.addfile(member, io.BytesIO(data.getvalue()))
    found = images(root, declared(root, SPLITS))
    assert [f"images/train/{BIRD}.tar/{BIRD}_7.JPEG", "train", BIRD] in found


def test_unsorted_validation_images_are_told(root) -> None:
    put(root, "images/val/ILSVRC2012_val_00000002.JPEG", "images/val/ILSVRC2012_val_00000003.JPEG")
    told = (
        r"folders\.test: 2 of 4 images of .*val are not laid out as <class>/<image> \(ILSVRC2012_val_00000002"
    )
    with pytest.raises(DatasetError, match=told):
        read(declared(root, SPLITS), root)


@pytest.mark.parametrize("name", ["tench", "1000", "n99999999", "²"])
def test_folders_called_otherwise_are_told(name, root) -> None:
    put(root, f"images/val/{name}/1.jpg")
    with pytest.raises(
        DatasetError, match=rf"folders\.test: 1 folders of .* are called by no class \({name}\)"
    ):
        read(declared(root, SPLITS), root)


def test_what_is_missing_is_told(root, tmp_path) -> None:
    with pytest.raises(DatasetError, match="nowhere is no folder"):
        read(declared(tmp_path / "nowhere", SPLITS), root)
    with pytest.raises(DatasetError, match=r"has no val: unpack the archive there, or mend `folders\.test`"):
        read(declared(root, {"test": "val"}), root)
    (root / "empty").mkdir()
    with pytest.raises(DatasetError, match="no images under"):
        read(declared(root, {"test": "empty"}), root)
    with pytest.raises(DatasetError, match="listed more than once"):
        read(declared(root, {"test": "images/val", "train": "images/val"}), root)
    with pytest.raises(
        DatasetError, match=r"another size: 2 images, 50000 are declared: unpack the archive again"
    ):
        prepare(declared(root, SPLITS, sizes={"test": {"images": 50000}}), root)
    (root / "classnames.txt").write_text(f"{TENCH}\n")
    with pytest.raises(DatasetError, match=r"classnames\.txt line 1: 'n01440764' is not `class name`"):
        read(declared(root, SPLITS), root)
    (root / "classnames.txt").write_text(f"{TENCH} tench\n{BIRD} crane\n")
    with pytest.raises(
        DatasetError, match=rf"folders\.train: .*called by no class \({MACHINE}\).*classnames\.txt"
    ):
        read(declared(root, SPLITS), root)


def test_neither_timm_nor_torch_is_imported(root) -> None:
    code = f"""
import sys
from pathlib import Path
from crossgap.datasets.declared import ImageNet
from crossgap.datasets.readers import read
root = Path({str(root)!r})
read(ImageNet(layout="imagenet", root=root, folders={SPLITS}, retrieval={{}}), root)
print({{"timm", "torch", "open_clip"}} & set(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_numbers_that_a_partial_file_of_names_lacks_are_told(tmp_path) -> None:
    root = put(tmp_path / "v2", "images/0/1.JPEG", "images/1/2.JPEG")
    (root / "classnames.txt").write_text(f"{TENCH} tench\n")
    with pytest.raises(
        DatasetError, match=r"1 folders of .* \(1\): .*complete it, or remove it to take open_clip's names"
    ):
        read(declared(root, {"test": "images"}), tmp_path)
    (root / "classnames.txt").write_text(f"{TENCH} tench\nn01443537 goldfish\n")
    assert prompts(root, declared(root, {"test": "images"})) == {
        TENCH: "a photo of a tench.", "n01443537": "a photo of a goldfish.",
    }  # fmt: skip


def test_classes_one_folder_deeper_are_told_with_the_folder_to_give(tmp_path) -> None:
    root = put(tmp_path / "i", f"val/val/{TENCH}/1.JPEG", f"val/val/{BIRD}/2.JPEG")
    with pytest.raises(DatasetError, match=r"lie one folder deeper, in val: give val/val"):
        read(declared(root, {"test": "val"}), tmp_path)
    assert len(images(root, declared(root, {"test": "val/val"}))) == 2


def test_folders_of_classes_without_images_are_counted(root) -> None:
    (root / "images/val" / MACHINE).mkdir()
    found = read(declared(root, {"test": "images/val"}), root)
    assert found.notes == (f"1 folders of classes hold no image (images/val/{MACHINE}): they are no classes",)
