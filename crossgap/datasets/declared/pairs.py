"""Published sets of images and captions, as their archives unpack; file names are relative to `root`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from crossgap.datasets.declared.base import OnDisk, Split


class Coco(OnDisk):
    """Captions in COCO's JSON, of COCO and of nocaps: a file a split; images by name, anywhere under the root."""

    layout: Literal["coco"]
    captions: dict[Split, str] = Field(min_length=1, description="split → file")

    @property
    def splits_read(self) -> list[str]:
        return list(self.captions)


class Karpathy(OnDisk):
    """Karpathy's splits, `dataset_<set>.json` (Karpathy and Fei-Fei, CVPR 2015); `restval` counts as `train`."""

    layout: Literal["karpathy"]
    captions: str = Field(description="such as dataset_coco.json")

    @property
    def splits_read(self) -> Sequence[str]:
        return "train", "val", "test"


class Flickr(OnDisk):
    """Flickr30k's and Flickr8k's own files: captions, and lists of images for the splits.

    What no list names is left out.
    """

    layout: Literal["flickr"]
    captions: str = Field(description="results.csv, captions.txt, or a file of tokens: Flickr8k.token.txt")
    lists: dict[Split, str] = Field({}, description="split → file; all images are `test` if there are none")

    @property
    def splits_read(self) -> list[str]:
        return list(self.lists) or ["test"]


class MixBench(OnDisk):
    """A subset of MixBench (arXiv 2507.19054): `queries.jsonl`, a corpus and `qrels.tsv`; split `test`.

    Images are found by the names in the corpus, anywhere under the root.
    """

    layout: Literal["mixbench"]
    corpus: Literal["corpus.jsonl", "mixed_corpus.jsonl"] = Field(
        "corpus.jsonl",
        description="documents of a text and an image each; or mixed_corpus.jsonl, a gallery of images, texts and both",
    )

    @property
    def splits_read(self) -> Sequence[str]:
        return ("test",)
