"""Two clouds on a sphere over time, as seen from outside: a strip of frames as SVG text, and all frames as data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from crossgap.report.blocks import Block
from crossgap.report.clouds import GRID, signs
from crossgap.report.results import check_columns

if TYPE_CHECKING:
    import numpy as np
    from pandas import DataFrame

COLUMNS = ("batch_size", "step", "encoder", "item", "x", "y", "z")
LOOKS = {"first": ("#d9772b", "o"), "second": ("#3b82c4", "^")}
PAIRS = 128  # that are drawn, at most
FRAMES = 6  # of a strip
MOVING = (
    "The embedding on the unit sphere over the steps of training, one sphere a batch size: the slider, also by arrow "
    "keys, and Play move all of them; equal ways of the slider are equal ratios of steps. What is behind is faint."
)
_RADIUS, _SIDE, _PIXELS = 400, 960, 165  # the last: of a strip's frame


def seen(points: DataFrame) -> DataFrame:
    """The points of one run as an onlooker sees them: `right`, `up` and `near`, in place of `x`, `y`, `z`.

    The gap of the last step lies horizontally, the first encoder on the right, and of the directions that are left
    the mean of both clouds at the first step looks at the onlooker.

    Raises ValueError if a column is missing.
    """
    import numpy as np

    check_columns("toy", points, COLUMNS)
    xyz = ["x", "y", "z"]
    start, end = (points[points["step"] == step] for step in (points["step"].min(), points["step"].max()))
    last = end.groupby("encoder")[xyz].mean()
    right = _direction(np.subtract(*last.loc[list(LOOKS)].to_numpy()))
    near = start[xyz].mean().to_numpy()
    near = _direction(near - (near @ right) * right, right)
    up = np.cross(near, right)
    axes = points[xyz].to_numpy() @ np.stack([right, up, near], axis=1)
    return points.drop(columns=xyz).assign(right=axes[:, 0], up=axes[:, 1], near=axes[:, 2])


def strip(runs: Mapping[int, DataFrame]) -> str:
    """A row a batch size and a column a point in time: both clouds, a line a pair; what is behind is faint.

    Equal input gives equal bytes. Text and lines follow a dark colour scheme.

    Args:
        runs: batch size → points of `seen`.
    """
    import numpy as np

    parts = []
    for row, (size, points) in enumerate(runs.items()):
        steps = sorted(points["step"].unique())
        shown = dict.fromkeys(steps[i] for i in np.rint(np.linspace(0, len(steps) - 1, FRAMES)).astype(int))
        for column, step in enumerate(shown):
            title = f"batch {size}, step {step}" if column == 0 else f"step {step}"
            content = _ball(points[points["step"] == step], title)
            parts.append(f'<g transform="translate({_SIDE * column} {_SIDE * row})">{content}</g>')
    return _svg(FRAMES, len(runs), "".join(parts))


def motion(runs: Mapping[int, DataFrame]) -> Block:
    """All frames of all runs, which the page's script shows one at a time: where a slider stands, or one after another.

    A frame has, of each encoder, `at`: the places of at most `PAIRS` items, each right and up from the lower left
    corner of the sphere's square, in whole numbers of two signs; and `front`, whether it lies on the near side.

    Args:
        runs: batch size → points of `seen`.
    """
    found = []
    for size, points in runs.items():
        steps = sorted(points["step"].unique())
        frames = []
        for step in steps:
            at = points[points["step"] == step]
            clouds = [at[at["encoder"] == encoder].sort_values("item").head(PAIRS) for encoder in LOOKS]
            frames.append([_placed(cloud) for cloud in clouds])
        found.append({"size": size, "steps": [int(step) for step in steps], "frames": frames})
    return {
        "kind": "sphere",
        "caption": MOVING,
        "colours": [colour for colour, _ in LOOKS.values()],
        "runs": found,
    }


def _placed(cloud: DataFrame) -> dict[str, str]:
    axes = [cloud[name].clip(-1, 1) for name in ("right", "up")]
    places = zip(*((GRID * (axis + 1) / 2).round().astype(int) for axis in axes), strict=True)
    at = "".join(signs(x) + signs(y) for x, y in places)
    return {"at": at, "front": "".join(str(int(near >= 0)) for near in cloud["near"])}


def _ball(points: DataFrame, title: str) -> str:
    """The sphere with both clouds at one point in time, lines between pairs, and its title."""
    parts = [f'<circle r="{_RADIUS}"/><text x="{-_RADIUS}" y="{-_RADIUS - 30}">{title}</text>']
    clouds = [points[points["encoder"] == encoder].sort_values("item").head(PAIRS) for encoder in LOOKS]
    places = [
        [f"{_RADIUS * x:.0f} {-_RADIUS * y:.0f}" for x, y in zip(of["right"], of["up"], strict=True)]
        for of in clouds
    ]
    ends = "".join(f"M{one}L{other}" for one, other in zip(*places, strict=True))
    parts.append(f'<path class="pairs" d="{ends}"/>')
    for front in (False, True):
        for encoder, cloud, place in zip(LOOKS, clouds, places, strict=True):
            dots = "".join(
                f"M{at}h0" for at, near in zip(place, cloud["near"] >= 0, strict=True) if near == front
            )
            if dots:
                parts.append(f'<path class="{encoder}{"" if front else " behind"}" d="{dots}"/>')
    return "".join(parts)


def _svg(columns: int, rows: int, content: str) -> str:
    (first, _), (second, _) = LOOKS.values()
    looks = (
        "svg{color:#444}@media(prefers-color-scheme:dark){svg{color:#ccc}}"
        "text{fill:currentColor;font:56px sans-serif}circle,.pairs{fill:none;stroke:currentColor}"
        "circle{stroke-width:3;opacity:.4}.pairs{stroke-width:2;opacity:.2}"
        f".first{{stroke:{first};stroke-width:24;stroke-linecap:round}}"
        f".second{{stroke:{second};stroke-width:20;stroke-linecap:square}}.behind{{opacity:.25}}"
    )
    box = f"{-_SIDE // 2} {-_SIDE // 2} {_SIDE * columns} {_SIDE * rows}"
    size = f'width="{_PIXELS * columns}" height="{_PIXELS * rows}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{box}" {size}><style>{looks}</style>'
    return f"{head}{content}</svg>"


def _direction(vector: np.ndarray, across: np.ndarray | None = None) -> np.ndarray:
    """A vector at unit length; where it has none, some axis, at right angles to `across`."""
    import numpy as np

    if np.linalg.norm(vector) < 1e-6:
        vector = np.eye(3)[0 if across is None else int(np.argmin(np.abs(across)))]
        if across is not None:
            vector = vector - (vector @ across) * across
    return vector / np.linalg.norm(vector)
