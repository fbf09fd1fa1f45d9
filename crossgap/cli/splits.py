"""Which splits ask and which are searched, by their names."""

from __future__ import annotations

from collections.abc import Sequence

_QUERIES = ("query", "queries", "test", "val", "validation", "dev")  # those first that are meant first
_GALLERIES = ("gallery", "corpus", "database", "index", "train")


def query_and_gallery(splits: Sequence[str]) -> tuple[str, str] | None:
    """The split of the queries and that of the gallery, as published datasets name them; None where names don't tell.

    Capital letters, and words around a name as in `test_set`, change nothing. Of two splits of which one is named so,
    the other is the other.
    """
    if len(splits) == 1:
        return splits[0], splits[0]
    query, gallery = _first(_QUERIES, splits), _first(_GALLERIES, splits)
    if len(splits) == 2 and query is None and gallery is not None:
        (other,) = {*splits} - {gallery}
        query = None if _first(_GALLERIES, [other]) else other
    if len(splits) == 2 and gallery is None and query is not None:
        (gallery,) = {*splits} - {query}
    return None if query is None or gallery is None else (query, gallery)


def is_a_splits(name: str) -> bool:
    """Whether a name is one that splits have."""
    return _first((*_QUERIES, *_GALLERIES), [name]) is not None


def _first(known: Sequence[str], splits: Sequence[str]) -> str | None:
    words = {name: name.lower().replace("-", "_").split("_") for name in splits}
    return next((name for one in known for name in splits if one in words[name]), None)
