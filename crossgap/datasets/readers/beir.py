"""Queries, a corpus and judgements: BEIR (Thakur et al., NeurIPS 2021 Datasets and Benchmarks) and NanoBEIR."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from crossgap.datasets.declared import Beir, DatasetError
from crossgap.datasets.readers import jsonl
from crossgap.datasets.readers.parquet import read_parquet
from crossgap.datasets.reading import Problem, Reading, without_digests
from crossgap.datasets.summaries import summarised
from crossgap.datasets.text_files import rows
from crossgap.errors import listed
from crossgap.prepared import judgements

QUERY, GALLERY = "query", "gallery"
_TEST = "test"
_PART = re.compile(r"-\d+(-of-\d+)?$")  # the end of a file's name where several files hold one split


def read(declaration: Beir, _folder: Path) -> Reading:
    """Queries that are judged, by their order, then the corpus; ids are the set's own, `query/<id>` of a query.

    `corpus` and `queries` are folders of parquet, as NanoBEIR's on Hugging Face, or `.jsonl`, as in BEIR's archives;
    `qrels` holds the judgements of a split each as `.tsv`, `.jsonl` or parquet: those of `test` are read, or the only
    ones, or those that `qrels` names. A document that has a title starts with it, as in BEIR's own evaluation;
    NanoBEIR's have none. A pair without a score is relevant, a score below 0 is not.

    A query that is a document too, under the same id and with the same text, as ArguAna's and Quora's are, does not
    find itself: the pair is judged as ignored. Of MIRACL's, equal ids are of different texts, and stay.

    Raises:
        DatasetError: files are missing or malformed, ids are there twice, or summaries are missing.
    """
    root = declaration.root
    if not root.is_dir():
        raise DatasetError(f"root {root} does not exist: paths start at the project's root")
    split, files = _qrels(declaration)
    judged = pd.DataFrame(_judged(files), columns=["query", "item", "grade"], dtype=object).drop_duplicates()
    if judged.empty:
        raise DatasetError(f"{root}: no qrels: download it again")
    asked = set(judged["query"])
    queries = {name: text for name, (_, text) in _texts(root, "queries").items() if name in asked}
    titled = _texts(root, "corpus")
    own = [name for name, text in queries.items() if text and _same(text, titled.get(name))]
    if own:
        itself = (judged["query"] == judged["item"]) & judged["query"].isin(own)
        ignored = pd.DataFrame({"query": own, "item": own, "grade": judgements.IGNORED})
        judged = pd.concat([judged[~itself], ignored], ignore_index=True).astype(object)
    corpus = {name: f"{title} {text}".strip() for name, (title, text) in titled.items()}
    queries = {f"{QUERY}/{name}": text for name, text in queries.items()}
    problems = [Problem(name, f"query {name}", "empty query") for name, text in queries.items() if not text]
    problems += [
        Problem(name, f"document {name}", "empty document") for name, text in corpus.items() if not text
    ]
    corpus = summarised(declaration, {name: text for name, text in corpus.items() if text})
    items = [(name, "text", QUERY, None, text, None, 0) for name, text in queries.items() if text]
    items += [(name, "text", GALLERY, None, text, None, 0) for name, text in corpus.items()]
    judged["query"] = f"{QUERY}/" + judged["query"]
    notes: tuple[str, ...] = (
        (f"{len(own)} queries are documents too: none of them is to find itself",) if own else ()
    )
    if declaration.qrels is None and split != _TEST:
        notes += (f"the judgements of {split} are measured, the only ones that there are",)
    return Reading(without_digests(items), problems, judged.assign(setting=judgements.SETTING), notes)


def _same(query: str, document: tuple[str, str] | None) -> bool:
    """Whether a document, a title and a text, is the query, with its title or without."""
    if document is None:
        return False
    title, text = document
    return _bare(query) in (_bare(text), _bare(f"{title} {text}"))


def _bare(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).casefold().split())


def _texts(root: Path, name: str) -> dict[str, tuple[str, str]]:
    """Id → title and text."""
    texts: dict[str, tuple[str, str]] = {}
    for where, row in _records(root, name):
        missing = [key for key in ("_id", "text") if not isinstance(row.get(key), str)]
        if missing:
            raise DatasetError(f"{where} has no text {', '.join(missing)}: {name} need `_id` and `text`")
        if row["_id"] in texts:
            raise DatasetError(f"{where}: id {row['_id']!r} is there already: download it again")
        texts[row["_id"]] = row.get("title") or "", row["text"].strip()
    if not texts:
        raise DatasetError(f"{root}: no {name}: download it again")
    return texts


def _records(root: Path, name: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every record, with the file and line that it stands in."""
    if (root / name).is_dir():
        files = sorted((root / name).glob("*.parquet"))
        if not files:
            raise DatasetError(f"{root / name} has no parquet files: download it again")
        for file in files:
            yield from _parquet(file)
    else:
        yield from jsonl.records(root / f"{name}.jsonl", name)


def _parquet(file: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    table = read_parquet(file, "", "download it again")
    for number, row in enumerate(table.to_pylist(), start=1):
        yield f"{file} row {number}", row


def _judged(files: Iterable[Path]) -> Iterator[tuple[str, str, int]]:
    """Query, document and grade of every judgement."""
    for file in files:
        if file.suffix == ".tsv":
            columns = ("query-id", "corpus-id", "score")
            for line, (query, document, score) in rows(file, "judgements", columns):
                yield query, document, _grade(f"{file} line {line}", score)
            continue
        for where, row in _parquet(file) if file.suffix == ".parquet" else jsonl.records(file, "judgements"):
            if not all(isinstance(row.get(key), str) for key in ("query-id", "corpus-id")):
                raise DatasetError(f"{where} has no text query-id, corpus-id: qrels need both")
            yield row["query-id"], row["corpus-id"], _grade(where, row.get("score", 1))


def _qrels(declaration: Beir) -> tuple[str, list[Path]]:
    """The split of judgements that is measured, and its files."""
    folder = declaration.root / "qrels"
    held: dict[str, list[Path]] = {}
    for file in sorted(folder.iterdir()) if folder.is_dir() else ():
        if file.suffix in (".tsv", ".jsonl", ".parquet") and not file.name.startswith("."):
            held.setdefault(_PART.sub("", file.stem), []).append(file)
    if not held:
        raise DatasetError(
            f"{declaration.root} has no folder qrels with test.tsv or parquet files: unpack it again"
        )
    there = listed(sorted(held), 20)
    if declaration.qrels is not None and declaration.qrels not in held:
        raise DatasetError(f"qrels: {folder} has no judgements {declaration.qrels!r}; it has {there}")
    asked = declaration.qrels or (_TEST if len(held) > 1 else next(iter(held)))
    if asked not in held:
        raise DatasetError(
            f"qrels: {folder} has judgements of {there}, and none of {_TEST}: name those to measure"
        )
    kinds = sorted({file.suffix for file in held[asked]})
    return asked, [file for file in held[asked] if file.suffix == kinds[-1]]  # MTEB has some in two forms


def _grade(where: str, score: object) -> int:
    """A score that is a whole number, though it be written 1.0; below 0 it says irrelevant, as 0 does."""
    try:
        number = float(str(score))
    except ValueError:
        number = math.nan
    if not number.is_integer():
        raise DatasetError(f"{where}: score {score!r} is no whole number")
    return max(int(number), 0)
