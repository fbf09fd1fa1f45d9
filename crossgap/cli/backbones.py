"""`crossgap backbones`: the catalogue's and those of params.yaml, and checks of their models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from crossgap.cli.errors import explained

app = typer.Typer(invoke_without_command=True, help="List the backbones, show a row to copy, or check one.")
Params = Annotated[Path, typer.Option(help="rows beside the catalogue's, or in their place")]

Name = Annotated[str, typer.Argument(help="of the backbone, in the catalogue or params.yaml")]


@app.callback()
def backbones(context: typer.Context, params: Params = Path("params.yaml")) -> None:
    """List the backbones of the catalogue and of params.yaml: sizes, what OTI and OVI take, where weights are."""
    if context.invoked_subcommand:
        return
    from crossgap.catalogue import backbones as catalogue
    from crossgap.params import load

    with explained():
        loaded = load(params)
    head = (
        "backbone",
        "parameters",
        "features",
        "projected from",
        "context",
        "image",
        "OTI",
        "OVI",
        "weights",
    )
    lines, notes = [head], []
    for name, row in loaded.backbones.items():
        weights = row.weights
        if name in loaded.trained:
            cells, said = ("",) * 5, None
            about = place = f"made by {loaded.trained[name]}.{name} of {params}"
        else:
            cells, said = _sizes(catalogue, weights.model)
            place = _place(catalogue, name, weights.model, weights.pretrained)
            known = catalogue.facts().get(name)
            about = (
                f"{known.title}; {known.reference}; licence {known.licence}"
                if known
                else "not in the catalogue"
            )
        support = catalogue.supported(weights.model)
        ways = [
            f"R = {row.oti.tokens}" if support["oti"] is None else "no",
            f"P = {row.ovi.patches}" if support["ovi"] is None else "no",
        ]
        lines.append((name, *cells, *ways, place))
        notes += [f"{name}: {weights.model}, {about}"]
        notes += [f"  {reason}" for reason in dict.fromkeys([said, *support.values()]) if reason]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head) - 1)]
    for line in lines:
        cells = [cell.ljust(width) for cell, width in zip(line, widths, strict=False)]
        typer.echo("  ".join([*cells, line[-1]]))
    typer.echo("\n" + "\n".join(notes))


@app.command()
def show(name: Name, params: Params = Path("params.yaml")) -> None:
    """A backbone's row, to be copied into params.yaml."""
    from crossgap.catalogue.backbones import facts
    from crossgap.cli.rows import shown

    with explained():
        about = []
        if name in facts():
            known = facts()[name]
            about = [known.title, f"{known.reference}; licence: {known.licence}"]
            about += [f"from {known.source}"] if known.source else []
        typer.echo(shown("backbones", name, params, about))


@app.command()
def check(
    name: Name,
    params: Params = Path("params.yaml"),
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, mps")] = "auto",
) -> None:
    """Load a backbone, verify its weights' hash, encode an image and texts, compare with what is known."""
    from crossgap.catalogue.backbone_check import CheckError
    from crossgap.catalogue.backbone_check import check as checked
    from crossgap.params import load

    with explained():
        rows = load(params).backbones
        if name not in rows:
            raise CheckError(
                f"there is no backbone {name!r}, in the catalogue or {params}; there are {', '.join(rows)}"
            )
        weights = rows[name].weights.model_dump(exclude={"precision"})
        lines = checked(name, **weights, device=device)
        for line in lines:
            typer.echo(line)


def _place(catalogue, name: str, model: str, pretrained: str | None) -> str:
    """Where the weights are, or are to be had."""
    if model.startswith("local-dir:"):
        folder = model.removeprefix("local-dir:")
        return (
            folder if Path(folder, "open_clip_config.json").is_file() else f"not here: put it into {folder}"
        )
    file = catalogue.cached(model, pretrained)
    return str(file) if file else f"not here: {catalogue.where(name, model, pretrained)}"


def _sizes(catalogue, model: str) -> tuple[tuple[str, ...], str | None]:
    """Cells of a model's sizes, and why there are none if it can't be built."""
    try:
        found = catalogue.sizes(model)
    except ValueError as error:
        return ("?",) * 5, str(error)
    if found is None:
        return ("?",) * 5, None
    height, width = found.image_size
    return (
        f"{found.parameters / 1e6:.1f} M",
        str(found.dim),
        ", ".join(f"{modality} {size}" for modality, size in found.widths.items()) or "-",
        str(found.context or "-"),
        f"{height}" if height == width else f"{height} × {width}",
    ), None
