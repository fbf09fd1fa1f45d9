"""The report's page read by an independent HTML parser, and the data inside it."""

from __future__ import annotations

import base64
import gzip
import json
from html.parser import HTMLParser
from itertools import accumulate

import pytest

VOID = {"meta", "img", "br", "link", "hr", "input"}


class Page(HTMLParser):
    """Tags with attributes, all text outside of styles and scripts, and what its script draws.

    Attributes:
        data: what is drawn at once: cells, the rows of the table, gap measures.
        later: what is drawn when it comes into view, but for what is of one cell.
        cells: the numbers of each cell.
        chapters: the parts of each cell.
        blocks: of all cells, trainings and experiments, in order.
        looked: of single queries, what each dataset's items are, then each cell's rankings; None of one without.
        pictures: which item has which, packed, then each in base64.
        tables: a caption and rows of cell texts, heading first, a block each.
        text: of the page and of everything that its blocks say.
    """

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: dict[str, str] = {}
        self.templates: dict[str, str] = {}
        self.text = ""
        self.at = ""
        self.feed(html)
        self.close()
        assert not self.open, f"unclosed: {self.open}"
        self.data, self.later = (unpacked(self.scripts[name]) for name in ("data", "parts"))
        lines = self.scripts.get("looked", "").split("\n")
        self.looked = [unpacked(line) if line else None for line in lines]
        self.pictures = self.scripts.get("pictures", "").split("\n")
        self.cells, self.chapters = (
            [unpacked(line) for line in self.scripts.get(name, "").split("\n") if line]
            for name in ("cells", "chapters")
        )
        parts = [part for cell in self.chapters for part in cell]
        self.blocks = [block for part in parts for block in part["blocks"]]
        self.blocks += self.later["trainings"]
        self.blocks += [block for of in self.later["idealised"] for block in of["blocks"]]
        self.tables = [(b["caption"], [b["heads"], *b["rows"]]) for b in self.blocks if b["kind"] == "table"]
        self.titles = [part["title"] for part in parts]
        said = [*self.titles, *(self.templates.get(f"note-{part['note']}", "") for part in parts)]
        for block in self.blocks:
            said += [block.get("caption", ""), block.get("text", "")]
            said += [" ".join(map(str, row)) for row in block.get("rows", [])]
        self.text += "\n".join(said)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)
        if tag in ("script", "template"):
            self.at = dict(attrs).get("id") or ""

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "script" in self.open:
            self.scripts[self.at] = self.scripts.get(self.at, "") + data
        elif "template" in self.open:
            self.templates[self.at] = self.templates.get(self.at, "") + data
        elif self.open and self.open[-1] not in ("style", "pre"):
            self.text += data

    def table(self, caption: str, number: int = 0) -> list[list[str]]:
        """The rows of the `number`-th table whose caption starts with `caption`, heading first."""
        return [rows for text, rows in self.tables if text.startswith(caption)][number]

    def figure(self, caption: str) -> dict[str, dict[str, dict]]:
        """The figure of lines whose caption starts so: panel → name of a line → its points."""
        (found,) = [b for b in self.blocks if b["kind"] == "lines" and b["caption"].startswith(caption)]
        return {panel["title"]: {line["name"]: line for line in panel["lines"]} for panel in found["panels"]}

    def rows(self) -> list[dict]:
        """Of the table of everything, as its script reads them."""
        explore = self.data["explore"]
        words, names = explore["words"], explore["names"]
        found = []
        places = [[*accumulate(steps)] for steps in explore["places"]]
        for cell, number, of in zip(self.data["cells"], explore["of"], self.cells, strict=True):
            tests = {row: i for i, row in enumerate(places[of["tests"][0]])} if of["tests"] else {}
            held = {i: dict(zip(places[n], column, strict=True)) for i, (n, column) in of["metrics"].items()}
            for at, (family, task, method, labelling, base, main, _) in enumerate(explore["rows"][number]):
                row = {**cell, "family": words[family], "task": words[task], "method": words[method]}
                row |= {"labelling": words[labelling], "base": base, "main": names[main][0]}
                for i, (name, rate) in enumerate(names):
                    if (value := held.get(str(i), {}).get(at)) is not None:
                        row[name] = value / 1_000_000 if rate else value
                if at in tests:
                    more, below, above, *rest = (column[tests[at]] for column in of["tests"][1:])
                    value, other = (held.get(str(main), {}).get(i) for i in (at, base))
                    known = base >= 0 and names[main][1] and None not in (value, other)
                    derived = (value - other + 50) // 100 if known else 0
                    middle = None if more is None else derived + more
                    low = None if below is None else (middle or 0) - below
                    high = None if above is None else (middle or 0) + above + (below or 0)
                    row["test"] = [middle, low, high, *rest]
                found.append(row)
        return found

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def unpacked(text: str) -> dict:
    return json.loads(gzip.decompress(base64.b64decode(text)))


@pytest.fixture
def parse():
    """HTML → `Page`."""
    return Page
