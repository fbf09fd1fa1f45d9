"""The page's part on the steps of an inversion: mAP and loss."""

from __future__ import annotations

from crossgap.errors import CrossgapError
from crossgap.report import blocks
from crossgap.report.blocks import Block, Series
from crossgap.report.results import Results
from crossgap.report.tables import MISSING, absent, in_order, percent, present, title

COLUMNS = ("task", "tokens", "relevance", "step", "loss", "mAP", "baseline")
ERRORS = ("loss_se", "mAP_se")  # which tables of an older crossgap lack
LENGTHS = {"oti": "R", "ovi": "P"}
LOSS = "loss, 1 − cosine"
NORMAL = 1.96  # standard errors to each side: 95 %
Ends = tuple[list[float | None], list[float | None]]


def studies(cell: Results) -> list[Block]:
    """A figure, and the best steps, of each task that was measured at more than one point.

    Raises CrossgapError if a column is missing.
    """
    made = []
    held = [name for name in ERRORS if cell.curves is not None and name in cell.curves]
    rows = cell.rows("curves", (*COLUMNS, *held))
    for task in sorted({row["task"] for row in rows}):
        points = [row for row in rows if row["task"] == task]
        if len({(row["tokens"], row["step"]) for row in points}) > 1:
            made += _study(task, points)
    return made


def _study(task: str, points: list[dict]) -> list[Block]:
    inversion, _, modality = task.rpartition("-")
    if not inversion:
        raise CrossgapError(f"curves: task {task!r} names no query and gallery; expected, say, oti-image")
    length, baseline = LENGTHS.get(inversion.partition(".")[0], "tokens"), f"{modality}-{modality}"
    panels: dict[str, dict[str, Series]] = {}
    bands: dict[str, dict[str, Ends]] = {}
    levels: dict[str, float] = {}
    best = []
    for relevance in in_order(row["relevance"] for row in points):
        panel = f"{relevance}, mAP in %"
        for tokens in sorted({row["tokens"] for row in points}):
            of = sorted(
                (row for row in points if (row["relevance"], row["tokens"]) == (relevance, tokens)),
                key=lambda row: row["step"],
            )
            if not of:
                continue
            line = f"{length} = {tokens}"
            panels.setdefault(panel, {})[line] = [row["step"] for row in of], [row["mAP"] for row in of]
            panels.setdefault(LOSS, {}).setdefault(
                line, ([row["step"] for row in of], [row["loss"] for row in of])
            )
            for title_of, measure in ((panel, "mAP"), (LOSS, "loss")):
                if (ends := _band(of, measure)) is not None:
                    bands.setdefault(title_of, {}).setdefault(line, ends)
            if not absent(of[0]["baseline"]):
                levels[panel] = of[0]["baseline"]
            held = [row for row in of if present(row["mAP"])]
            top = max(held, key=lambda row: row["mAP"], default=None)
            native = percent(of[0]["baseline"])
            last = percent(of[-1]["mAP"])
            found = (MISSING, MISSING) if top is None else (str(top["step"]), percent(top["mAP"]))
            best.append((relevance, str(tokens), native, last, *found))
    panels[LOSS] = panels.pop(LOSS)
    caption = f"{title(task)} over the steps of its inversion; the dashed line is {baseline}."
    if bands:
        caption += " A line is the mean over the queries, its band that mean’s 95 % interval (± 1.96 standard errors)."
    shares = [panel for panel in panels if panel != LOSS]
    heads = ("relevance", length, baseline, "last step", "best step", "mAP there")
    return [
        blocks.lines(caption, "step", panels, bands=bands, levels=levels, scale="symlog", percent=shares),
        blocks.table(f"{title(task)}, mAP in percent: the last step and the best", heads, best, folded=True),
    ]


def _band(points: list[dict], measure: str) -> Ends | None:
    """Ends of the 95 % intervals of means over queries; None of a table that has no standard errors."""
    error = f"{measure}_se"
    if not all(present(row.get(measure)) and present(row.get(error)) for row in points):
        return None
    half = [NORMAL * row[error] for row in points]
    middle = [row[measure] for row in points]
    return [a - b for a, b in zip(middle, half, strict=True)], [
        a + b for a, b in zip(middle, half, strict=True)
    ]
