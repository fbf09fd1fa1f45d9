"""ImageNet (Russakovsky et al., IJCV 2015) and -V2, -Sketch, -A, -R: a folder a class."""

from __future__ import annotations

from pathlib import Path

from crossgap.datasets.declared import DatasetError, ImageNet
from crossgap.datasets.paths import image_paths, not_followed, parts_of, without_images
from crossgap.datasets.readers.lists import reading, require, table
from crossgap.datasets.reading import Listed, Reading
from crossgap.datasets.text_files import read_text
from crossgap.datasets.vocabulary import imagenet_names
from crossgap.errors import listed
from crossgap.libraries import folder_of

CLASS_NAMES = "classnames.txt"


def read(declaration: ImageNet, _folder: Path) -> Reading:
    """Images of the declared folders, labelled by WordNet ids; only classes that have images have prompts.

    A class's folder is called by its WordNet id or, as in ImageNet-V2, its number among the sorted ids. Names are
    those of CoOp's `classnames.txt`, if the root has it, or open_clip's.

    Raises:
        DatasetError: a folder is missing or holds images that lie in no class's folder, names are malformed, or what
            `crossgap.datasets.readers.lists.reading` raises.
    """
    synsets = wordnet_ids()
    names = _names(declaration.root, synsets)
    classes = {str(number): synset for number, synset in enumerate(synsets) if synset in names}
    classes |= {name: name for name in names}
    links: list[str] = []
    images = [
        Listed(f"{folder}/{path}", split, classes[parts_of(path)[0]])
        for split, folder in declaration.folders.items()
        for path in _paths(declaration.root, split, folder, classes, links)
    ]
    met = {image.label for image in images}
    found = reading(declaration, images, {label: name for label, name in names.items() if label in met})
    folders = [f"{folder}/{name}" for folder in declaration.folders.values() for name in classes]
    bare = without_images(declaration.root, folders, (image.path for image in images))
    return found._replace(notes=(*not_followed(links), *bare))


def wordnet_ids() -> list[str]:
    """The WordNet ids of the 1000 classes in the order of their numbers, as timm lists them, without importing it."""
    return read_text(folder_of("timm") / "data" / "_info" / "imagenet_synsets.txt", "WordNet ids").split()


def _names(root: Path, synsets: list[str]) -> dict[str, str]:
    """WordNet id → name."""
    file = root / CLASS_NAMES
    if not file.is_file():
        return dict(zip(synsets, imagenet_names(), strict=True))
    return {synset: name for _, (synset, name) in table(file, "class name")}


def _paths(root: Path, split: str, folder: str, classes: dict[str, str], links: list[str]) -> list[str]:
    """Paths within the folder of a split, each `<class>/<image>`; links that are not followed are added to `links`."""
    passed_by: list[str] = []
    paths = image_paths(
        require(root, folder, f"unpack the archive there, or mend `folders.{split}`"), passed_by
    )
    links += [f"{folder}/{link}" for link in passed_by]
    firsts = {parts_of(path)[0] for path in paths if len(parts_of(path)) == 3}
    if len(firsts) == 1 and all(len(parts_of(path)) == 3 for path in paths):
        (inner,) = firsts
        raise DatasetError(
            f"folders.{split}: the classes of {root / folder} lie one folder deeper, in {inner}: give {folder}/{inner}"
        )
    if loose := [path for path in paths if len(parts_of(path)) != 2]:
        raise DatasetError(
            f"folders.{split}: {len(loose)} of {len(paths)} images of {root / folder} are not laid out as "
            f"<class>/<image> ({listed(loose)}): ImageNet's validation images come unsorted and are to be put into "
            "folders by their WordNet ids"
        )
    if unknown := sorted({parts_of(path)[0] for path in paths} - set(classes)):
        raise DatasetError(
            f"folders.{split}: {len(unknown)} folders of {root / folder} are called by no class ({listed(unknown)}): "
            f"a class is a WordNet id such as n01440764, or its number, 0 to 999; {CLASS_NAMES} of the root, where "
            "there is one, has all of them: complete it, or remove it to take open_clip's names"
        )
    return paths
