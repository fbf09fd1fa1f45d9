"""A small cell: images whose features say their labels, captions, prompts and a vocabulary; and inversions of it."""

from __future__ import annotations

import numpy as np
import pandas as pd

from crossgap import open_store
from crossgap.stores import store

DIM, WIDTH, LAST = 8, 10, 20
CLASSES = {"colour": ["red", "green", "blue"], "shape": ["disc", "box"]}
RNG = np.random.default_rng(0)
WEIGHTS = {modality: RNG.normal(size=(DIM, WIDTH)) for modality in ("image", "text")}
CENTRES = {name: RNG.normal(size=WIDTH) for names in CLASSES.values() for name in names}


def images(split: str, count: int) -> dict:
    """Images whose features say their labels, with noise."""
    rng = np.random.default_rng(len(split))
    ids = [f"{split}{i:02}" for i in range(count)]
    labels = {
        name: [classes[k] for k in rng.integers(0, len(classes), count)] for name, classes in CLASSES.items()
    }
    before = np.array([sum(CENTRES[labels[name][i]] for name in CLASSES) for i in range(count)])
    before = (before + rng.normal(size=(count, WIDTH)) + 1).astype(np.float32)
    return {
        "id": ids, "group": ids, "rank": [0] * count, "preprojection": before,
        "features": (before @ WEIGHTS["image"].T).astype(np.float32),
    } | {f"label.{name}": values for name, values in labels.items()}  # fmt: skip


def captions(of: dict, each: int = 2) -> dict:
    """Captions of images, which say their colour."""
    rng = np.random.default_rng(9)
    n = len(of["id"])
    before = np.repeat(of["preprojection"], each, axis=0) - 2 + rng.normal(size=(n * each, WIDTH))
    return {
        "id": [f"{name}#{k}" for name in of["id"] for k in range(each)],
        "group": [name for name in of["id"] for _ in range(each)],
        "rank": [k for _ in of["id"] for k in range(each)],
        "features": (before @ WEIGHTS["text"].T).astype(np.float32),
        "preprojection": before.astype(np.float32),
        "label.colour": [name for name in of["label.colour"] for _ in range(each)],
    }


def texts(ids: list[str], features: np.ndarray, **more: list) -> dict:
    return {"id": ids, "rank": [0] * len(ids), "features": features.astype(np.float32)} | more


def write(path, groups: dict, provenance: dict | None = None, judgements: pd.DataFrame | None = None):
    arrays = ("features", "preprojection", "loss", "snapshots", "snapshot_loss")
    with store.creating(path, path.parent / "scratch", provenance or {"fingerprint": "native"}) as writer:
        for name, columns in groups.items():
            held = {key: np.asarray(columns[key], np.float32) for key in arrays if key in columns}
            kinds = {"rank": np.int64, "step": np.int64}
            others = {
                key: np.array(values, kinds.get(key, object))
                for key, values in columns.items()
                if key not in held
            }
            writer.add(name, others, [held])
        if "text/vocabulary" in groups:
            for modality, weight in WEIGHTS.items():
                writer.add_projection(modality, weight.astype(np.float32))
        if judgements is not None:
            writer.add_judgements(judgements)
    return open_store(path)


TEST, TRAIN = images("test", 24), images("train", 30)
PROMPTS = texts(
    [f"classes/{name}" for names in CLASSES.values() for name in names],
    np.array([CENTRES[name] - 2 for names in CLASSES.values() for name in names]) @ WEIGHTS["text"].T,
    **{
        f"label.{labelling}": [name if name in names else "" for all_ in CLASSES.values() for name in all_]
        for labelling, names in CLASSES.items()
    },
)
WORDS = np.random.default_rng(5).normal(size=(20, DIM)) + 1


def groups() -> dict:
    return {
        "image/test": TEST,
        "image/train": TRAIN,
        "text/test": captions(TEST),
        "text/train": captions(TRAIN),
        "text/classes": PROMPTS,
        "text/vocabulary": texts([f"vocabulary/{i}" for i in range(20)], WORDS),
    }


def inverted(path, seed: int = 0, kind: str = "oti", of: dict = TEST):
    """Features between the image's own and noise, with two snapshots on the way."""
    rng = np.random.default_rng(100 + seed)
    noise = rng.normal(size=(len(of["id"]), DIM))
    own = np.asarray(of["features"], np.float64)
    snapshots = np.stack([noise + share * own for share in (0.0, 0.1)], axis=1)
    columns = {
        "id": of["id"], "features": noise + 0.2 * own, "loss": np.full(len(of["id"]), 0.3),
        "step": [5, 10], "snapshots": snapshots, "snapshot_loss": np.full((len(of["id"]), 2), 0.5),
    }  # fmt: skip
    made_by = {"method": {"name": kind, "tokens": 1}, "recipe": {"steps": LAST, "seed": seed}}
    return write(path, {"image/test": columns}, {"fingerprint": kind, "inverts": "native", **made_by})
