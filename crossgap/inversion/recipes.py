"""How pseudo-tokens are optimised: recipes and their presets."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from numbers import Integral, Real
from typing import Any, ClassVar, Literal, get_args

from crossgap.errors import CrossgapError, like
from crossgap.strict import LARGEST_RATE

Optimiser = Literal["adamw", "lbfgs"]
OPTIMISERS: tuple[str, ...] = get_args(Optimiser)
OF_ADAMW = ["lr", "weight_decay"]


@dataclass(frozen=True)
class Recipe:
    """AdamW on 1 − cosine, without schedule or regulariser (Cross the Gap, section 4); or L-BFGS, which asks for fewer
    steps.

    Attributes:
        steps: updates of the pseudo-tokens; of L-BFGS points that are tried, each at the cost of an update.
        lr, weight_decay: AdamW's; its other settings are PyTorch's.
        seed: of the initial noise.
        snapshots: steps at which features are kept; those beyond the last step are never reached.
        snapshot_tokens: whether the pseudo-tokens are kept at snapshots too.
        patience: an item stops once its loss has not fallen by `tolerance` for so many steps; None: never.
        tolerance: the fall of 1 − cosine that counts for `patience`.
        optimiser: `adamw`, or `lbfgs` (of `crossgap.inversion.lbfgs`), which has no settings.

    Raises:
        CrossgapError: naming the field that is out of range.
    """

    fewest: ClassVar[int] = 1
    steps: int
    lr: float = 0.02
    weight_decay: float = 0.01
    seed: int = 0
    snapshots: Sequence[int] = ()
    snapshot_tokens: bool = False
    patience: int | None = None
    tolerance: float = 1e-4
    optimiser: str = "adamw"

    def __post_init__(self) -> None:
        snapshots = tuple(self.snapshots) if isinstance(self.snapshots, Iterable) else (None,)
        if not all(_is(step, Integral) for step in snapshots):
            raise CrossgapError(f"snapshots is {self.snapshots!r}: give whole numbers of steps")
        object.__setattr__(self, "snapshots", snapshots)
        whole = ["steps", "seed", *([] if self.patience is None else ["patience"])]
        kinds: dict[str, tuple[type, str]] = {
            **dict.fromkeys(whole, (Integral, "a whole number")),
            **dict.fromkeys(["lr", "weight_decay", "tolerance"], (Real, "a number")),
        }
        for name, (kind, what) in kinds.items():
            if not _is(value := getattr(self, name), kind):
                raise CrossgapError(f"{name} is {value!r}: give {what}")
        for name, wrong, remedy in (
            ("steps", self.steps < self.fewest, f"give at least {self.fewest}"),
            ("lr", not 0 < self.lr <= LARGEST_RATE, f"give a number above zero, {LARGEST_RATE} at most"),
            ("weight_decay", not 0 <= self.weight_decay * self.lr < 1, "give one from zero to below 1 / lr"),
            (
                "snapshots",
                list(self.snapshots) != sorted(set(self.snapshots)),
                "give steps in ascending order",
            ),
            ("snapshots", any(step < 0 for step in self.snapshots), "give steps from 0"),
            ("patience", self.patience is not None and self.patience < 1, "give at least 1, or None"),
            ("tolerance", not 0 <= self.tolerance < math.inf, "give a number from zero"),
            ("optimiser", self.optimiser not in OPTIMISERS, f"give one of {', '.join(OPTIMISERS)}"),
            *((name, self._not_of_lbfgs(name), "leave it out, lbfgs has none") for name in OF_ADAMW),
        ):
            if wrong:
                raise CrossgapError(f"{name} {getattr(self, name)!r} is out of range: {remedy}")

    def _not_of_lbfgs(self, name: str) -> bool:
        return self.optimiser == "lbfgs" and getattr(self, name) != getattr(Recipe, name)

    @property
    def reached(self) -> tuple[int, ...]:
        """The snapshots that this many steps reach."""
        return tuple(step for step in self.snapshots if step <= self.steps)

    def as_dict(self) -> dict[str, Any]:
        """All that a result depends on, JSON-able; what is off is left out."""
        found = asdict(self) | {"snapshots": list(self.reached)}
        off = ["patience", "tolerance"] if self.patience is None else []
        off += ["optimiser"] if self.optimiser == "adamw" else OF_ADAMW
        return {name: value for name, value in found.items() if name not in off}


@dataclass(frozen=True)
class Continued(Recipe):
    """The same from pseudo-tokens that a network gives (`phi.Phi`): with 0 steps these themselves.

    There is no noise, and so no seed.
    """

    fewest: ClassVar[int] = 0

    def as_dict(self) -> dict[str, Any]:
        return {name: value for name, value in super().as_dict().items() if name != "seed"}


PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "oti": {"paper": {"steps": 150}, "lbfgs": {"steps": 60, "optimiser": "lbfgs"}},
    "ovi": {
        "paper": {"steps": 1000},
        "fast": {"steps": 200, "lr": 0.15},
        "lbfgs": {"steps": 100, "optimiser": "lbfgs"},
    },
}


def recipe(method: str, preset: str = "paper", **changes: Any) -> Recipe:
    """A preset of `oti` or `ovi`, with some of its values changed; None leaves the preset's.

    Raises:
        CrossgapError: no such preset, or a value out of range.
    """
    presets = PRESETS[method]
    if preset not in presets:
        raise CrossgapError(f"preset {preset!r} is none of {method}'s: {', '.join(presets)}")
    return Recipe(**presets[preset] | {name: value for name, value in changes.items() if value is not None})


def asked(steps: int, seed: int, settings: dict[str, Any]) -> Recipe:
    """The recipe of these settings by name.

    Raises:
        CrossgapError: a setting that there is not, or that is out of range.
    """
    if unknown := [name for name in settings if name not in CHANGEABLE]:
        raise CrossgapError(
            f"no setting {', '.join(unknown)}{like(unknown[0], CHANGEABLE)}; known are {', '.join(CHANGEABLE)}"
        )
    return Recipe(steps, seed=seed, **settings)


def _is(value: object, kind: type) -> bool:
    """Whether a value is such a number; a truth value is none."""
    return isinstance(value, kind) and not isinstance(value, bool)


CHANGEABLE: Sequence[str] = tuple(field.name for field in fields(Recipe))


def shard_recipe(method: dict[str, Any], recipe: Recipe, code: str, **beside: Any) -> dict[str, Any]:
    """What shards of an inversion say that they depend on, JSON-able; those of the same are taken up.

    Args:
        method: as its `as_dict` gives it.
        code: a name of what inverts.
        beside: what else the shards depend on, such as the backbone.
    """
    return {"method": method, "recipe": recipe.as_dict(), **beside, "code": code}
