"""How long encoding and inverting take with a backbone, timed on a few items, by crossgap's own stages' code.

As a process, `python -m crossgap.planning.timing` reads an `Asked` from its input as JSON and writes `Speeds`, or why
there are none: `{"error": sentence}`.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crossgap.backbones import towers
from crossgap.errors import is_told, said
from crossgap.planning.probe import Asked, Speeds, inversion, started_at

if TYPE_CHECKING:
    import pandas as pd

    from crossgap.backbones import Backbone
    from crossgap.inversion.methods import Oti, Ovi

_STEPS = 50  # at most, of an inversion


def rate(
    work: Callable[[int], Any], most: int, seconds: float, each: float | None = None
) -> tuple[float, int]:
    """The seconds that each further item of `work(n)` takes, and the n that this was measured with.

    n grows from 1 to at most `most` while there seems to be time. If there is time for a single item only, its whole
    cost is given.

    Args:
        each: a guess of the cost of one item; the time of `work(1)`, if not given.
    """

    def timed(n: int) -> float:
        start = time.perf_counter()
        work(n)
        return time.perf_counter() - start

    first = timed(1)
    if first > seconds / 2:
        return each or first, 1
    one = took = timed(1)  # the first does what is done once
    each = each or one
    seconds -= first + one
    n = 1
    while (more := min(most, int(n + (seconds - took) / each))) > n:
        took, n = timed(more), more
        seconds -= took
        each = max(took - one, 0) / (n - 1) or took / n
    return each, n


def measure(asked: Asked, started: float) -> Speeds:
    """Measure in this process, which started at `started` (of `time.monotonic`)."""
    from crossgap.backbones import load_backbone
    from crossgap.inversion.batch_size import fitting
    from crossgap.inversion.methods import Oti, Ovi

    if asked.model.startswith(towers.TIMM_PREFIX):
        backbone = _image_only(asked)
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # random weights are as fast as any
            backbone = load_backbone(asked.model, None, asked.device, asked.precision)
    start = time.monotonic() - started
    methods: list[Oti | Ovi] = [Oti(asked.template, number) for number in asked.tokens]
    methods += [Ovi(number) for number in asked.patches]
    each = asked.seconds / (asked.images + asked.texts + len(methods))
    measured: dict[str, int] = {}
    filled: dict[str, int] = {}
    encoded: dict[str, float | None] = {"image": None, "text": None}
    for modality, wanted in (("image", asked.images), ("text", asked.texts)):
        if wanted:
            least = _forward(backbone) if modality == "image" else None
            found = rate(_encoding(backbone, modality, asked), asked.batch_size, each, least)
            encoded[modality], measured[f"{modality}s"] = found
    steps: dict[str, dict[int, float]] = {"oti": {}, "ovi": {}}
    for method in methods:
        number = method.tokens if isinstance(method, Oti) else method.patches
        name = inversion(method.name, number)
        filled[name] = asked.inversion_batch_size or fitting(method.inject(backbone), backbone.device)
        steps[method.name][number], measured[name] = _step(backbone, method, filled[name], each)
    return Speeds(start, encoded["image"], encoded["text"], steps["oti"], steps["ovi"], measured, filled)


def _image_only(asked: Asked) -> Backbone:
    """An image-only backbone with random weights, which `load_backbone` doesn't make."""
    from timm.data import create_transform, resolve_model_data_config

    from crossgap.backbones.backbone import Backbone, resolve_device
    from crossgap.backbones.image_only import DTYPES, built

    tower = built(asked.model)
    transform = create_transform(**resolve_model_data_config(tower.visual), is_training=False)
    provenance = {"model": asked.model}
    device = resolve_device(asked.device)
    return Backbone(tower.eval().to(device, DTYPES[asked.precision]), transform, None, device, provenance)


def _encoding(backbone: Backbone, modality: str, asked: Asked) -> Callable[[int], None]:
    """A function of n that encodes n items of one modality as the stage `encode` does."""
    from crossgap.encode import encode

    def work(n: int) -> None:
        with tempfile.TemporaryDirectory() as folder:
            items, root = (
                _images(n, Path(folder), asked.sample) if modality == "image" else (_texts(n), folder)
            )
            encode(
                items, root, backbone, Path(folder) / "store.zarr.zip", provenance={}, scratch=Path(folder) / "scratch",
                batch_size=asked.batch_size, workers=asked.workers, shard_size=asked.batch_size,
            )  # fmt: skip

    return work


def _forward(backbone: Backbone) -> float:
    """Seconds to transform and encode one image, without the start of a loader."""
    from PIL import Image

    def seconds() -> float:
        start = time.perf_counter()
        backbone.encode_images(backbone.transform(Image.new("RGB", (500, 375)))[None])
        return time.perf_counter() - start

    seconds()  # the first does what is done once
    return seconds()


def _images(n: int, folder: Path, sample: tuple[str, str] | None) -> tuple[pd.DataFrame, Path]:
    """A manifest of n images and their root: the first of the sample, or JPEGs of noise at the usual size of photos."""
    import numpy as np
    import pandas as pd
    from PIL import Image

    from crossgap import fingerprint
    from crossgap.prepared import manifest

    if sample:
        images = manifest.select(manifest.read(sample[0]), "image").drop_duplicates("digest")
        if len(images) >= n:
            return images[:n].reset_index(drop=True), Path(sample[1])
    rows = []
    for number in range(n):
        noise = np.random.default_rng(number).integers(0, 256, (47, 63, 3), np.uint8)
        path = folder / f"{number}.jpg"
        Image.fromarray(noise).resize((500, 375), Image.Resampling.BICUBIC).save(path, quality=90)
        rows.append(_row(str(number), "image", path.name, None, fingerprint.of_content(path.read_bytes())))
    return pd.DataFrame(rows), folder


def _texts(n: int) -> pd.DataFrame:
    import pandas as pd

    from crossgap.prepared import manifest

    texts = [f"a photo of a dog that sits beside the tree with the number {number}" for number in range(n)]
    rows = [_row(str(k), "text", None, text, manifest.text_digest(text)) for k, text in enumerate(texts)]
    return pd.DataFrame(rows)


def _row(name: str, modality: str, path: str | None, text: str | None, digest: str) -> dict[str, Any]:
    group = name if modality == "image" else None
    return {
        "id": name, "modality": modality, "split": "test", "path": path, "text": text, "group": group, "rank": 0,
        "digest": digest,
    }  # fmt: skip


def _step(backbone: Backbone, method: Oti | Ovi, batch: int, seconds: float) -> tuple[float, int]:
    """Seconds of one step for one item, and how many items were inverted together: if there is time, a whole batch."""
    import numpy as np

    from crossgap.inversion.invert import Inverter
    from crossgap.inversion.recipes import Recipe

    def steps(n: int, number: int = 1) -> float:
        inverter = Inverter(backbone, method, Recipe(number), n)
        features = np.random.default_rng(0).normal(size=(n, backbone.dim)).astype(np.float32)
        _ = inverter.injection  # made once a stage
        start = time.perf_counter()
        inverter([str(row) for row in range(n)], features, lambda _: None)
        return time.perf_counter() - start

    if (first := steps(1)) > seconds / 2:
        return first, 1
    if (one := steps(1)) > seconds / 8:  # the first also did what is done once
        return one, 1
    each, n = rate(steps, batch, seconds / 2)
    number = min(_STEPS, max(2, int(seconds / 2 / (each * n + 1e-3))))
    return steps(n, number) / number / n, n


def main() -> None:
    asked = json.load(sys.stdin)
    try:
        print(json.dumps(asdict(measure(Asked(**asked), started_at()))))
    except Exception as error:
        if not is_told(error):
            raise
        print(json.dumps({"error": said(error)}))
        sys.exit(1)


if __name__ == "__main__":
    main()
