"""What an evaluation can be asked for, each with its bounds: of `evaluate` in Python and of params.yaml alike."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

from pydantic import Field, field_validator

from crossgap.controls import check_arithmetic, check_subsets
from crossgap.errors import like
from crossgap.strict import Seed, Strict, once

Share = Annotated[float, Field(ge=0, le=1)]
Logistic = Literal["none", "native", "all"]
Plane = Literal["pca", "umap"]
Family = Literal[
    "retrieval", "classification", "gap", "similarity", "hubness", "mixed", "composed", "robustness", "clustering",
    "arithmetic", "ceiling", "shift", "dimensions", "spectrum", "clouds", "snapshots", "seeds", "looked",
]  # fmt: skip
FAMILIES: tuple[Family, ...] = get_args(Family)
OF_RETRIEVAL = ("snapshots", "seeds", "looked")  # families that need its tables

Name = Annotated[str, Field(min_length=1)]
Classes = Annotated[list[Name], Field(min_length=2)]  # by one alone every query is relevant to every other


class CellOptions(Strict):
    """What a cell is measured by, beside its stores."""

    query: Name = Field(description="split of the queries")
    gallery: Name = Field(description="split of the gallery")
    labellings: list[Name] | None = Field(None, description="which count as relevance; all, if not given")
    support: Name | None = Field(None, description="split of classes' means")
    subsets: dict[Name, dict[Name, Classes]] = Field(
        {}, description="name → labelling → classes that it is confined to"
    )
    arithmetic: dict[Name, Name] = Field({}, description="labelling that is changed → labelling that is kept")

    @field_validator("subsets")
    @classmethod
    def _distinct(cls, subsets: dict[str, dict[str, list[str]]]) -> dict[str, dict[str, list[str]]]:
        check_subsets(subsets)
        for confined in subsets.values():
            for classes in confined.values():
                once(classes)
        return subsets

    @field_validator("arithmetic")
    @classmethod
    def _two_labellings(cls, arithmetic: dict[str, str]) -> dict[str, str]:
        check_arithmetic(arithmetic)
        return arithmetic


class MixedSearch(Strict):
    """Texts that ask among documents of which some are images, or that are fused of a text and an image."""

    shares: list[Share] = Field([0, 0.1, 0.25, 0.5, 0.75, 0.9, 1], description="of documents that are images")
    alphas: list[Share] = Field(
        [0, 0.25, 0.5, 0.75, 1], description="α, document = α · text + (1 − α) · image"
    )
    draws: int = Field(5, ge=1, description="of which documents are images")

    @field_validator("shares", "alphas")
    @classmethod
    def _distinct(cls, given: list[float]) -> list[float]:
        return once(given)


class LookAt(Strict):
    """Single queries to look at."""

    queries: int = Field(200, ge=0, le=2000, description="of a cell to look at, at most")
    results: int = Field(8, ge=1, le=50, description="first items of each method's ranking")


class EvaluationOptions(Strict):
    """Everything else."""

    families: Annotated[list[Family], Field(min_length=1)] | None = Field(
        None, description="of measures; all, if not given. What is measured is compared, whatever they are"
    )
    seed: Seed = Field(
        0, description="of resamples, clusters, few-shot draws, noise and the split behind separability"
    )
    clouds: int = Field(500, ge=2, description="points a modality in the figure of the two clouds")
    plane: Plane = Field("pca", description="of that figure: principal components, or UMAP, of umap-learn")
    resamples: int = Field(9999, ge=1, description="of every bootstrap and permutation test")
    corrections: list[str] | None = Field(None, description="by name; all, if not given")
    shots: list[Annotated[int, Field(ge=1)]] = Field([1, 2, 4, 8, 16], description="images a class")
    draws: int = Field(5, ge=1, description="of the few images")
    mixed_search: MixedSearch = MixedSearch()
    logistic: Logistic = Field(
        "native", description="logistic regressions: none, of native features, or with every correction too"
    )

    @field_validator("families")
    @classmethod
    def _whole(cls, names: list[Family] | None) -> list[Family] | None:
        if names and "retrieval" not in names and (some := [name for name in OF_RETRIEVAL if name in names]):
            raise ValueError(
                f"{', '.join(some)} without retrieval, by whose tables it is measured: name it too"
            )
        return names

    @field_validator("families", "shots", "corrections")
    @classmethod
    def _distinct(cls, names: list | None) -> list | None:
        return names and once(names)

    @field_validator("corrections")
    @classmethod
    def _known(cls, names: list[str] | None) -> list[str] | None:
        if names:
            from crossgap import corrections  # numpy and pandas, which a run with all of them needs not

            if unknown := [name for name in names if name not in corrections.RIVALS]:
                raise ValueError(
                    f"no correction {', '.join(unknown)}{like(unknown[0], corrections.RIVALS)}; "
                    f"known: {', '.join(corrections.RIVALS)}"
                )
        return names
