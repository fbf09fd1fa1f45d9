"""`crossgap backbones`: lists the backbones of the catalogue and of params.yaml, and checks their models."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from crossgap.cli import scripts, tables
from crossgap.cli.errors import explained
from crossgap.cli.scripts import Json
from crossgap.errors import BackboneError, like

if TYPE_CHECKING:
    from crossgap.catalogue.backbones import Described

app = typer.Typer(invoke_without_command=True)
Params = Annotated[Path, typer.Option(help="The file whose backbones are listed beside the catalogue's.")]
Name = Annotated[str, typer.Argument(help="The backbone's name, in the catalogue or in params.yaml.")]


@app.callback()
def backbones(context: typer.Context, params: Params = Path("params.yaml"), as_json: Json = False) -> None:
    """List the backbones that `run` can name: sizes, whether OTI and OVI work, and where the weights are.

    Example: crossgap backbones --json | jq -r '.[] | select(.oti_tokens).backbone'
    """
    if scripts.stand_behind(context):
        return
    from crossgap.catalogue import backbones as catalogue
    from crossgap.params import load

    with explained():
        loaded = load(params)
    head = (
        *("backbone", "parameters", "features", "projected from", "context", "image"),
        *("OTI", "OVI", "weights"),
    )
    rows: list[tuple[str, ...]] = []
    found: list[dict[str, Any]] = []
    reasons: list[str] = []
    for name, row in loaded.backbones.items():
        model, said = row.weights.model, None
        if name in loaded.trained:
            sizes = None
            cells: tuple[str, ...] = ("-",) * 5
            place = f"made by {loaded.trained[name]}.{name} of {params}"
        else:
            sizes, said = _sizes(catalogue, model)
            cells = _cells(sizes)
            place = _place(catalogue, name, model, row.weights.pretrained)
        support = catalogue.supported(model)
        tokens = row.oti.tokens if support["oti"] is None else None
        patches = row.ovi.patches if support["ovi"] is None else None
        ways = [f"R = {tokens}" if tokens else "no", f"P = {patches}" if patches else "no"]
        rows.append((name, *cells, *ways, place))
        numbers = sizes.model_dump(mode="json") if sizes else dict.fromkeys(catalogue.Described.model_fields)
        inverted = {"oti_tokens": tokens, "ovi_patches": patches}
        found.append({"backbone": name, **numbers, **inverted, "weights": place})
        reasons += [f"{name}: {why}" for why in dict.fromkeys([said, *support.values()]) if why]
    if as_json:
        scripts.echo(found)
        for reason in reasons:
            typer.echo(reason, err=True)
        return
    tables.show(head, rows)
    typer.echo(
        "\nR: pseudo-tokens of OTI, P: pseudo-patches of OVI; projected from: widths before the projections."
    )
    typer.echo("The model, its paper, its licence and a row to copy: crossgap backbones show NAME")
    for reason in reasons:
        typer.echo(reason)


@app.command()
def show(name: Name, params: Params = Path("params.yaml"), as_json: Json = False) -> None:
    """Print a backbone's row, to be copied into params.yaml.

    Example: crossgap backbones show openai-b32
    """
    from crossgap.catalogue.backbones import facts
    from crossgap.cli.rows import found, shown

    with explained():
        if as_json:
            row, _ = found("backbones", name, params)
            held = facts().get(name)
            named = ("title", "reference", "licence", "source")
            scripts.echo(
                {"backbone": name, "row": row}
                | {what: getattr(held, what) if held else None for what in named}
            )
            return
        about = []
        if name in facts():
            known = facts()[name]
            about = [known.title, f"{known.reference}; licence: {known.licence}"]
            about += [f"from {known.source}"] if known.source else []
        typer.echo(shown("backbones", name, params, about))


@app.command()
def towers(
    words: Annotated[
        str,
        typer.Argument(help="Only models with these words in their row: clipa, convnext, 'last position'."),
    ] = "",
    as_json: Json = False,
) -> None:
    """List every model that open_clip registers, and whether OTI and OVI can invert into its towers.

    Example: crossgap backbones towers ViT-B
    """
    from crossgap.catalogue.kinds import kinds

    head = (
        *("model", "features", "text tower", "width", "OTI"),
        *("vision tower", "width", "OVI", "activation"),
    )
    known = kinds()
    rows = [
        (
            *(one.model, str(one.dim), one.text, _known(one.text_width), _way(one.oti, one.oti_hub)),
            *(one.vision, _known(one.vision_width), _way(one.ovi, one.ovi_hub), _known(one.activation)),
        )
        for one in known
    ]
    shown = [row for row in rows if words.lower() in "  ".join(row).lower()]
    if as_json:
        scripts.echo([one._asdict() for one, row in zip(known, rows, strict=True) if row in shown])
        return
    tables.show(head, shown)
    hub = sum(one.oti_hub for one in known)
    typer.echo(
        f"\n{len(shown)} of {len(known)} models. OTI inverts into all text towers; {hub} of them need files from "
        f"Hugging Face (hub: pip install 'crossgap[hub]').\n"
        f"OVI inverts into the {sum(one.ovi != 'no' for one in known)} vision towers that are transformers over "
        "patches, and not into convolutional ones (no).\n"
        "fast: computed by open_clip's own blocks directly; yes: through the model's whole forward pass.\n"
        "-: not in the model's configuration. activation: of open_clip's own blocks."
    )


def _way(way: str, hub: bool) -> str:
    return f"{way}, hub" if hub and way != "no" else way


def _known(value: int | str | None) -> str:
    return "-" if value is None else str(value)


@app.command()
def check(
    name: Name,
    params: Params = Path("params.yaml"),
    device: Annotated[str, typer.Option(help="Where it is computed: auto, cpu, cuda or mps.")] = "auto",
) -> None:
    """Load a backbone, verify the hash of its weights, and compare some of its cosines with known ones.

    Example: crossgap backbones check openai-b32
    """
    from crossgap.catalogue.backbone_check import check as checked
    from crossgap.params import load

    with explained():
        rows = load(params).backbones
        if name not in rows:
            raise BackboneError(
                f"there is no backbone {name!r}, in the catalogue or {params}{like(name, rows)}; "
                f"there are {', '.join(rows)}"
            )
        weights = rows[name].weights.model_dump(exclude={"precision"})
        lines = checked(name, **weights, device=device)
        for line in lines:
            typer.echo(line)


def _place(catalogue: ModuleType, name: str, model: str, pretrained: str | None) -> str:
    """Where the weights lie, or where they can be downloaded from."""
    from crossgap.backbones import towers

    if model.startswith(towers.LOCAL_DIR_PREFIX):
        folder = model.removeprefix(towers.LOCAL_DIR_PREFIX)
        return folder if Path(folder, towers.CONFIG).is_file() else f"not here: put it into {folder}"
    file = catalogue.cached(model, pretrained)
    return str(file) if file else f"not here: {catalogue.where(name, model, pretrained)}"


def _sizes(catalogue: ModuleType, model: str) -> tuple[Described | None, str | None]:
    """A model's sizes, where they are known, and the reason where the model can't be built."""
    try:
        return catalogue.sizes(model), None
    except BackboneError as error:
        return None, str(error)


def _cells(found: Described | None) -> tuple[str, ...]:
    """The table's cells with a model's sizes."""
    if found is None:
        return ("?",) * 5
    height, width = found.image_size
    return (
        f"{found.parameters / 1e6:.1f} M",
        str(found.dim),
        ", ".join(f"{modality} {size}" for modality, size in found.widths.items()) or "-",
        str(found.context or "-"),
        f"{height}" if height == width else f"{height} × {width}",
    )
