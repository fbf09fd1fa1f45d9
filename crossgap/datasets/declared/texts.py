"""Published sets of texts without images; file names are relative to `root`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from crossgap.datasets.declared.base import SPLIT, OnDisk, Split
from crossgap.strict import FilePath


class Texts(OnDisk):
    """What sets of texts have in common.

    Long documents are summarised in Cross the Gap; without summaries a tower sees their heads, and the feature store
    says which texts were cut.
    """

    @property
    def modalities(self) -> tuple[str, ...]:
        return ("text",)

    summaries: FilePath | None = Field(
        None, description="JSON, from the project's root: id → summary, which stands for the document"
    )


class Documents(Texts):
    """Labelled documents, a file each: `<folder>/<class>/<document>`, as 20 Newsgroups and IMDB unpack."""

    layout: Literal["documents"]
    labelling: ClassVar[str] = "class"
    folders: dict[str, Split] = Field(min_length=1, description="folder → split")
    queries: dict[str, str] = Field(
        {}, description="class → the text that asks for it, in the split `query`; other classes are not read"
    )

    @property
    def splits_read(self) -> list[str]:
        return [*self.folders.values(), *(["query"] if self.queries else [])]

    @model_validator(mode="after")
    def _queries_apart(self) -> Documents:
        if self.queries and "query" in self.folders.values():
            raise ValueError(
                "folders: the split `query` is kept for `queries`: name the documents' otherwise"
            )
        if blank := [label for label, text in self.queries.items() if not text.strip()]:
            raise ValueError(f"queries: no text for {', '.join(blank)}: write what asks for the class")
        return self


class Beir(Texts):
    """Queries, a corpus and judgements, as BEIR and NanoBEIR have them: splits `query` and `gallery`."""

    layout: Literal["beir"]
    qrels: str | None = Field(
        None,
        pattern=SPLIT,
        description="which of the judgements in `qrels/`: test, or the only ones, if not given",
    )

    @property
    def splits_read(self) -> Sequence[str]:
        return "query", "gallery"
