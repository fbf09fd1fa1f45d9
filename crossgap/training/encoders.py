"""Two encoders of one architecture that see the same images, for the idealised experiment."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import open_clip
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from scipy.optimize import minimize
from torch import Tensor, nn
from torch.nn.functional import normalize

from crossgap.backbones.checkpoints import by_library
from crossgap.backbones.towers import CONFIG, LOCAL_DIR_PREFIX
from crossgap.encode import Images
from crossgap.errors import WeightsError
from crossgap.progress import Bar
from crossgap.training.idealised_recipe import Settings
from crossgap.training.temperature import WithTemperature
from crossgap.training.trainer import TrainingError

if TYPE_CHECKING:
    from jaxtyping import Float, Float64

HELD = 2**31  # bytes of transformed images that are kept; more are decoded again for each batch
FORWARD = 256  # images at once where no gradient is needed
BLURS = (1e-1, 1e-2, 1e-3, 1e-5, 1e-9)
_NO_TEXTS = {"context_length": 2, "vocab_size": 2, "width": 8, "heads": 1, "layers": 1}


class Architecture:
    """A vision tower's configuration and its preprocessing, without its weights.

    Attributes:
        config: open_clip's `vision_cfg` and `quick_gelu`, and `preprocessing`.
        transform: PIL image → `(3, h, w)`, for inference.
        widest: the largest width of features that a tower can fill; infinite where its projection doesn't tell.

    Raises:
        TrainingError: open_clip can't make it.
    """

    def __init__(self, name: str) -> None:
        try:
            with by_library():
                document = _document(name)
                model = document["model_cfg"]
                self.config = {
                    "vision_cfg": model["vision_cfg"],
                    "quick_gelu": model.get("quick_gelu", False),
                }
                tower = self.tower(2, 0)
                preprocessing = PreprocessCfg(
                    **{**document.get("preprocess_cfg", {}), "size": tower.image_size}
                )
        except WeightsError as error:
            raise TrainingError(
                f"architecture: {name!r} can't be made: {error}; name a model of open_clip"
            ) from error
        self.config["preprocessing"] = asdict(preprocessing)
        self.transform = image_transform_v2(preprocessing, is_train=False)
        projection = getattr(tower, "proj", None)
        self.widest = len(projection) if isinstance(projection, nn.Parameter) else math.inf

    def tower(self, width: int, seed: int) -> nn.Module:
        """A tower `(n, 3, h, w)` → `(n, width)` of random weights.

        It is in evaluation mode, even while it is trained: a feature depends on its image alone.
        """
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            model = open_clip.CLIP(width, self.config["vision_cfg"], _NO_TEXTS, self.config["quick_gelu"])
        return model.visual.eval()


def _document(name: str) -> dict[str, Any]:
    if name.startswith(LOCAL_DIR_PREFIX):
        file = Path(name.removeprefix(LOCAL_DIR_PREFIX)) / CONFIG
        return json.loads(file.read_text(encoding="utf-8"))
    config = open_clip.get_model_config(name.replace("/", "-"))
    if config is None:
        raise WeightsError(f"none of its {len(open_clip.list_models())} models, see open_clip.list_models()")
    return {"model_cfg": config}


class Pixels:
    """Transformed images by row, `(n, 3, h, w)`; all are kept on the device if they fit into `HELD` bytes."""

    def __init__(self, images: Images, device: torch.device | str) -> None:
        self.images, self.device, self.held = images, torch.device(device), None
        if images[0].nbytes * len(images) <= HELD:
            rows = Bar(range(len(images)), desc="images", unit="image", delay=2, leave=False)
            self.held = torch.stack([images[row] for row in rows]).to(self.device)

    def __getitem__(self, rows: Sequence[int]) -> Float[Tensor, "n 3 h w"]:
        if self.held is not None:
            return self.held[list(rows)]
        return torch.stack([self.images[row] for row in rows]).to(self.device)


class Encoders(WithTemperature):
    """Two towers, or one that is both. The second's unit features are moved by a fixed vector and made unit again.

    Attributes:
        translation: `(width,)`.
        frames: `(frames, 2, images, width)`, the features at some steps. They are part of the state, so that a
            checkpoint has the frames before it.
    """

    translation: Tensor
    frames: Tensor

    def __init__(self, architecture: Architecture, settings: Settings, frames: int, images: int) -> None:
        super().__init__(settings.temperature, settings.learn_temperature)
        seeds = 2 * settings.seed, 2 * settings.seed + 1
        self.first = architecture.tower(settings.width, seeds[0])
        self.second = self.first if settings.shared else architecture.tower(settings.width, seeds[1])
        self.register_buffer("translation", torch.zeros(settings.width))
        self.register_buffer("frames", torch.zeros(frames, 2, images, settings.width))

    def forward(
        self, pixels: Float[Tensor, "n 3 h w"], others: Float[Tensor, "n 3 h w"] | None = None
    ) -> tuple[Float[Tensor, "n width"], Float[Tensor, "n width"]]:
        """Unit features `(n, width)` by each encoder; the second's are of `others`, where those are given."""
        first = normalize(self.first(pixels), dim=-1)
        if others is None and self.second is self.first:
            second = first
        else:
            second = normalize(self.second(pixels if others is None else others), dim=-1)
        return first, normalize(second + self.translation, dim=-1)

    @torch.no_grad()
    def of_all(self, pixels: Pixels, count: int) -> tuple[Float[Tensor, "n width"], Float[Tensor, "n width"]]:
        """The features of the first `count` images."""
        parts = [range(start, min(start + FORWARD, count)) for start in range(0, count, FORWARD)]
        first, second = zip(*(self(pixels[part]) for part in parts), strict=True)
        return torch.cat(first), torch.cat(second)

    def place(self, pixels: Pixels, count: int, gap: float, seed: int) -> None:
        """Choose the translation with which the clouds of the first `count` images have means `gap` apart."""
        first, second = (x.cpu().double().numpy() for x in self.of_all(pixels, count))
        self.translation.copy_(torch.from_numpy(translation(first, second, gap, seed)))


def translation(
    x: Float64[np.ndarray, "n d"], y: Float64[np.ndarray, "n d"], gap: float = 0.0, seed: int = 0
) -> Float64[np.ndarray, " d"]:
    """The vector c `(d,)` for which unit(y + c) has the mean of x, both unit rows `(n, d)` in float64.

    Were rows not made unit again, c would be mean x − mean y. As they are, mean unit(y + c) is the gradient, by c, of
    mean ‖y + c‖; so c is where the convex function mean ‖y + c‖ − c · mean x is lowest. It is found from mean x −
    mean y by scipy's trust-region method, with lengths √(‖y + c‖² + blur²) whose blur falls to almost none. If a row
    would have to end at the origin, a distance of at most 1/n is left between the means.

    With a `gap`, the mean of x is first turned about the origin in a direction drawn by `seed`, until it lies that far
    away: as long as before, it leaves the moved cloud as spread out as x.

    Raises:
        TrainingError: the rows of one are one point, which no translation brings to spread as the other's, or the gap
            is more than twice the length of the mean of x.
    """
    mean = _turned(x.mean(axis=0), gap, seed)
    if max(np.linalg.norm(rows.mean(axis=0)) for rows in (x, y)) > 1 - 1e-9:
        raise TrainingError(
            "architecture: an encoder gives all images one feature; name another, or more images"
        )

    c = mean - y.mean(axis=0)
    for blur in BLURS:
        c = _lowest(y, mean, c, blur)
    return c


def _turned(mean: Float64[np.ndarray, " d"], gap: float, seed: int) -> Float64[np.ndarray, " d"]:
    """A vector as long as `mean`, `gap` away from it."""
    if not gap:
        return mean
    length = float(np.linalg.norm(mean))
    if gap > 2 * length:
        raise TrainingError(
            f"gap: {gap:g} is more than {2 * length:.3g}, twice the length of the first encoder's mean feature at the "
            "start: give less"
        )
    drawn = np.random.Generator(np.random.Philox(key=seed)).standard_normal(len(mean))
    across = drawn - (drawn @ mean) / length**2 * mean
    angle = 2 * math.asin(gap / (2 * length))
    return math.cos(angle) * mean + math.sin(angle) * length * across / np.linalg.norm(across)


def _lowest(
    y: Float64[np.ndarray, "n d"], mean: Float64[np.ndarray, " d"], c: Float64[np.ndarray, " d"], blur: float
) -> Float64[np.ndarray, " d"]:
    """Where mean √(‖y + c‖² + blur²) − c · mean is lowest, from c."""

    def lengths(step: np.ndarray) -> np.ndarray:
        return np.sqrt(np.square(y + c + step).sum(axis=1, keepdims=True) + blur**2)

    start = lengths(np.zeros_like(c))

    def height(step: np.ndarray) -> float:
        """The rise from c. The difference of two heights would lose the small falls of the last steps by rounding."""
        longer = (2 * (y + c) + step) @ step / (lengths(step) + start)[:, 0]
        return longer.mean() - step @ mean

    def slope(step: np.ndarray) -> np.ndarray:
        return ((y + c + step) / lengths(step)).mean(axis=0) - mean

    def curvature(step: np.ndarray) -> np.ndarray:
        length = lengths(step)
        units = (y + c + step) / length
        return (1 / length).mean() * np.eye(len(c)) - (units / length).T @ units / len(y)

    found = minimize(
        height,
        np.zeros_like(c),
        method="trust-exact",
        jac=slope,
        hess=curvature,
        options={"gtol": 1e-9, "maxiter": 1000},
    )
    return c + found.x
