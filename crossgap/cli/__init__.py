"""The command `crossgap`: checks, plans and edits that a user makes beside the pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from crossgap.cli import backbones, datasets, scripts, tables
from crossgap.cli.blocks import layers
from crossgap.cli.comparing import compare
from crossgap.cli.creating import init
from crossgap.cli.errors import explained
from crossgap.cli.exporting import export
from crossgap.cli.importing import import_
from crossgap.cli.keeping import clean, status
from crossgap.cli.papers import figure, table
from crossgap.cli.planning import plan
from crossgap.cli.reporting import report
from crossgap.cli.scripts import Json
from crossgap.cli.verifying import verify
from crossgap.projects.pinned import require_usual_python

_EXITS = (
    "Ends with 0 where all is well; with 1 where something is wrong with what was given or found, as a sentence on "
    "stderr says; with 2 where the command's words are not understood; with 130 where Ctrl-C stopped it. --help of "
    "each command has an example."
)


app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, epilog=_EXITS)


def _version(asked: bool) -> None:
    if asked:
        from crossgap import __version__

        typer.echo(f"crossgap {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """How far apart are the two modalities of a CLIP-style model, what does it cost, and what helps?"""
    with explained():
        require_usual_python()


File = Annotated[Path, typer.Argument(help="The params.yaml to look at.")]


def check(params: File = Path("params.yaml"), as_json: Json = False) -> None:
    """Say whether params.yaml is valid, and whether the models, files, folders and device that it names are there.

    Ends with 1 where it is not, where another crossgap is installed than the project runs by, where a folder of outputs
    is a link to where DVC keeps none, and where a file of weights, of features or of a dataset changed since a run read
    it.

    Example: crossgap check && dvc repro
    """
    from crossgap.errors import CrossgapError
    from crossgap.params import load
    from crossgap.params.available import require
    from crossgap.planning import unwatched
    from crossgap.projects.linked import require_outputs_in_git
    from crossgap.projects.pinned import require_pinned

    with explained():
        try:
            require_pinned(params.parent)
            require_outputs_in_git(params.parent)
            asked = load(params)
            require(asked, params, data=True)
            if others := unwatched.said(asked, Path("data")):
                raise CrossgapError(others)
        except CrossgapError as error:
            if as_json:
                scripts.echo({"file": str(params), "valid": False, "problem": str(error)})
                raise typer.Exit(1) from None
            raise
    if as_json:
        scripts.echo({"file": str(params), "valid": True, "problem": None})
    else:
        typer.echo(f"{params} is valid")


def migrate(params: File = Path("params.yaml")) -> None:
    """Rewrite a params.yaml of an older crossgap in today's shape; its values and your comments are kept.

    Example: crossgap migrate && git diff params.yaml
    """
    from crossgap.params import load
    from crossgap.params.migration import migrated

    with explained():
        text, done = migrated(_text_of(params))
        if done:
            _write(params, text, params)
            typer.echo("\n".join(done))
        load(params)
    typer.echo(f"{params} is of today's shape")


def preset(
    name: Annotated[
        str | None, typer.Argument(help="The study's name; without it, all studies are listed.")
    ] = None,
    params: Annotated[Path, typer.Option(help="The file to put the study's settings into.")] = Path(
        "params.yaml"
    ),
    output: Annotated[
        Path | None,
        typer.Option(
            help="The file to write; without it, the text is printed. A file with changes that git lacks is not "
            "overwritten without --force."
        ),
    ] = None,
    force: Annotated[bool, typer.Option(help="Overwrite the file, whatever it holds.")] = False,
    as_json: Json = False,
) -> None:
    """Put the settings of a published table or a study into params.yaml, whose comments are kept.

    Example: crossgap preset cross-the-gap-table2 --output params.yaml && dvc repro
    """
    from crossgap.cli.overwriting import require_in_git, require_place
    from crossgap.errors import CrossgapError
    from crossgap.params import load_text
    from crossgap.params.editing import edited
    from crossgap.params.reading import parsed
    from crossgap.presets import PRESETS, applied

    with explained():
        if name is None and output is not None:
            raise CrossgapError(f"nothing is written to {output} without a study: name one")
        if force and output is None:
            raise CrossgapError(
                "--force: nothing is overwritten without --output: name a file, or leave --force out"
            )
    if name is None:
        if as_json:
            scripts.echo([{"study": name, "title": held.words} for name, held in PRESETS.items()])
            return
        tables.show(("study", "what it measures"), [(name, held.words) for name, held in PRESETS.items()])
        typer.echo("\nTo run one: crossgap preset NAME --output params.yaml && dvc repro")
        return
    with explained():
        if output is not None:
            require_place(output)
        text = _text_of(params)
        load_text(text, params)
        changed = edited(text, applied(name, parsed(text, params)))
        load_text(changed, output or params)
        if output is None:
            if as_json:
                scripts.echo(parsed(changed, params))
            else:
                typer.echo(changed, nl=False)
            return
        if not force:
            require_in_git(output)
        _write(output, changed, params)
        if as_json:
            scripts.echo(parsed(changed, output))


def corrections(as_json: Json = False) -> None:
    """List the corrections that are measured beside inversion, and the papers they come from.

    Example: crossgap corrections --json | jq -r '.[].correction'
    """
    from crossgap.corrections import RIVALS

    if as_json:
        scripts.echo(
            [
                {
                    "correction": name,
                    "title": held.TITLE,
                    "source": held.SOURCE or None,
                    "how": held.REFERENCE,
                }
                for name, held in RIVALS.items()
            ]
        )
        return
    rows = [(name, held.TITLE, held.SOURCE or "-", held.REFERENCE) for name, held in RIVALS.items()]
    tables.show(("correction", "title", "source", "how it works"), rows)


for one in (
    init, check, plan, report, compare, status, verify, clean, export, layers, preset, migrate, corrections, table,
    figure,
):  # fmt: skip
    app.command()(one)
app.command("import")(import_)
app.add_typer(backbones.app, name="backbones")
app.add_typer(datasets.app, name="datasets")


def _text_of(params: Path) -> str:
    from crossgap.params.reading import text_of

    return text_of(params)


def _write(path: Path, text: str, read_from: Path) -> None:
    """Write a text, with the line ends that most lines have in the file that it was read from."""
    from crossgap.stores import temporary

    before = read_from.read_bytes()
    if 2 * before.count(b"\r\n") > before.count(b"\n"):
        text = text.replace("\n", "\r\n")
    temporary.write_through(path, text.encode("utf-8"))
