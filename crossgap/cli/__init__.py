"""The command `crossgap`: what is done beside the pipeline, before it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from crossgap.cli import backbones, datasets
from crossgap.cli.explained import explained
from crossgap.cli.importing import import_
from crossgap.cli.keeping import clean, status
from crossgap.cli.plan import plan

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
app.command("import")(import_)
app.command()(plan)
app.command()(status)
app.command()(clean)
app.add_typer(backbones.app, name="backbones")
app.add_typer(datasets.app, name="datasets")


def _version(asked: bool) -> None:
    if asked:
        from crossgap import __version__

        typer.echo(f"crossgap {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version")
    ] = False,
) -> None:
    """How far apart are the two modalities of a CLIP-style model, what does it cost, and what helps?"""


File = Annotated[Path, typer.Argument(help="the file")]


@app.command()
def check(params: File = Path("params.yaml")) -> None:
    """Validate params.yaml as a whole, read as DVC reads it; look for the models, files and device that it names."""
    from crossgap.params import load
    from crossgap.params.available import require

    with explained():
        require(load(params), params)
    typer.echo(f"{params} is valid")


@app.command()
def migrate(params: File = Path("params.yaml")) -> None:
    """Rewrite a params.yaml of an older crossgap in today's shape; its values and your comments stay."""
    from crossgap.params import load
    from crossgap.params.moved import migrated

    with explained():
        text, done = migrated(_text_of(params))
        if done:
            _write(params, text)
            typer.echo("\n".join(done))
        load(params)
    typer.echo(f"{params} is of today's shape")


@app.command()
def preset(
    name: Annotated[str | None, typer.Argument(help="of the study; without it, all are listed")] = None,
    params: Annotated[Path, typer.Option(help="what the study's settings are put into")] = Path(
        "params.yaml"
    ),
    output: Annotated[
        Path | None,
        typer.Option(
            help="the file to write; else it is printed. One that is there is overwritten where git has it as it "
            "is, so that nothing is lost, or with --force"
        ),
    ] = None,
    force: Annotated[bool, typer.Option(help="overwrite the file whatever it holds")] = False,
) -> None:
    """params.yaml with a study's settings, its comments kept: crossgap preset NAME --output params.yaml && dvc repro"""
    from crossgap.cli.overwriting import require_in_git
    from crossgap.params import load_text
    from crossgap.params.editing import edited
    from crossgap.params.reading import parsed
    from crossgap.presets import PRESETS, applied

    if name is None:
        for known, described in PRESETS.items():
            typer.echo(f"{known}: {described.words}")
        return
    with explained():
        text = _text_of(params)
        load_text(text, params)
        changed = edited(text, applied(name, parsed(text, params)))
        load_text(changed, output or params)
        if output is None:
            typer.echo(changed, nl=False)
            return
        if not force:
            require_in_git(output)
        _write(output, changed)


def _text_of(params: Path) -> str:
    from crossgap.params.reading import text_of

    return text_of(params)


def _write(path: Path, text: str) -> None:
    from crossgap.errors import CrossgapError
    from crossgap.stores import temporary

    if not path.parent.is_dir() or path.is_dir():
        why = "is a folder" if path.is_dir() else f"can't be written: there is no folder {path.parent}"
        raise CrossgapError(f"{path} {why}: name a file in a folder that there is")
    temporary.write(path, text.encode("utf-8"))
