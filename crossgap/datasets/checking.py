"""Check what a reader gave: every image is opened, and every count compared with the declared one."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from crossgap.datasets.boxes import box_problem
from crossgap.datasets.checks import Checks
from crossgap.datasets.declared import DatasetError, OnDisk
from crossgap.datasets.paths import require_flat
from crossgap.datasets.reading import SET_ASIDE_WITH_IMAGE, Problem, Reading, kinds, with_image
from crossgap.prepared import manifest

_LISTED = 20


def checked(
    declaration: OnDisk, reading: Reading, checks: Checks, workers: int = 8
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Check every image of what was read, and the sizes of splits: `(manifest, problems)`.

    Args:
        checks: of the files below what paths are relative to.

    `problems` has columns `id`, `item`, `problem`; its items are not in the manifest.

    Raises:
        DatasetError: items have problems that the declaration doesn't set aside; a split that is evaluated has no
            items left; or the items make no valid manifest, since the name of a split is not valid, for one.
    """
    require_flat(checks.root, reading.frame.loc[reading.frame["modality"] == "image", "path"])
    frame, problems = reading.frame, [*reading.problems, *_other_sizes(declaration, reading.frame)]
    images = frame["modality"] == "image"
    opened = checks.all(frame.loc[images, "path"], workers)
    frame.loc[images, "digest"] = opened["digest"].to_numpy()
    frame.loc[~images, "digest"] = frame.loc[~images, "text"].map(manifest.text_digest)

    if manifest.BOX in frame:
        sizes = zip(opened["width"], opened["height"], strict=True)
        found = zip(opened["problem"], opened["path"], sizes, frame.loc[images, manifest.BOX], strict=True)
        opened["problem"] = [problem or box_problem(*of) for problem, *of in found]
    bad = frame[images][opened["problem"].notna().to_numpy()]
    why = opened["problem"].dropna()
    problems = problems + [Problem(*found) for found in zip(bad["id"], bad["path"], why, strict=True)]
    if problems and declaration.on_problem == "error":
        raise DatasetError(_listing(declaration, problems))
    lost = frame["group"].isin(bad["id"])
    orphans = frame[lost & ~images]
    problems += [with_image(*orphan) for orphan in zip(orphans["id"], orphans["text"], strict=True)]

    frame = frame[~lost]
    _require_splits(declaration, frame)
    return manifest.validate(frame), pd.DataFrame(problems, columns=Problem._fields, dtype=object)


def counts(items: pd.DataFrame) -> dict[str, int]:
    """Counts of a split's items, named as in `Size`; classes are counted in the labelling that has the most."""
    return {
        "images": int((items["modality"] == "image").sum()),
        "texts": int((items["modality"] == "text").sum()),
        "classes": max(
            (items[name].nunique() for name in items if name.startswith(manifest.LABEL)), default=0
        ),
    }


def _other_sizes(declaration: OnDisk, frame: pd.DataFrame) -> Iterator[Problem]:
    """A problem for each count that isn't the one declared."""
    for split, declared in declaration.sizes.items():
        held = counts(frame[frame["split"] == split])
        for what, expected in declared.model_dump(exclude_none=True).items():
            if held[what] != expected:
                problem = (
                    f"another size: {held[what]} {what}, {expected} are declared: unpack the archive again, or mend "
                    "`sizes`"
                )
                yield Problem(f"{split}/{what}", f"split {split}", problem)


def _require_splits(declaration: OnDisk, items: pd.DataFrame) -> None:
    held = sorted(set(items["split"]) - {*manifest.RESERVED})
    what = "images" if "image" in declaration.modalities else "texts"
    for field, split in declaration.splits_used.items():
        if split not in held:
            raise DatasetError(
                f"{field}: split {split!r} of {declaration.root} has no {what}; splits: {', '.join(held) or 'none'}"
            )


def _listing(declaration: OnDisk, problems: list[Problem]) -> str:
    own = [problem for problem in problems if problem.problem != SET_ASIDE_WITH_IMAGE]
    lines = [f"{declaration.root} has {len(own)} bad items: {kinds(one.problem for one in own)}"]
    lines += [f"  {item}: {problem}" for _, item, problem in own[:_LISTED]]
    if len(own) > _LISTED:
        lines.append(f"  … and {len(own) - _LISTED} more")
    return "\n".join([*lines, "Mend them, or declare `on_problem: set_aside` to go on without them."])
