"""Datasets: `declared` has the rows of params.yaml, `readers` read each layout, `preparing` makes the manifest."""

from crossgap.lazy import when_used

_PUBLIC = {
    "Declaration": "crossgap.datasets.declared",
    "LAYOUTS": "crossgap.datasets.declared",
    "Classified": "crossgap.datasets.declared.base",
    "Controls": "crossgap.datasets.declared.base",
    "Dataset": "crossgap.datasets.declared.base",
    "DatasetError": "crossgap.errors",
    "Exported": "crossgap.datasets.declared.base",
    "NAME": "crossgap.datasets.declared.base",
    "OnDisk": "crossgap.datasets.declared.base",
    "Retrieval": "crossgap.datasets.declared.base",
    "SIMAT": "crossgap.datasets.declared.base",
    "Size": "crossgap.datasets.declared.base",
    "Split": "crossgap.datasets.declared.base",
    "Cifar": "crossgap.datasets.declared.containers",
    "HuggingFace": "crossgap.datasets.declared.containers",
    "Revisited": "crossgap.datasets.declared.containers",
    "Table": "crossgap.datasets.declared.containers",
    "Torchvision": "crossgap.datasets.declared.containers",
    "WebDataset": "crossgap.datasets.declared.containers",
    "World": "crossgap.datasets.declared.embedded",
    "Captions": "crossgap.datasets.declared.folders",
    "Folder": "crossgap.datasets.declared.folders",
    "ImageFolder": "crossgap.datasets.declared.folders",
    "Simat": "crossgap.datasets.declared.folders",
    "Aircraft": "crossgap.datasets.declared.images",
    "Coop": "crossgap.datasets.declared.images",
    "Cub": "crossgap.datasets.declared.images",
    "DogsVsCats": "crossgap.datasets.declared.images",
    "ImageNet": "crossgap.datasets.declared.images",
    "Sop": "crossgap.datasets.declared.images",
    "Coco": "crossgap.datasets.declared.pairs",
    "Flickr": "crossgap.datasets.declared.pairs",
    "Karpathy": "crossgap.datasets.declared.pairs",
    "Beir": "crossgap.datasets.declared.texts",
    "Documents": "crossgap.datasets.declared.texts",
    "Texts": "crossgap.datasets.declared.texts",
}
__all__ = list(_PUBLIC)
__getattr__, __dir__ = when_used(__name__, _PUBLIC)
