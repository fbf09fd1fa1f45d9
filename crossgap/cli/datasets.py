"""crossgap datasets: the catalogue's and those of params.yaml, and whether they are what they should be."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crossgap.cli.errors import explained

if TYPE_CHECKING:
    from crossgap.datasets import Declaration

app = typer.Typer(invoke_without_command=True)
Params = Annotated[Path, typer.Option(help="the file that declares them")]
Name = Annotated[str, typer.Argument(help="of the dataset, in the catalogue or params.yaml")]
_LISTED = 20


@app.callback()
def list_(context: typer.Context, params: Params = Path("params.yaml")) -> None:
    """Datasets of the catalogue and of params.yaml: their size, licence, and whether they are there."""
    if context.invoked_subcommand:
        return
    from crossgap.catalogue.datasets import known

    with explained():
        for name, declaration in _declared(params).items():
            facts = known().get(name)
            typer.echo(f"{name}: {facts.title if facts else f'layout {declaration.layout}'}")
            for line in _details(declaration):
                typer.echo(f"  {line}")
            if facts:
                typer.echo(
                    f"  {facts.reference}; licence: {facts.licence}" + (f"; {facts.url}" if facts.url else "")
                )
    typer.echo("\nIts row, how to get it and what it should look like: crossgap datasets show NAME")


@app.command()
def show(name: Name, params: Params = Path("params.yaml")) -> None:
    """A dataset's row, to be copied into params.yaml; how to get it, and what should lie under its root."""
    from crossgap.catalogue.datasets import how_to_get, known
    from crossgap.cli.rows import shown

    with explained():
        about = []
        if name in known():
            facts = known()[name]
            about = [how_to_get(name), f"{facts.reference}; licence: {facts.licence}"]
        typer.echo(shown("datasets", name, params, about))


@app.command()
def get(
    name: Name, folder: Annotated[Path, typer.Argument(help="to download into")] = Path("data/raw")
) -> None:
    """Download a dataset by torchvision or Hugging Face, or say what else to do."""
    from crossgap.catalogue import entries
    from crossgap.catalogue.datasets import facts_of, how_to_get
    from crossgap.catalogue.datasets.fetching import fetch

    with explained():
        facts = facts_of(name)
        root = fetch(name, folder / name if facts.huggingface else folder)
    typer.echo(f"{name} lies in {root}")
    if root != Path(entries.rows("datasets")[name]["root"]):
        typer.echo(
            f"say so in params.yaml, with the row that `crossgap datasets show {name}` prints: root: {root}"
        )
    typer.echo(how_to_get(name))


@app.command()
def check(
    name: Name,
    root: Annotated[Path | None, typer.Argument(help="where it lies; as declared, if not given")] = None,
    params: Params = Path("params.yaml"),
    workers: Annotated[int, typer.Option(help="threads that open images")] = 8,
) -> None:
    """Compare what is on disk with the declaration: counts, classes, missing and broken files."""
    from crossgap.catalogue.datasets import how_to_get, known
    from crossgap.catalogue.datasets.comparing import compare
    from crossgap.datasets import DatasetError

    with explained():
        declared = _declared(params)
        if name not in declared:
            raise DatasetError(f"{params} declares no dataset {name!r}; it declares {', '.join(declared)}")
        try:
            found = compare(declared[name], root, workers)
        except DatasetError as error:
            remedy = f"\n\n{how_to_get(name)}" if name in known() else ""
            raise DatasetError(f"{name}: {error}{remedy}") from None
    for row in found.counts.to_dict("records"):
        counts = [
            f"{row[what]} {what}"
            + ("" if wanted is None else " (as declared)" if wanted == row[what] else f" ({wanted} declared)")
            for what in ("images", "texts", "classes")
            if row[what] or row[f"declared_{what}"]
            for wanted in [row[f"declared_{what}"]]
        ]
        typer.echo(f"{row['split']}: {', '.join(counts)}")
    if found.problems.empty:
        typer.echo(f"{name} is as declared")
        return
    typer.echo(f"{len(found.problems)} problems: {', '.join(found.summary)}")
    for problem in found.problems.head(_LISTED).to_dict("records"):
        typer.echo(f"  {problem['item']}: {problem['problem']}")
    if len(found.problems) > _LISTED:
        typer.echo(f"  … and {len(found.problems) - _LISTED} more")
    if name in known():
        typer.echo(f"\n{how_to_get(name)}")
    sys.exit(1)


def _declared(params: Path) -> dict[str, Declaration]:
    from crossgap.params import load

    return load(params).datasets


def _details(declaration: Declaration) -> list[str]:
    lines = []
    if sizes := getattr(declaration, "sizes", {}):
        told = [
            f"{split}: " + ", ".join(f"{n} {what}" for what, n in size.model_dump(exclude_none=True).items())
            for split, size in sizes.items()
        ]
        lines.append("; ".join(told))
    retrieval = declaration.retrieval
    lines.append(f"queries {retrieval.query}, gallery {retrieval.gallery}")
    if (root := getattr(declaration, "root", None)) and str(root) != ".":
        lines.append(f"root {root}" + ("" if root.exists() else ", not there"))
    return lines
