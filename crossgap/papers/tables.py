"""Which tables there are: for each of their numbers, what is measured and what is published.

A table has the name of the study of `crossgap preset` that measures it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from crossgap.errors import CrossgapError, like
from crossgap.presets import PRESETS
from crossgap.presets.trainings import PAPER, SEEDS

CROSS_THE_GAP, CONTRASTIVE_GAP = "2502.04263", "2405.18570"
REEVALUATING, ISOCLIP = "2603.16100", "2603.19862"
MODELS = {  # name → title, and how published figures call it
    "openai-b32": ("OpenAI ViT-B/32", "openai/ViT-B-32"),
    "openai-b16": ("OpenAI ViT-B/16", "openai/ViT-B-16"),
    "openai-l14": ("OpenAI ViT-L/14", "openai/ViT-L-14"),
    "datacomp-b32": ("DataComp ViT-B/32", "datacomp_xl_s13b_b90k/ViT-B-32"),
    "datacomp-b16": ("DataComp ViT-B/16", "datacomp/ViT-B-16"),
    "datacomp-l14": ("DataComp ViT-L/14", "datacomp_xl_s13b_b90k/ViT-L-14"),
    "siglip-b16": ("SigLIP ViT-B/16", "webli/ViT-B-16-SigLIP"),
    "siglip2-b16": ("SigLIP2 ViT-B/16", "webli/ViT-B-16-SigLIP2"),
    "pe-core-b16": ("PE ViT-B/16", "PE"),
    "slip-b16": ("SLIP ViT-B/16", "SLIP/ViT-B-16"),
    "slip-l16": ("SLIP ViT-L/16", "SLIP/ViT-L-16"),
}
DATASETS = {  # name → title, which is how published figures call it where nothing else is said
    "cub": "CUB", "sop": "SOP", "roxford5k": "ROxford", "rparis6k": "RParis", "imagenet": "ImageNet",
    "caltech101": "Caltech101", "pets": "Pets", "cars": "Cars", "flowers": "Flowers", "food101": "Food101",
    "aircraft": "Aircraft", "sun397": "SUN397", "dtd": "DTD", "eurosat": "EuroSAT", "ucf101": "UCF101",
    "coco": "COCO", "flickr30k": "Flickr30k", "nocaps": "nocaps", "cifar10": "CIFAR10", "cifar100": "CIFAR100",
    "simat": "SIMAT dev", "coco-2017": "COCO val2017",
}  # fmt: skip
TUNED = "openai/ViT-B-32 fine-tuned on COCO"
TITLES = {
    "image-image": "image-image", "oti-image": "OTI-image", "text-text": "text-text", "ovi-text": "OVI-text",
    "image-text": "image-text", "oti-text": "OTI-text", "image-ovi": "image-OVI", "pca_plus": "PCA⁺",
    "isoclip": "IsoCLIP", "clip": "CLIP", "cua": "CUA", "cuaxu": "CUAXU",
}  # fmt: skip


class PublishedAs(NamedTuple):
    """How published figures name a number."""

    model: str
    dataset: str
    task: str
    method: str
    metric: str
    setting: str = ""


class Wanted(NamedTuple):
    """A number of a table.

    Attributes:
        backbones: the catalogue's or a preset's names; several are seeds of one training, whose mean it is.
        dataset: the catalogue's name.
        key: as of `crossgap.numbers`; `*` stands for the labelling.
        scale: what the measured number is multiplied by, 100 for percent.
        published: what stands beside it.
        published_scale: what that is multiplied by.
    """

    backbones: tuple[str, ...]
    dataset: str
    key: str
    scale: float
    published: PublishedAs
    published_scale: float


class PaperRow(NamedTuple):
    """A row: of which model, by which method, and a number a column."""

    model: str
    method: str
    wanted: tuple[Wanted, ...]


@dataclass(frozen=True)
class PaperTable:
    """A table of a paper.

    Attributes:
        unit: of its numbers, in words.
        sources: beginnings of the sources of published figures, that of the paper first.
        average: what the published mean over all columns is called as a dataset; empty without such a column.
    """

    name: str
    title: str
    unit: str
    sources: tuple[str, ...]
    columns: tuple[str, ...]
    rows: tuple[PaperRow, ...]
    average: str = ""
    decimals: int = 1


def _grid(
    name: str,
    title: str,
    sources: Sequence[str],
    tasks: Sequence[str],
    published: str,
    average: str,
) -> PaperTable:
    """The study's backbones × methods in rows, its datasets in columns; `published` is the task as published figures
    call it.
    """
    models, datasets = PRESETS[name].backbones, PRESETS[name].datasets
    family, metric = ("classification", "accuracy") if published == "zero-shot" else ("retrieval", "mAP")
    rows = []
    for model in models:
        words, of = MODELS[model]
        for task in tasks:
            method = task.rpartition("+")[2]
            wanted = tuple(
                Wanted(
                    (model,),
                    dataset,
                    f"{family}/{task}/*/{metric}",
                    100,
                    PublishedAs(of, DATASETS[dataset], published, method, metric),
                    1,
                )
                for dataset in datasets
            )
            rows.append(PaperRow(words, TITLES[method], wanted))
    columns = tuple(DATASETS[dataset] for dataset in datasets)
    return PaperTable(name, title, f"{metric} in percent", tuple(sources), columns, tuple(rows), average)


def _temperature() -> PaperTable:
    """What OTI adds where the gap was kept and where it was closed."""
    name, rows = "cross-the-gap-temperature", []
    _, *datasets = PRESETS[name].datasets  # the first is trained on
    for temperature, ending, words in (("0.01", "gap", "gap kept"), ("1.0", "no-gap", "gap closed")):
        for task in ("image-image", "oti-image"):
            wanted = tuple(
                Wanted(
                    (f"openai-b32-{ending}",),
                    dataset,
                    f"retrieval/{task}/*/mAP",
                    100,
                    PublishedAs(
                        TUNED, DATASETS[dataset], "image-to-image", task, "mAP", f"temperature={temperature}"
                    ),
                    1,
                )
                for dataset in datasets
            )
            rows.append(PaperRow(f"temperature {temperature}, {words}", TITLES[task], wanted))
    return PaperTable(
        name,
        "Cross the Gap: ViT-B/32 fine-tuned on COCO with the gap kept and closed",
        "mAP in percent",
        (CROSS_THE_GAP,),
        tuple(DATASETS[dataset] for dataset in datasets),
        tuple(rows),
        "average5",
    )


def _contrastive_gap() -> PaperTable:
    """Three losses × three widths, measured on the captions that they were trained with the like of."""
    widths = (128, 64, 32)
    measures = {
        "distance": ("gap/centroid_distance", "centroid_distance"),
        "separability": ("gap/linear_separability", "linear_separability"),
        "image-to-text R@1": ("retrieval/image-text/*/recall@1", "image_to_text_recall@1"),
    }
    rows = [
        PaperRow(
            "ViT-B/32 on COCO",
            TITLES[loss],
            tuple(
                Wanted(
                    _seeds(loss, width),
                    "coco-2017",
                    key,
                    1,
                    PublishedAs(TUNED, "COCO val2017", "contrastive-gap", loss, metric, f"embed_dim={width}"),
                    1,
                )
                for width in widths
                for key, metric in measures.values()
            ),
        )
        for loss in PAPER
    ]
    return PaperTable(
        "contrastive-gap-coco",
        "It's Not a Modality Gap: the gap and retrieval on COCO, by the width of the projections",
        "centroid distance, linear separability and recall@1, as fractions",
        (CONTRASTIVE_GAP,),
        tuple(f"{words}, d = {width}" for width in widths for words in measures),
        tuple(rows),
        decimals=3,
    )


def _transfer() -> PaperTable:
    """Zero-shot and arithmetic of the same, at the widest projections."""
    name = "contrastive-gap-transfer"
    _, *datasets, _ = PRESETS[name].datasets  # the first is trained on, the last is SIMAT

    def wanted(loss: str) -> tuple[Wanted, ...]:
        zero_shot = [
            Wanted(
                _seeds(loss, 128),
                dataset,
                "classification/image-text/*/accuracy",
                100,
                PublishedAs(TUNED, DATASETS[dataset], "zero-shot", loss, "accuracy", "embed_dim=128"),
                100,
            )
            for dataset in datasets
        ]
        simat = PublishedAs(TUNED, "SIMAT dev", "arithmetic", loss, "simat_score", "embed_dim=128")
        score = Wanted(_seeds(loss, 128), "simat", "arithmetic/simat/dev/score", 100, simat, 1)
        return (*zero_shot, score)

    rows = tuple(PaperRow("ViT-B/32 on COCO", TITLES[loss], wanted(loss)) for loss in PAPER)
    return PaperTable(
        name,
        "It's Not a Modality Gap: zero-shot classification and SIMAT, d = 128",
        "accuracy in percent, SIMAT's score",
        (CONTRASTIVE_GAP,),
        (*(DATASETS[dataset] for dataset in datasets), "SIMAT"),
        rows,
    )


def _seeds(loss: str, width: int) -> tuple[str, ...]:
    return tuple(f"openai-b32-{loss}-{width}-{seed}" for seed in SEEDS)


_MADE: Mapping[str, Callable[[str], PaperTable]] = {
    "cross-the-gap-table1": lambda name: _grid(
        name, "Cross the Gap, Table 1: image-to-image retrieval", (CROSS_THE_GAP, f"{REEVALUATING} Table 3"),
        ("image-image", "oti-image"), "image-to-image", "average15",
    ),
    "cross-the-gap-table2": lambda name: _grid(
        name, "Cross the Gap, Table 2: text-to-text retrieval", (CROSS_THE_GAP,),
        ("text-text", "ovi-text"), "text-to-text", "average3",
    ),
    "cross-the-gap-table3": lambda name: _grid(
        name, "Cross the Gap, Table 3: zero-shot classification made intra-modal", (CROSS_THE_GAP,),
        ("image-text", "oti-text", "image-ovi"), "zero-shot", "average11",
    ),
    "cross-the-gap-temperature": lambda name: _temperature(),
    "contrastive-gap-coco": lambda name: _contrastive_gap(),
    "contrastive-gap-transfer": lambda name: _transfer(),
    "reevaluating-table3": lambda name: _grid(
        name, "Reevaluating, Table 3: OTI and PCA⁺", (f"{REEVALUATING} Table 3",),
        ("image-image", "oti-image", "image-image+pca_plus"), "image-to-image", "average13",
    ),
    "isoclip-images": lambda name: _grid(
        name, "IsoCLIP: image-to-image retrieval", (ISOCLIP,),
        ("image-image", "oti-image", "image-image+isoclip"), "image-to-image", "average13",
    ),
    "isoclip-texts": lambda name: _grid(
        name, "IsoCLIP: text-to-text retrieval", (ISOCLIP,),
        ("text-text", "ovi-text", "text-text+isoclip"), "text-to-text", "average3",
    ),
}  # fmt: skip
TABLES = tuple(_MADE)
IDEALISED = "idealised"  # one more, of no cell: `papers.studies` has it


@cache
def table(name: str) -> PaperTable:
    """The table of a name.

    Raises:
        CrossgapError: there is none; names those there are.
    """
    if name not in _MADE:
        every = (*TABLES, IDEALISED)
        raise CrossgapError(f"there is no table {name!r}{like(name, every)}; there are {', '.join(every)}")
    return _MADE[name](name)
