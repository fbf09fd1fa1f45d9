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


@app.callback()
def main() -> None:
    """How far apart are the two modalities of a CLIP-style model, what does it cost, and what helps?"""


@app.command()
def check(params: Annotated[Path, typer.Argument(help="the file to validate")] = Path("params.yaml")) -> None:
    """Validate params.yaml as a whole."""
    from crossgap.params import load

    with explained():
        load(params)
    typer.echo(f"{params} is valid")


@app.command()
def preset(
    name: Annotated[str | None, typer.Argument(help="of the study; without it, all are listed")] = None,
    params: Annotated[Path, typer.Option(help="what the study's settings are put into")] = Path(
        "params.yaml"
    ),
    output: Annotated[Path | None, typer.Option(help="the file to write; else it is printed")] = None,
) -> None:
    """Print params.yaml as a study needs it: crossgap preset NAME --output params.yaml && dvc repro"""
    import yaml

    from crossgap.presets import PRESETS, applied

    if name is None:
        for known, described in PRESETS.items():
            typer.echo(f"{known}: {described.words}")
        return
    with explained():
        changed = applied(name, yaml.safe_load(params.read_text(encoding="utf-8")))
    # no anchors: a list that is there twice is written twice
    dumper = type("Plain", (yaml.SafeDumper,), {"ignore_aliases": lambda *_: True})
    text = yaml.dump(changed, Dumper=dumper, sort_keys=False, default_flow_style=None, width=120)
    output.write_text(text, encoding="utf-8") if output else typer.echo(text, nl=False)
