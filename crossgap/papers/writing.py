"""A filled table as LaTeX (booktabs), Markdown, CSV, or rows for JSON."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from typing import Any

from crossgap.papers.filling import Filled

MISSING = "–"
_ESCAPES = {sign: f"\\{sign}" for sign in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "–": "--",
    "⁺": r"\textsuperscript{+}",
}


def rows(filled: Filled) -> list[dict[str, Any]]:
    """A row a number: what it is of, as measured, as published, and whence."""

    def exact(value: float | None) -> float | None:
        """Without the last digits, which a factor of 100 spoils: 0.14 gives 14.000000000000002."""
        return None if value is None else float(f"{value:.14g}")

    return [
        {
            "model": row.model,
            "method": row.method,
            "column": column,
            "measured": exact(figures.measured),
            "published": exact(figures.published),
            "source": figures.source,
        }
        for row in filled.rows
        for column, figures in zip(filled.columns, row.figures, strict=True)
    ]


def as_csv(filled: Filled) -> str:
    """A line a row and kind of figures; what isn't there is empty."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["model", "method", "figures", *filled.columns])
    for model, method, kind, values in _lines(filled, ""):
        writer.writerow([model, method, kind, *values])
    return file.getvalue()


def as_markdown(filled: Filled) -> str:
    """With the notes below; published figures in italics."""
    heads = ["model", "method", *filled.columns]
    lines = [f"**{filled.table.title}**, {filled.table.unit}", ""]
    lines += [_piped(heads), _piped(["---", "---", *("---:" for _ in filled.columns)])]
    for model, method, kind, values in _lines(filled, MISSING):
        if kind == "published":
            lines.append(
                _piped(["", f"*{kind}*", *(f"*{value}*" if value != MISSING else value for value in values)])
            )
        else:
            lines.append(_piped([model, method, *values]))
    return "\n".join([*lines, "", *(f"{note}." for note in filled.notes)]) + "\n"


def as_latex(filled: Filled) -> str:
    """A `table` that needs the package booktabs; models are set apart by rules."""
    count = len(filled.columns)
    heads = ["model", "method", *filled.columns]
    lines = [
        "% \\usepackage{booktabs}",
        "\\begin{table}",
        "\\centering",
        f"\\caption{{{_escaped(filled.table.title)}, {_escaped(filled.table.unit)}.}}",
        f"\\label{{tab:{filled.table.name}}}",
        f"\\begin{{tabular}}{{ll{'r' * count}}}",
        "\\toprule",
        _ampersands(heads),
    ]
    last = None
    for model, method, kind, values in _lines(filled, MISSING):
        if kind == "published":
            lines.append(
                _ampersands(
                    ["", f"\\quad {kind}", *(f"\\textit{{{_escaped(v)}}}" for v in values)], plain=False
                )
            )
            continue
        if model != last:
            lines.append("\\midrule")
        lines.append(_ampersands([model if model != last else "", method, *values]))
        last = model
    lines += ["\\bottomrule", "\\end{tabular}"]
    lines += [f"\\par\\footnotesize {_escaped(note)}." for note in filled.notes]
    return "\n".join([*lines, "\\end{table}"]) + "\n"


FORMATS: dict[str, Callable[[Filled], str]] = {"markdown": as_markdown, "latex": as_latex, "csv": as_csv}


def _lines(filled: Filled, missing: str) -> Iterator[tuple[str, str, str, list[str]]]:
    """Model, method, kind of figures and texts: a line of what is measured, and below it of what is published."""

    def text(value: float | None) -> str:
        return missing if value is None else f"{value:.{filled.table.decimals}f}"

    for row in filled.rows:
        yield row.model, row.method, "measured", [text(figures.measured) for figures in row.figures]
        if filled.table.rows or any(figures.published is not None for figures in row.figures):
            yield row.model, row.method, "published", [text(figures.published) for figures in row.figures]


def _piped(cells: list[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _ampersands(cells: list[str], *, plain: bool = True) -> str:
    return " & ".join(map(_escaped, cells) if plain else cells) + r" \\"


def _escaped(text: str) -> str:
    text = "".join(_ESCAPES.get(sign, sign) for sign in text)
    parts = text.split("`")
    return "".join(f"\\texttt{{{part}}}" if number % 2 else part for number, part in enumerate(parts))
