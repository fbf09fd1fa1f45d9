"""`crossgap layers`: the gap after each block of both towers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from crossgap.cli import scripts, tables
from crossgap.cli.errors import explained
from crossgap.cli.overwriting import require_place
from crossgap.cli.scripts import Json
from crossgap.stores import temporary

DATA = Path("data")


def layers(
    backbone: Annotated[str, typer.Argument(help="A backbone that `dvc repro` has looked at.")],
    dataset: Annotated[str, typer.Argument(help="A captioned dataset that `dvc repro` has prepared.")],
    split: Annotated[str, typer.Option(help="The split whose pairs are measured.")] = "test",
    count: Annotated[int, typer.Option(min=2, help="Pairs, at most.")] = 500,
    output: Annotated[Path | None, typer.Option(help="A CSV file to write all measures to.")] = None,
    as_json: Json = False,
) -> None:
    """Measure the gap after each block of both towers, each ended there and projected as at its end.

    Example: crossgap layers nano world --count 200 --output layers.csv
    """
    from crossgap.errors import CrossgapError

    with explained():
        if output is not None:
            require_place(output)
        weights = _read(DATA / "weights" / f"{backbone}.json", f"backbone {backbone!r}")
        machine = _read(DATA / "resolved/machine.json", "settings of the machine")
        folder = DATA / "datasets" / dataset
        if dataset not in machine["roots"] or not folder.is_dir():
            raise CrossgapError(
                f"dataset {dataset!r} is not prepared: name it in params.yaml under run, and let `dvc repro` prepare it"
            )
        from crossgap.backbones import load_backbone
        from crossgap.backbones.noted import require_noted
        from crossgap.layerwise import layerwise
        from crossgap.prepared import manifest

        files = weights.pop("files")
        require_noted(backbone, weights, files, "weights")
        found = layerwise(
            manifest.read(folder),
            Path(machine["roots"][dataset]),
            load_backbone(**weights, device=machine["device"]),
            split,
            count=count,
            batch_size=machine["batch_size"],
        )
    if as_json:
        scripts.echo(found.astype(object).where(found.notna(), None).to_dict("records"))
    else:
        rows = [
            [f"{value:.3f}" if isinstance(value, float) else str(value) for value in row]
            for row in found.itertuples(index=False)
        ]
        tables.show([name.replace("_", " ") for name in found], rows)
    if output is not None:
        with explained():
            temporary.write_through(output, found.to_csv(index=False).encode("utf-8"))


def _read(path: Path, what: str) -> dict[str, Any]:
    from crossgap.errors import CrossgapError

    if not path.is_file():
        raise CrossgapError(
            f"{what}: {path} is not there; name it in params.yaml under run, and let `dvc repro` write it"
        )
    return json.loads(path.read_text(encoding="utf-8"))
