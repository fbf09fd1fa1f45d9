"""Downloads of published datasets, by the libraries that provide them."""

from __future__ import annotations

from pathlib import Path

from crossgap.catalogue.datasets import facts_of, how_to_get
from crossgap.datasets import DatasetError
from crossgap.errors import making, of_machine


def fetch(name: str, folder: Path) -> Path:
    """Download a dataset into a folder; gives the `root` to declare.

    Raises:
        CrossgapError: no library provides it, the folder can't be made, or the download failed.
    """
    facts = facts_of(name)
    if not (facts.torchvision or facts.huggingface):
        raise DatasetError(f"{name}: no library downloads it.\n{how_to_get(name)}")
    with making(folder):
        folder.mkdir(parents=True, exist_ok=True)
    try:
        if facts.huggingface:
            from huggingface_hub import snapshot_download

            snapshot_download(facts.huggingface, repo_type="dataset", local_dir=folder)
        for made_by, arguments in facts.torchvision.items():
            import torchvision

            getattr(torchvision.datasets, made_by)(folder, download=True, **arguments)
    except Exception as error:  # of any of the libraries for the network
        if of_machine(error):
            raise
        raise DatasetError(f"{name} can't be downloaded: {error}\n{how_to_get(name)}") from error
    return folder / facts.folder if facts.folder else folder
