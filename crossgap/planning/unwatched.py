"""Files of the user's that a run has read, and that have changed since: DVC watches none of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crossgap import fingerprint
from crossgap.backbones import towers
from crossgap.datasets import stamps
from crossgap.errors import listed
from crossgap.params import Params
from crossgap.planning.cells import cells
from crossgap.planning.resolve import as_declared, digested, weights_files
from crossgap.planning.written import read

if TYPE_CHECKING:
    import pandas as pd

    from crossgap.datasets.preparing import Prepared
    from crossgap.datasets.stamps import Stamps

HEADING = "files changed since a run read them, which `dvc repro` alone doesn't see:"


def said(params: Params, data: Path) -> str:
    """The heading and `changed`; empty where nothing did."""
    lines = list(changed(params, data))
    return "\n  ".join([HEADING, *lines]) if lines else ""


def changed(params: Params, data: Path) -> Iterator[str]:
    """A line, with the remedy, for each file of weights or of an architecture, and each that corrections are fitted on,
    that isn't what was read, and for each dataset whose files may not be.

    All their bytes are read. Of datasets' files sizes and times are looked at: `of_dataset` compares what one holds.
    """
    for name in params.run.datasets:
        declared = params.datasets[name]
        note = stamps.note_of(data / "scratch", name, as_declared(params, name)["declared"])
        if found := stamps.changed(note, declared):
            yield (
                f"datasets.{name}: {found}: give it `revision: {declared.revision + 1}`, or see by "
                f"`crossgap datasets check {name}` whether what they hold is the same"
            )
    for name in params.run.backbones:
        if name not in params.trained:
            row = read(data / "weights" / f"{name}.json") or {}
            for file in _other(params, name, row, row.get("files", {})):
                yield f"backbones.{name}.weights: {file}: {fingerprint.read_again('weights')}"
    seen: dict[tuple[str, str], dict[str, str]] = {}
    for cell in cells(params):
        held = read(data / "resolved" / cell.resolved) or {}
        if cell.stage == "finetune":
            name = params.finetune[cell.words[0]].backbone
            for file in _other(params, name, held.get("weights", {}), held.get("files", {})):
                yield f"finetune.{cell.words[0]}.backbone: {file} of {name}: {fingerprint.read_again('resolve')}"
        if cell.stage == "idealised":
            files = towers.architecture_files(params.idealised[cell.words[0]].architecture)
            for file in fingerprint.differing(files, held.get("files", files)):
                yield f"idealised.{cell.words[0]}.architecture: {file}: {fingerprint.read_again('resolve')}"
        if cell.folder == "evaluate":
            for name, files in held.get("files", {}).items():
                seen |= {(name, modality): file for modality, file in files.items()}
    for (name, modality), given in seen.items():
        asked = params.evaluate.fit_on.files.get(name)
        if asked and asked.files.get(modality) == given["file"] and digested(given["file"]) != given:
            yield f"evaluate.fit_on.files.{name}.{modality}: {given['file']}: {fingerprint.read_again('resolve')}"


def of_dataset(params: Params, name: str, made: Prepared, data: Path, taken: Stamps) -> str:
    """A sentence, with the remedy, on what a run has prepared of a dataset otherwise than it is `made` now.

    Empty where nothing is, before a run, and where the row is another since: that `dvc repro` sees. Where nothing is,
    `changed` goes from now on by the stamps that were `taken` before.

    Raises:
        CrossgapError: what the run has prepared is damaged.
    """
    from crossgap.prepared import composed, judgements, manifest, transformations

    folder = data / "datasets" / name
    held = read(data / "resolved" / "prepare" / f"{name}.json") or {}
    if (
        held.get("declared") != as_declared(params, name)["declared"]
        or not (folder / manifest.FILE).is_file()
    ):
        return ""
    before, now = manifest.read(folder), made.items
    columns = sorted({*before, *now})
    was, is_now = _row_hashes(before, columns), _row_hashes(now, columns)
    both = is_now.index.intersection(was.index, sort=False)
    kinds = {
        "changed": both[(is_now[both] != was[both]).to_numpy()],
        "new": is_now.index.difference(was.index, sort=False),
        "gone": was.index.difference(is_now.index, sort=False),
    }
    found = [f"{len(items)} {kind} ({listed(items)})" for kind, items in kinds.items() if len(items)]
    tables = {
        "judgements": ([made.judgements], [judgements.read(folder)]),
        "transformations": (made.transformations, transformations.read(folder)),
        "composed queries": (made.composed, composed.read(folder)),
    }
    found += [f"other {what}" for what, (one, other) in tables.items() if not _equal(one, other)]
    if not found:
        stamps.write(stamps.note_of(data / "scratch", name, held["declared"]), taken)
        return ""
    raised = params.datasets[name].revision + 1
    return (
        f"{name} is not what a run read, which `dvc repro` alone doesn't see: of its items and texts, "
        f"{', '.join(found)}: give its row in params.yaml `revision: {raised}`, then `dvc repro`"
    )


def _row_hashes(items: pd.DataFrame, columns: list[str]) -> pd.Series:
    """By id, a hash of what the item's row holds."""
    import pandas as pd

    from crossgap.prepared import manifest

    words = manifest.in_words(items.reindex(columns=columns), columns)
    return pd.Series(pd.util.hash_pandas_object(words, index=False).to_numpy(), items["id"])


def _equal(made: Iterable[pd.DataFrame | None] | None, held: Iterable[pd.DataFrame | None] | None) -> bool:
    """Whether tables hold the same, in whatever order of their rows."""

    def rows(tables: Iterable[pd.DataFrame | None] | None) -> list:
        return [sorted(table.astype(str).to_numpy().tolist()) for table in tables or () if table is not None]

    return rows(made) == rows(held)


def _other(params: Params, backbone: str, row: Mapping[str, Any], before: Mapping[str, str]) -> list[str]:
    """Files of a backbone's weights that are others than before; none where its row is, or where there are none."""
    asked, held = params.backbones[backbone].weights, weights_files(params, backbone)
    if not held or (row.get("model"), row.get("pretrained")) != (asked.model, asked.pretrained):
        return []
    return fingerprint.differing(held, before)
