"""A user's file of composed queries, for features that were computed elsewhere."""

from __future__ import annotations

from pathlib import Path

from crossgap.datasets.text_files import rows
from crossgap.errors import DatasetError
from crossgap.prepared.composed import ROLES, Composed

COLUMNS = ("query", "role", "item")
IMAGE, TEXT, CANDIDATE = ASKING = ("image", "text", "candidate")


def read_file(path: str | Path) -> Composed:
    """The tables in a CSV with the header `query,role,item[,set]`, to be validated.

    An item is an image or a text by its id. Of a query's rows one has the role `image`, its reference; one or more are
    `text`, what is asked; the others are roles of `crossgap.prepared.composed`. A row with the role `candidate` and no
    query puts an image into its set's own gallery. A query is of the set that its row `image` names.

    Raises:
        DatasetError: the file can't be read, a role is unknown, or a query has no image or two of them.
    """
    path = Path(path)
    references: dict[str, tuple[str, str]] = {}
    texts, judged, galleries = [], [], []
    for line, (query, role, item, named) in rows(path, "composed queries", COLUMNS, {"set": ""}):
        if role not in (*ASKING, *ROLES):
            raise DatasetError(
                f"{path} line {line}: role is {role!r}: give one of {', '.join((*ASKING, *ROLES))}"
            )
        if bool(query) == (role == CANDIDATE) or (role == CANDIDATE and not named):
            raise DatasetError(
                f"{path} line {line}: a candidate has a set and no query, all other rows a query"
            )
        if role == IMAGE and query in references:
            raise DatasetError(f"{path} line {line}: {query} has an image already: a query has one")
        if role == IMAGE:
            references[query] = item, named
        elif role == TEXT:
            texts.append((line, query, item))
        elif role == CANDIDATE:
            galleries.append((named, item))
        else:
            judged.append((query, item, role))
    if lacking := [(line, query) for line, query, _ in texts if query not in references]:
        raise DatasetError(f"{path} line {lacking[0][0]}: {lacking[0][1]} has no row with the role {IMAGE}")
    asked = [(query, references[query][0], text, "", references[query][1]) for _, query, text in texts]
    if silent := sorted(set(references) - {query for _, query, _ in texts}):
        raise DatasetError(f"{path}: {silent[0]} has no row with the role {TEXT}")
    return Composed.of(asked, judged, galleries)
