"""MixBench (arXiv 2507.19054): queries, documents of a text and an image each, and judgements."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

from crossgap.datasets.declared import DatasetError, MixBench
from crossgap.datasets.readers import jsonl
from crossgap.datasets.readers.named import paths_of
from crossgap.datasets.reading import ManifestRow, Problem, Reading, without_digests
from crossgap.datasets.text_files import rows

SPLIT = "test"
HEADERS = (("query_id", "corpus_id", "score"), ("query-id", "corpus-id", "score"))
DOCUMENT = 1  # the rank of a document's text; 0 is that of its query


class _Entry(NamedTuple):
    """A query or a document: either part may be empty."""

    text: str
    image: str


def read(declaration: MixBench, _folder: Path) -> Reading:
    """A row an image of `corpus.jsonl`; then its query as its first caption, and its text as its second.

    So a share of the documents can be images, and documents can be fused, as in mixed search. A document that lacks its
    text or its image is left out, as in the paper's code, and counted; so is a query that has no text or asks for
    nothing. Of several documents of a query the first with the highest score is its own; of several queries of a
    document the first asks in mixed search, and the others are further captions.

    Raises:
        DatasetError: a file is missing or malformed, an id is there twice, or an image's name fits several files.
    """
    root = declaration.root
    if not root.is_dir():
        raise DatasetError(f"root {root} does not exist: paths start at the project's root")
    queries, corpus = (
        _entries(root / "queries.jsonl", "query_id"),
        _entries(root / "corpus.jsonl", "corpus_id"),
    )
    whole = {name: entry for name, entry in corpus.items() if entry.text and entry.image}
    if not whole:
        raise DatasetError(f"{root / 'corpus.jsonl'}: no document has a text and an image: download it again")
    own = _own(root, queries, whole)
    asking = defaultdict(list)
    for query, document in own.items():
        asking[document].append(query)
    names = {entry.image: None for entry in whole.values()}
    paths = paths_of(declaration, names, {"images": names})
    images: list[ManifestRow] = []
    texts: list[ManifestRow] = []
    problems: list[Problem] = []
    for name, entry in whole.items():
        path = paths[entry.image]
        images.append((name, "image", SPLIT, path, None, name, 0))
        texts.append((f"{name}#text", "text", SPLIT, None, entry.text, name, DOCUMENT))
        for place, query in enumerate(asking[name]):
            rank = place + DOCUMENT if place else 0
            texts.append((f"query/{query}", "text", SPLIT, None, queries[query].text, name, rank))
    further = sum(len(some) - 1 for some in asking.values() if some)
    notes = [
        f"{count} {what}"
        for count, what in (
            (len(corpus) - len(whole), "documents lack their text or their image, and are left out"),
            (len(queries) - len(own), "queries have no text or no document here, and are left out"),
            (further, "queries ask for the document of another one: they don't ask in mixed search"),
        )
        if count
    ]
    return Reading(without_digests(images + texts), problems, notes=tuple(notes))


def _entries(file: Path, key: str) -> dict[str, _Entry]:
    """Id → text and image, each empty where it is absent."""
    found: dict[str, _Entry] = {}
    for where, row in jsonl.records(file, "MixBench's entries"):
        name, parts = row.get(key), [row.get(part) for part in ("text", "image")]
        if not isinstance(name, str | int) or isinstance(name, bool) or name == "":
            raise DatasetError(f"{where} has no {key}: name the folder of one of MixBench's subsets")
        if wrong := [part for part in parts if part is not None and not isinstance(part, str)]:
            raise DatasetError(f"{where}: {wrong[0]!r} is no text: `text` and `image` are words or null")
        if str(name) in found:
            raise DatasetError(f"{where}: {key} {name!r} is there already: download it again")
        found[str(name)] = _Entry(*((part or "").strip() for part in parts))
    return found


def _own(root: Path, queries: dict[str, _Entry], corpus: dict[str, _Entry]) -> dict[str, str]:
    """Query with a text → its document, by the order of the queries."""
    places = [root / "qrels.tsv", root / "qrels" / "qrels.tsv"]
    file = next((place for place in places if place.is_file()), None)
    if file is None:
        raise DatasetError(f"{root} has no qrels.tsv, the judgements: download it again")
    header = file.read_text(encoding="utf-8-sig", errors="replace").partition("\n")[0].split("\t")
    columns = HEADERS["query-id" in [name.strip() for name in header]]
    best: dict[str, tuple[float, str]] = {}
    for line, (query, document, score) in rows(file, "judgements", columns):
        try:
            grade = float(score)
        except ValueError:
            raise DatasetError(
                f"{file} line {line}: score {score!r} is no number: download it again"
            ) from None
        known = query in queries and queries[query].text and document in corpus
        if known and grade > 0 and grade > best.get(query, (0.0, ""))[0]:
            best[query] = grade, document
    if not best:
        raise DatasetError(f"{file}: no judgement names a query and a document of {root}: download it again")
    return {query: best[query][1] for query in queries if query in best}
