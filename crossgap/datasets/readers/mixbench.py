"""MixBench (arXiv 2507.19054): queries, documents of a text and an image each, and judgements."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

from crossgap.datasets.declared import DatasetError, MixBench
from crossgap.datasets.readers import jsonl
from crossgap.datasets.readers.named import paths_of
from crossgap.datasets.reading import ManifestRow, Reading, without_digests
from crossgap.datasets.text_files import rows
from crossgap.prepared.manifest import ALONE

SPLIT = "test"
HEADERS = (("query_id", "corpus_id", "score"), ("query-id", "corpus-id", "score"))
MIXED = "mixed_corpus.jsonl"
DOCUMENT = 1  # the rank of a document's text; 0 is that of its query


class _Entry(NamedTuple):
    """A query or a document: either part may be empty."""

    text: str
    image: str


def read(declaration: MixBench, _folder: Path) -> Reading:
    """A row an image of the corpus; then its query as its first caption, and its text as its second.

    So a share of the documents can be images, and documents can be fused, as in mixed search. A document that lacks its
    text or its image is left out of `corpus.jsonl`, as in the paper's code, and counted; of `mixed_corpus.jsonl`, whose
    documents are images, texts or both, one that lacks both. So is a query that has no text or asks for nothing. Of
    several documents of a query the first with the highest score is its own; of several queries of a document the first
    asks in mixed search, and the others are further captions; in `mixed_corpus.jsonl` all of them ask.

    Raises:
        DatasetError: a file is missing or malformed, an id is there twice, or an image's name fits several files.
    """
    root = declaration.root
    if not root.is_dir():
        raise DatasetError(f"root {root} does not exist: paths start at the project's root")
    queries, corpus = (
        _entries(root / "queries.jsonl", "query_id"),
        _entries(root / declaration.corpus, "corpus_id"),
    )
    mixed = declaration.corpus == MIXED
    whole = _whole(root / declaration.corpus, corpus, mixed)
    own = _own(root, queries, whole)
    asking = defaultdict(list)
    for query, document in own.items():
        asking[document].append(query)
    names = {entry.image: None for entry in whole.values() if entry.image}
    paths = paths_of(declaration, names, {"images": names} if names else {})
    images: list[ManifestRow] = []
    texts: list[ManifestRow] = []
    for name, entry in whole.items():
        group = name if entry.image else f"{ALONE}{name}"
        if entry.image:
            images.append((name, "image", SPLIT, paths[entry.image], None, group, 0))
        if entry.text:
            texts.append((f"{name}#text", "text", SPLIT, None, entry.text, group, DOCUMENT))
        for place, query in enumerate(asking[name]):
            rank = place + DOCUMENT if place else 0
            texts.append((f"query/{query}", "text", SPLIT, None, queries[query].text, group, rank))
    bare, further = len(corpus) - len(whole), sum(len(some) - 1 for some in asking.values() if some)
    counts = {
        f"documents lack their text {'and' if mixed else 'or'} their image, and are left out": bare,
        "queries have no text or no document here, and are left out": len(queries) - len(own),
        "queries ask for the document of another one: they don't ask in mixed search": 0
        if mixed
        else further,
    }
    notes = tuple(f"{count} {what}" for what, count in counts.items() if count)
    return Reading(without_digests(images + texts), [], notes=notes)


def _whole(file: Path, corpus: dict[str, _Entry], mixed: bool) -> dict[str, _Entry]:
    """The documents of a file that have a text and an image; of a mixed one, those that have either."""
    needs = any if mixed else all
    whole = {name: entry for name, entry in corpus.items() if needs(entry)}
    if not whole:
        parts = "or" if mixed else "and"
        raise DatasetError(f"{file}: no document has a text {parts} an image: download it again")
    if mixed and all(map(all, whole.values())):
        raise DatasetError(
            f"{file}: every document has a text and an image: it is no mixed corpus; leave `corpus` out of the "
            "declaration"
        )
    return whole


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
