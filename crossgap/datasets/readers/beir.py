"""Queries, a corpus and judgements: BEIR (Thakur et al., NeurIPS 2021 Datasets and Benchmarks) and NanoBEIR."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from crossgap import judgements
from crossgap.datasets.declared import Beir, DatasetError
from crossgap.datasets.readers.parquet import read_parquet
from crossgap.datasets.reading import Problem, Reading, without_digests
from crossgap.datasets.summaries import summarised
from crossgap.datasets.text_files import read_text, rows

QUERY, GALLERY = "query", "gallery"
_TEST = "qrels/test.tsv"


def read(declaration: Beir, _folder: Path) -> Reading:
    """Queries that are judged, by their order, then the corpus; ids are the set's own, `query/<id>` of a query.

    Either folders `corpus`, `queries` and `qrels` of parquet, as NanoBEIR's on Hugging Face, or `corpus.jsonl`,
    `queries.jsonl` and `qrels/test.tsv`, as BEIR's archives. A document that has a title starts with it, as in BEIR's
    own evaluation; NanoBEIR's have none. A pair without a score is relevant, a score below 0 is not.

    Raises:
        DatasetError: files are missing or malformed, ids are there twice, or summaries are missing.
    """
    root = declaration.root
    if not root.is_dir():
        raise DatasetError(f"root {root} does not exist: paths start at the project's root")
    judged = pd.DataFrame(_judged(root), columns=["query", "item", "grade"], dtype=object).drop_duplicates()
    if judged.empty:
        raise DatasetError(f"{root}: no qrels: download it again")
    asked = set(judged["query"])
    queries = {f"{QUERY}/{name}": text for name, text in _texts(root, "queries").items() if name in asked}
    corpus = _texts(root, "corpus")
    problems = [Problem(name, f"query {name}", "empty query") for name, text in queries.items() if not text]
    problems += [
        Problem(name, f"document {name}", "empty document") for name, text in corpus.items() if not text
    ]
    corpus = summarised(declaration, {name: text for name, text in corpus.items() if text})
    items = [(name, "text", QUERY, None, text, None, 0) for name, text in queries.items() if text]
    items += [(name, "text", GALLERY, None, text, None, 0) for name, text in corpus.items()]
    judged["query"] = f"{QUERY}/" + judged["query"]
    return Reading(without_digests(items), problems, judged.assign(setting=judgements.SETTING))


def _texts(root: Path, name: str) -> dict[str, str]:
    """Id → text, with its title before it."""
    texts: dict[str, str] = {}
    for where, row in _records(root, name):
        missing = [key for key in ("_id", "text") if not isinstance(row.get(key), str)]
        if missing:
            raise DatasetError(f"{where} has no text {', '.join(missing)}: {name} need `_id` and `text`")
        if row["_id"] in texts:
            raise DatasetError(f"{where}: id {row['_id']!r} is there already: download it again")
        texts[row["_id"]] = f"{row.get('title') or ''} {row['text'].strip()}".strip()
    if not texts:
        raise DatasetError(f"{root}: no {name}: download it again")
    return texts


def _records(root: Path, name: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Where a record stands, and the record."""
    if (root / name).is_dir():
        yield from _parquet(root / name)
        return
    file = root / f"{name}.jsonl"
    for number, line in enumerate(read_text(file, name).split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise DatasetError(f"{file} line {number}: no JSON ({error.msg}): unpack it again") from None
        if not isinstance(row, dict):
            raise DatasetError(f"{file} line {number}: no JSON object: unpack it again")
        yield f"{file} line {number}", row


def _parquet(folder: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    files = sorted(folder.glob("*.parquet"))
    if not files:
        raise DatasetError(f"{folder} has no parquet files: download it again")
    for file in files:
        table = read_parquet(file, "", "download it again")
        for number, row in enumerate(table.to_pylist(), start=1):
            yield f"{file} row {number}", row


def _judged(root: Path) -> Iterator[tuple[str, str, int]]:
    """Query, document and grade of every judgement."""
    if (root / _TEST).is_file():
        columns = ("query-id", "corpus-id", "score")
        for line, (query, document, score) in rows(root / _TEST, "judgements", columns, delimiter="\t"):
            yield query, document, _grade(f"{root / _TEST} line {line}", score)
    elif (root / "qrels").is_dir():
        for where, row in _parquet(root / "qrels"):
            if not all(isinstance(row.get(key), str) for key in ("query-id", "corpus-id")):
                raise DatasetError(f"{where} has no text query-id, corpus-id: qrels need both")
            yield row["query-id"], row["corpus-id"], _grade(where, row.get("score", 1))
    else:
        raise DatasetError(
            f"{root} has no folder qrels with {Path(_TEST).name} or parquet files: unpack it again"
        )


def _grade(where: str, score: object) -> int:
    try:
        return max(int(str(score)), 0)
    except ValueError:
        raise DatasetError(f"{where}: score {score!r} is no whole number") from None
