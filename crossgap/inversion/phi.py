"""φ: a network that gives an item's pseudo-tokens in one forward pass, instead of their optimisation."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor, nn
from torch.nn.functional import gelu, normalize

from crossgap import fingerprint
from crossgap.backbones.backbone import Backbone, require_backbone
from crossgap.errors import BackboneError, opened
from crossgap.inversion.distil_recipe import WIDER
from crossgap.inversion.invert import Inversion, Inverter, inverted
from crossgap.inversion.methods import Method, method_of
from crossgap.inversion.recipes import Continued
from crossgap.stores import temporary

if TYPE_CHECKING:
    from jaxtyping import Float, Float32, Real

    from crossgap.arrays import Features


FORMAT = 1
KEY = "crossgap"  # of the file's metadata


class Phi(nn.Module):
    """MLP d → 4d → 4d → t × width with GELU (SEARLE, Baldrati et al. 2023, section 3.2).

    It is given directions: the length of a feature makes no difference. An item's tokens depend on its feature alone.

    Args:
        dim: d, of the features.
        shape: `(t, width)` of an item's pseudo-tokens or pseudo-patches.
    """

    def __init__(self, dim: int, shape: tuple[int, int]) -> None:
        super().__init__()
        self.dim, self.shape = dim, tuple(shape)
        self.first = nn.Linear(dim, WIDER * dim)
        self.second = nn.Linear(WIDER * dim, WIDER * dim)
        self.last = nn.Linear(WIDER * dim, shape[0] * shape[1])

    def forward(
        self, features: Float[Tensor, "n d"], kept: Float[Tensor, "2 n wider"] | None = None
    ) -> Float[Tensor, "n tokens width"]:
        """`(n, d)` features → `(n, t, width)`.

        Args:
            kept: of dropout, what each of the two hidden layers `(n, 4d)` is multiplied by; nothing is dropped, if
                not given.
        """
        x = normalize(features.float(), dim=-1) * self.dim**0.5  # components of size 1
        for number, layer in enumerate((self.first, self.second)):
            x = gelu(layer(x))
            if kept is not None:
                x = x * kept[number]
        return self.last(x).unflatten(1, self.shape)


@dataclass(frozen=True)
class Distilled:
    """A trained φ and the backbone that it belongs to.

    Attributes:
        said: JSON-able: `format`, of the backbone its `model` and `weights_sha256`, `method`, `dim` and `shape` of φ,
            and what it was made from: `loss`, `recipe`, `on` (what it was distilled on), `code`.
        curves: of its training, as `trainer.fit` gives them.
    """

    backbone: Backbone
    method: Method
    phi: Phi
    said: dict[str, Any]
    curves: Sequence[Mapping[str, float]] = ()

    @property
    def digest(self) -> str:
        """A name of its weights and of all that it says of their making."""
        state = _state(self.phi)  # of known names and shapes
        return fingerprint.of_bytes(
            json.dumps([self.said, self.curves], sort_keys=True).encode(),
            *(held.numpy().tobytes() for held in state.values()),
        )

    @property
    def named(self) -> dict[str, Any]:
        """What a store says of it: its `digest`, its `loss`, what it was distilled `on` and its loss there."""
        held_out = [row["held_out"] for row in self.curves if "held_out" in row]
        last = {"held_out_loss": round(held_out[-1], 6)} if held_out else {}
        return {"digest": self.digest, "loss": self.said["loss"], "on": self.said["on"], **last}

    def tokens(self, features: Real[Features, "n d"]) -> Float32[np.ndarray, "n tokens width"]:
        """`(n, d)` features of the backbone → `(n, t, width)` float32: one forward pass of φ alone."""
        return self.invert(features, progress=False).tokens

    def invert(
        self,
        features: Real[Features, "n d"],
        ids: Sequence[str] | None = None,
        steps: int = 0,
        *,
        lr: float = 0.02,
        weight_decay: float = 0.01,
        snapshots: Sequence[int] = (),
        optimiser: str = "adamw",
        batch_size: int | None = None,
        progress: bool = True,
    ) -> Inversion:
        """Features of the other modality in one forward pass or, with `steps`, by so many steps from there.

        Args:
            features: `(n, d)` of this backbone, images' for OTI and texts' for OVI; their length makes no difference.
            ids: one unique name an item, for messages; row numbers if not given.
            lr, weight_decay, snapshots, optimiser, batch_size: as in `oti`; step 0 is φ's own.

        Raises:
            TypeError, ValueError: as `oti`; `CrossgapError` for a setting that is out of range.
        """
        recipe = Continued(steps, lr, weight_decay, snapshots=snapshots, optimiser=optimiser)
        return inverted(self.inverter(recipe, batch_size), features, ids, progress)

    def inverter(self, recipe: Continued, batch_size: int | None = None) -> Inverter:
        """What inverts by this φ, for `stores.invert_store`."""
        return Inverter(self.backbone, self.method, recipe, batch_size, start=self.phi)

    def save(self, path: str | Path) -> None:
        """Write it to a `.safetensors` file: whole or not at all, and the same bytes from the same φ."""
        from safetensors.torch import save

        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        # one entry: the library writes several in any order
        said = json.dumps({**self.said, "curves": self.curves, "digest": self.digest}, sort_keys=True)
        temporary.remove_leftovers(path.parent)
        temporary.write(path, save(_state(self.phi), {KEY: said}))


def load_distilled(path: str | Path, backbone: Backbone, method: Method | None = None) -> Distilled:
    """Load what `Distilled.save` wrote.

    Args:
        method: that it must be of, with its number of tokens and its template; any, if not given.

    Raises:
        BackboneError: it was distilled with another backbone, or for another method, number of tokens or template;
            it is not such a file, or was changed since.
    """
    require_backbone(backbone)
    said, state = _said(Path(path))
    if "not_applicable" in said or said.get("format") != FORMAT:
        raise _damaged(path, said.get("not_applicable", f"its format is {said.get('format')}, not {FORMAT}"))
    _check_form(path, said, state)
    ours = backbone.provenance
    if said["weights_sha256"] != ours["weights_sha256"]:
        raise BackboneError(
            f"{path} was distilled with {said['model']!r} of weights {said['weights_sha256']}, the backbone "
            f"{ours['model']!r} has {ours['weights_sha256']}: distil with this backbone"
        )
    try:
        found = method_of(said["method"])
    except (KeyError, TypeError):
        raise _damaged(path, f"its method {said['method']} is none that this crossgap knows") from None
    if method is not None and found != method:
        raise BackboneError(
            f"{path} was distilled for {_settings(found)}, and {_settings(method)} is asked for: distil it for this"
        )
    shape = found.inject(backbone).shape
    if (said["dim"], tuple(said["shape"])) != (backbone.dim, shape):
        raise BackboneError(
            f"{path} takes features of width {said['dim']} and gives {_by(said['shape'])}; the backbone "
            f"{ours['model']!r} has features of width {backbone.dim} and takes {_by(shape)}: distil with this backbone"
        )
    phi = Phi(said["dim"], shape)
    digest, curves = (said.pop(name, None) for name in ("digest", "curves"))
    phi.load_state_dict(state)
    distilled = Distilled(backbone, found, phi.to(backbone.device).eval().requires_grad_(False), said, curves)
    if distilled.digest != digest:
        raise _damaged(path, "its content is not what its digest says")
    return distilled


def save_nothing(path: str | Path, reason: str) -> None:
    """Write a file that says why there is no φ."""
    from safetensors.torch import save

    Path(path).parent.mkdir(parents=True, exist_ok=True)
    temporary.write(Path(path), save({}, {KEY: json.dumps({"not_applicable": reason})}))


def _said(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What a file says, and its tensors; nothing is unpickled."""
    from safetensors import SafetensorError, safe_open

    try:
        with opened(path), safe_open(path, "pt") as file:
            said = json.loads((file.metadata() or {})[KEY])
            if not isinstance(said, dict):
                raise _damaged(path, "it doesn't say what made it")
            return said, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, KeyError, json.JSONDecodeError, RecursionError):
        raise _damaged(path, "it is cut short, or `Distilled.save` did not write it") from None


def _check_form(path: str | Path, said: dict[str, Any], state: Mapping[str, Tensor]) -> None:
    """BackboneError unless a file says all that φ needs, and holds tensors of the sizes that it says.

    Nothing of these sizes has been made before.
    """
    match said:
        case {
            "weights_sha256": str(),
            "model": str(),
            "method": {"name": str(), "tokens": int(number)} | {"name": str(), "patches": int(number)},
            "dim": int(dim),
            "shape": [int(count), int(width)],
        } if count == number:
            wide = WIDER * dim
            sizes = {"first": (wide, dim), "second": (wide, wide), "last": (count * width, wide)}
            wanted: dict[str, tuple[int, ...]] = {f"{name}.weight": size for name, size in sizes.items()}
            wanted |= {f"{name}.bias": size[:1] for name, size in sizes.items()}
            if {name: tuple(held.shape) for name, held in state.items()} != wanted:
                raise _damaged(path, "its tensors are not those of φ")
        case _:
            raise _damaged(path, "it doesn't say which backbone and method it is of")


def _damaged(path: str | Path, why: str) -> BackboneError:
    return BackboneError(f"{path} holds no φ: {why}; distil again")


def _state(phi: Phi) -> dict[str, Tensor]:
    return {name: held.detach().cpu().contiguous() for name, held in sorted(phi.state_dict().items())}


def _settings(method: Method) -> str:
    return ", ".join(
        str(value) if name == "name" else f"{name} {value!r}" for name, value in method.as_dict().items()
    )


def _by(shape: Sequence[int]) -> str:
    return " × ".join(map(str, shape))
