"""Summaries in place of long documents, as in Cross the Gap, where a language model wrote them."""

from __future__ import annotations

import json
from collections.abc import Mapping

from crossgap.datasets import json_text
from crossgap.datasets.declared import DatasetError, Texts
from crossgap.datasets.text_files import read_text
from crossgap.errors import listed


def summarised(declaration: Texts, documents: Mapping[str, str]) -> dict[str, str]:
    """Id → the text to encode: the document's summary where `summaries` is declared, else the document.

    Raises:
        DatasetError: the file can't be read, is no JSON object of texts, or lacks documents.
    """
    file = declaration.summaries
    if file is None:
        return dict(documents)
    try:
        summaries = json_text.loads(read_text(file, "summaries"), once=True)
    except json.JSONDecodeError as error:
        raise DatasetError(f"summaries {file} line {error.lineno}: no JSON: {error.msg}") from None
    if not isinstance(summaries, dict) or not all(isinstance(text, str) for text in summaries.values()):
        raise DatasetError(f"summaries {file}: give one JSON object, the id of a document → its summary")
    if missing := [name for name in documents if not summaries.get(name, "").strip()]:
        raise DatasetError(
            f"summaries {file} lacks {len(missing)} of {len(documents)} documents ({listed(missing)}): give each a "
            "summary by its id, or remove `summaries` to go by the documents' beginnings"
        )
    return {name: summaries[name].strip() for name in documents}
