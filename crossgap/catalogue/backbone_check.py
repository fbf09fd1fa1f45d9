"""Whether a backbone's weights and features are what they should be, by one image and a few texts."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from crossgap.catalogue.backbones import cached, facts
from crossgap.errors import BackboneError

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float, UInt8
    from torch import Tensor

    from crossgap.backbones import Backbone

T = TypeVar("T")
TEXTS = ("a large red circle", "a small blue triangle")  # the first is what the check's image shows
TOLERANCE = 0.005  # of a known cosine: features were published in half precision
AGREEMENT = {"bf16": 0.99, "fp16": 0.999}  # least cosine of a feature in half precision to that in single


def image() -> UInt8[np.ndarray, "240 320 3"]:
    """The check's image `(240, 320, 3)` uint8: a red disc on a ground that grows lighter, the same on every machine."""
    import numpy as np

    rows, columns = np.mgrid[:240, :320]
    pixels = np.stack([rows // 4 + 150, columns // 4 + 150, (rows + columns) // 8 + 150], -1)
    pixels[(rows - 120) ** 2 + (columns - 160) ** 2 < 90**2] = 200, 30, 30
    return pixels.astype(np.uint8)


def check(
    name: str,
    model: str,
    pretrained: str | None = None,
    *,
    sha256: str | None = None,
    preprocess: str | Mapping[str, object] | None = None,
    device: str = "cpu",
    cache_dir: str | None = None,
) -> Iterator[str]:
    """Load a backbone and look at what it makes of one image and a few texts.

    Args:
        name: in params.yaml and the catalogue.
        model, pretrained, sha256, preprocess, device, cache_dir: as for `load_backbone`.

    Yields:
        Lines that say what was found.

    Raises:
        BackboneError: it can't be loaded, or isn't what was declared.
        BackboneError: weights that are not those published, features that aren't finite, cosines that aren't the known
            ones, half precision that strays.
    """
    known = facts().get(name)
    exact, seconds = _timed(_load, model, pretrained, device, "fp32", sha256, preprocess, cache_dir)
    found = exact.provenance["weights_sha256"]
    yield f"{name}: {known.title + ', ' if known else ''}{model}, loaded in {seconds:.1f} s"
    yield f"preprocessing: from {exact.provenance['preprocessing_from']}"
    yield f"weights: SHA-256 {found}, {_verified(name, cached(model, pretrained, cache_dir), found, sha256)}"
    yield from _features(exact)
    yield from _known(name, exact)
    for precision, least in AGREEMENT.items():
        half = _load(model, pretrained, device, precision, None, preprocess, cache_dir)
        worst = min(
            float((_unit(one) * _unit(other)).sum(-1).min())
            for one, other in zip(_encoded(exact).values(), _encoded(half).values(), strict=True)
        )
        if not worst >= least:
            raise BackboneError(
                f"{name}: a feature in {precision} has cosine {worst:.5f} to that in fp32, under {least}: "
                "use precision fp32"
            )
        yield f"precision: {precision} agrees with fp32, cosine {worst:.5f} or more"


def _load(
    model: str,
    pretrained: str | None,
    device: str,
    precision: str,
    sha256: str | None,
    preprocess: Any,
    cache_dir: str | None,
) -> Backbone:
    from crossgap.backbones import load_backbone

    return load_backbone(
        model, pretrained, device, precision, sha256=sha256, preprocess=preprocess, cache_dir=cache_dir
    )


def _verified(name: str, file: Path | None, found: str, declared: str | None) -> str:
    """What vouches for a hash, in words."""
    known = facts().get(name)
    published = known.published.get(file.name) if known and file else None
    # the cache of the hub calls a file by the hash that the hub states
    on_the_hub = file.resolve().name if file and re.fullmatch("[0-9a-f]{64}", file.resolve().name) else None
    for wanted, by in [(published, "published"), (on_the_hub, "stated by the hub")]:
        if wanted and wanted != found:
            raise BackboneError(
                f"{name}: {file} has SHA-256 {found}, not {wanted}, which is {by}: get it again"
            )
    vouching = {"declared": declared, "published": published, "stated by the hub": on_the_hub}
    said = [by for by, wanted in vouching.items() if wanted]
    return f"as {' and '.join(said)}" if said else "nothing to compare it with: none is published or declared"


def _encoded(backbone: Backbone, texts: tuple[str, ...] = TEXTS) -> dict[str, Float[Tensor, "n d"]]:
    """By modality, features of the check's image and of texts."""
    from PIL import Image

    found = {"image": backbone.encode_images(backbone.transform(Image.fromarray(image())).unsqueeze(0))}
    if "text" in backbone.modalities:
        found["text"] = backbone.encode_texts(backbone.tokenize(texts)[0])
    return {modality: encoded.features.cpu() for modality, encoded in found.items()}


def _features(backbone: Backbone) -> Iterator[str]:
    found, seconds = _timed(_encoded, backbone)
    for modality, features in found.items():
        if not bool(features.isfinite().all()):
            raise BackboneError(f"{backbone.provenance['model']}: {modality} features aren't finite")
        norms = ", ".join(f"{norm:.4g}" for norm in features.norm(dim=-1).tolist())
        yield f"{modality}: width {features.shape[1]}, norm {norms}"
    if "text" in found:
        for text, cosine in zip(
            TEXTS, (_unit(found["text"]) @ _unit(found["image"])[0]).tolist(), strict=True
        ):
            yield f"cosine of the image (a red disc) to {text!r}: {cosine:.4f}"
    yield f"time: {seconds:.2f} s for one image and {len(TEXTS)} texts on {backbone.device}"


def _known(name: str, backbone: Backbone) -> Iterator[str]:
    """Compare cosines with those known."""
    known = facts()[name].cosines if name in facts() else None
    if known is None:
        yield "cosines: none are known of this backbone"
        return
    pairs = [(None, text, cosine) for text, cosine in known.image.items()] + list(known.texts)
    texts = tuple(dict.fromkeys(text for pair in pairs for text in pair[:2] if text))
    features = _encoded(backbone, texts)
    held = dict(zip(texts, _unit(features["text"]), strict=True)) | {None: _unit(features["image"])[0]}
    for one, other, cosine in pairs:
        found = float(held[one] @ held[other])
        between = f"{repr(one) if one else 'the image'} and {other!r}"
        if not abs(found - cosine) <= TOLERANCE:
            raise BackboneError(
                f"{name}: the cosine of {between} is {found:.4f}, known is {cosine:.4f} ± {TOLERANCE} "
                f"(from {known.known_from}): the weights, the tokenizer or the transform are others"
            )
        yield f"known cosine of {between}: {cosine:.4f}, found {found:.4f}"


def _unit(features: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
    return features / features.norm(dim=-1, keepdim=True)


def _timed(call: Callable[..., T], *arguments: Any) -> tuple[T, float]:
    start = time.perf_counter()
    return call(*arguments), time.perf_counter() - start
