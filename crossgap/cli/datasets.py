"""`crossgap datasets`: lists the datasets of the catalogue and of params.yaml, and checks what lies on the disk."""

from __future__ import annotations

import csv
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crossgap.cli import scripts, tables
from crossgap.cli.errors import explained
from crossgap.cli.overwriting import require_place
from crossgap.cli.scripts import Json
from crossgap.errors import like
from crossgap.stores import temporary

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from crossgap.datasets import Dataset, Declaration

app = typer.Typer(invoke_without_command=True)
Params = Annotated[Path, typer.Option(help="The file whose datasets are listed beside the catalogue's.")]
Name = Annotated[str, typer.Argument(help="The dataset's name, in the catalogue or in params.yaml.")]
PUBLISHED = Path("data/reference/published.csv")
_LISTED = 20


@app.callback()
def list_(context: typer.Context, params: Params = Path("params.yaml"), as_json: Json = False) -> None:
    """List the datasets that `run` can name: what they hold, and where there are published values to compare with.

    Example: crossgap datasets --json | jq -r '.[] | select(.on_disk).dataset'
    """
    if scripts.stand_behind(context):
        return
    with explained():
        declared = _declared(params)
        published = _published()
    found = [
        {
            "dataset": name,
            "layout": declaration.layout,
            **_sizes(declaration),
            "on_disk": _on_disk(declaration),
            "published": _papers(published.get(name, ())),
        }
        for name, declaration in declared.items()
    ]
    if as_json:
        scripts.echo(found)
        return
    head = ("dataset", "layout", "images", "texts", "classes", "on disk", "published values")
    tables.show(head, [tuple(map(_said, one.values())) for one in found])
    typer.echo(
        "\nimages, texts: of all splits together; classes: of the split that has most; -: not declared. "
        "published values: on arXiv.\n"
        "How to get one, its licence, its splits, and its row to copy: crossgap datasets show NAME"
    )


@app.command()
def show(name: Name, params: Params = Path("params.yaml"), as_json: Json = False) -> None:
    """Print a dataset's row, to be copied into params.yaml; how to get it; what should lie under its root.

    Example: crossgap datasets show flickr8k
    """
    from crossgap.catalogue.datasets import how_to_get, known
    from crossgap.cli.rows import found, shown

    with explained():
        about = []
        if as_json:
            row, _ = found("datasets", name, params)
            facts = known().get(name)
            scripts.echo(
                {
                    "dataset": name,
                    "row": row,
                    "how_to_get": how_to_get(name) if facts else None,
                    "reference": facts.reference if facts else None,
                    "licence": facts.licence if facts else None,
                    "published": dict(_published().get(name, {})),
                }
            )
            return
        if name in known():
            facts = known()[name]
            about = [how_to_get(name), f"{facts.reference}; licence: {facts.licence}"]
        published = _published().get(name, Counter())
        about += [f"{count} published values in {source}" for source, count in published.items()]
        typer.echo(shown("datasets", name, params, about))


@app.command()
def summaries(
    name: Name,
    pickle: Annotated[
        Path, typer.Argument(help="A summarized_text.pkl of Cross the Gap; nothing in it is executed.")
    ],
    out: Annotated[
        Path, typer.Argument(help="The JSON to write, which `summaries` in the dataset's row names.")
    ],
    order: Annotated[
        Path | None,
        typer.Option(help="Of IMDB: IMDB_Dataset.csv, whose rows the summaries are of."),
    ] = None,
    params: Params = Path("params.yaml"),
) -> None:
    """Convert the summaries that Cross the Gap published into JSON by the ids of a dataset's documents.

    Example: crossgap datasets summaries imdb summarized_text.pkl imdb.json --order IMDB_Dataset.csv
    """
    import json

    from crossgap.datasets import DatasetError, Texts
    from crossgap.datasets.readers.published_summaries import converted

    with explained():
        declared = _declared(params).get(name)
        if not isinstance(declared, Texts):
            raise DatasetError(f"{name} is no dataset of documents, for which summaries could stand")
        require_place(out)
        if out.exists():
            raise DatasetError(f"{out} exists: name another file, or remove it")
        found = converted(declared, pickle, Path("data/datasets", name), order)
        text = json.dumps(found, indent=1, ensure_ascii=False) + "\n"
        temporary.write_through(out, text.encode("utf-8"))
    typer.echo(f"{out}: {len(found):,} summaries; in the row of {name}: summaries: {out}")


@app.command()
def layouts(
    layout: Annotated[
        str | None, typer.Argument(help="One of them, with all its fields; without it, all are listed.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List the layouts on disk that can be read, and the fields that a row of each has.

    Example: crossgap datasets layouts captions
    """
    from crossgap.datasets import LAYOUTS, DatasetError

    if layout is None:
        if as_json:
            scripts.echo(
                [
                    {"layout": name, "needs": _needed(declared), "what": _words(declared.__doc__)}
                    for name, declared in LAYOUTS.items()
                ]
            )
            return
        rows = [
            (name, ", ".join(_needed(declared)), _words(declared.__doc__))
            for name, declared in LAYOUTS.items()
        ]
        tables.show(("layout", "fields it needs", "what it is"), rows)
        typer.echo("\nAll fields of one: crossgap datasets layouts LAYOUT")
        return
    with explained():
        if layout not in LAYOUTS:
            raise DatasetError(
                f"there is no layout {layout!r}{like(layout, LAYOUTS)}; there are {', '.join(LAYOUTS)}"
            )
    declared = LAYOUTS[layout]
    fields, needed = declared.model_fields, _needed(declared)
    others = [name for name in fields if name not in ("layout", *needed)]
    columns = getattr(declared, "columns", {})
    if as_json:
        scripts.echo(
            [
                {"field": name, "needed": name in needed, "what": fields[name].description}
                | ({"columns": columns} if name == "table" and columns else {})
                for name in (*needed, *others)
            ]
        )
        return
    typer.echo(f"{layout}: {_words(declared.__doc__)}\n")
    tables.show(
        ("field", "if not given", "what it is"),
        [
            *((name, "must be given", fields[name].description or "-") for name in needed),
            *((name, _default(fields[name]), fields[name].description or "-") for name in others),
        ],
    )
    if columns:
        typer.echo("\nColumns of the table: path, text or both, and any of the others:\n")
        tables.show(("column", "what it is"), list(columns.items()))


@app.command()
def get(
    name: Name,
    folder: Annotated[Path, typer.Argument(help="The folder to download into.")] = Path("data/raw"),
    params: Params = Path("params.yaml"),
) -> None:
    """Download a dataset through torchvision or Hugging Face, or say what else to do.

    Example: crossgap datasets get dtd data/raw
    """
    from crossgap.catalogue import entries
    from crossgap.catalogue.datasets import facts_of, how_to_get, known
    from crossgap.catalogue.datasets.fetching import fetch
    from crossgap.cli.rows import found
    from crossgap.datasets import DatasetError

    with explained():
        if name not in known():
            found("datasets", name, params)
            raise DatasetError(
                f"{name} is a dataset of your own, in {params}: crossgap knows no place to get it from; its row, "
                f"which `crossgap datasets show {name}` prints, says where its files lie"
            )
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
    root: Annotated[Path | None, typer.Argument(help="Where it lies, if not where it is declared.")] = None,
    params: Params = Path("params.yaml"),
    workers: Annotated[int, typer.Option(help="Threads that open images.", min=1)] = 8,
) -> None:
    """Compare what is on disk with the declaration, and with what a run read: numbers, classes, bad and changed files.

    Example: crossgap datasets check dtd data/raw/dtd
    """
    from crossgap.catalogue.datasets import how_to_get, known
    from crossgap.catalogue.datasets.comparing import compare
    from crossgap.datasets import DatasetError, stamps
    from crossgap.datasets.reading import kinds
    from crossgap.params import load
    from crossgap.planning import unwatched

    with explained():
        asked = load(params)
        declared = asked.datasets
        if name not in declared:
            raise DatasetError(
                f"{params} declares no dataset {name!r}{like(name, declared)}; it declares {', '.join(declared)}"
            )
        taken = stamps.of(declared[name])
        try:
            found = compare(declared[name], root, workers)
        except DatasetError as error:
            remedy = f"\n\n{how_to_get(name)}" if name in known() else ""
            raise DatasetError(f"{name}: {error}{remedy}") from None
        # a copy in another place is not what a run reads
        changed = unwatched.of_dataset(asked, name, found.made, Path("data"), taken) if root is None else ""
    for row in found.counts.to_dict("records"):
        counts = [
            f"{row[what]} {what}"
            + ("" if wanted is None else " (as declared)" if wanted == row[what] else f" ({wanted} declared)")
            for what in ("images", "texts", "classes")
            if row[what] or row[f"declared_{what}"]
            for wanted in [row[f"declared_{what}"]]
        ]
        typer.echo(f"{row['split']}: {', '.join(counts)}")
    problems = found.problems
    if problems.empty:
        typer.echo(f"{name} is as declared")
    else:
        typer.echo(f"{len(problems)} problems: {kinds(problems['problem'])}")
    for problem in problems.head(_LISTED).to_dict("records"):
        typer.echo(f"  {problem['item']}: {problem['problem']}")
    if len(problems) > _LISTED:
        typer.echo(f"  … and {len(problems) - _LISTED} more")
    if changed:
        typer.echo(changed)
    if len(problems) and name in known():
        typer.echo(f"\n{how_to_get(name)}")
    if len(problems) or changed:
        sys.exit(1)


def _declared(params: Path) -> dict[str, Declaration]:
    from crossgap.params import load

    return load(params).datasets


def _said(value: str | int | bool | list[str] | None) -> str:
    """A value as the table shows it: `-` of nothing."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return ", ".join(value) or "-" if isinstance(value, list) else value or "-"


def _sizes(declaration: Declaration) -> dict[str, int | None]:
    """Numbers of images and texts over all splits, and of classes in the split with the most; None if not declared."""
    if declaration.layout == "world":
        from crossgap.datasets.world_captions import CAPTIONS_PER_IMAGE

        images = sum(declaration.images.values())
        return {"images": images, "texts": images * CAPTIONS_PER_IMAGE, "classes": None}
    sizes = getattr(declaration, "sizes", {})
    images, texts = (sum(getattr(size, what) or 0 for size in sizes.values()) for what in ("images", "texts"))
    classes = max((size.classes or 0 for size in sizes.values()), default=0)
    return {"images": images or None, "texts": texts or None, "classes": classes or None}


def _on_disk(declaration: Declaration) -> bool | None:
    """Whether the dataset's root exists; None for a dataset without a root."""
    root = getattr(declaration, "root", None)
    if root is None or str(root) == ".":
        return None
    return bool(root.exists())


def _needed(declared: type[Dataset]) -> list[str]:
    """The fields that a row needs beside `layout`. A field that another field can replace is not among them."""
    from pydantic import ValidationError

    required = [name for name, field in declared.model_fields.items() if field.is_required()]
    needed = []
    for name in required:
        try:
            declared.model_validate(dict.fromkeys((other for other in required if other != name), "x"))
        except ValidationError as error:
            if any(one["type"] == "missing" and one["loc"] == (name,) for one in error.errors()):
                needed.append(name)
    return [name for name in needed if name != "layout"]


def _default(field: FieldInfo) -> str:
    """The default of a field, as it is shown."""
    if field.is_required():
        return "-"
    value = field.get_default(call_default_factory=True)
    if hasattr(value, "model_dump"):
        value = value.model_dump(exclude_defaults=True)
    return "-" if value in (None, {}, [], ()) else str(value)


def _words(doc: str | None) -> str:
    """A docstring's first paragraph, in one line."""
    return " ".join((doc or "").partition("\n\n")[0].split())


def _papers(sources: Iterable[str]) -> list[str]:
    """The arXiv numbers that sources begin with, each once."""
    return list(dict.fromkeys(re.sub(r"^([\d.]+).*", r"\1", source) for source in sources))


def _published() -> dict[str, Counter[str]]:
    """Numbers of published values, by dataset and source; empty outside of the project's folder."""
    from crossgap.catalogue.datasets import names, plain

    found: dict[str, Counter[str]] = defaultdict(Counter)
    if PUBLISHED.is_file():
        with PUBLISHED.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                found[names().get(plain(row["dataset"]), "")][row["source"]] += 1
    return found
