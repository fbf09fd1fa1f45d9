"""What `prepare` prints of a dataset: counts, what was ignored, and what looks like a mistake."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import TYPE_CHECKING

import pandas as pd

from crossgap.datasets.declared import OnDisk
from crossgap.datasets.reading import kinds, lines
from crossgap.errors import listed
from crossgap.prepared import manifest

if TYPE_CHECKING:
    from crossgap.datasets.preparing import Prepared


def summary(prepared: Prepared) -> str:
    """A line of counts, images, texts, class prompts, vocabulary and what was set aside; then a line a note."""
    items = prepared.items
    names = items["split"] == manifest.VOCABULARY
    prompts = items["split"] == manifest.CLASSES
    images = items["modality"] == "image"
    texts = ~images & ~items["split"].isin(manifest.RESERVED)
    said = [f"{images.sum()} images", f"{texts.sum()} texts"]
    if prompts.any():
        said.append(f"{prompts.sum()} class prompts")
    if names.any():
        vocabulary = items["split"].isin(manifest.VOCABULARIES).sum()
        said.append(
            f"{vocabulary} texts of the vocabulary ({names.sum()} names, bare and as photos), which corrections are "
            "fitted on"
        )
    if (styles := (items["split"] == manifest.STYLES).sum()) != 0:
        said.append(f"{styles} names of styles")
    if prepared.composed is not None:
        said.append(f"{prepared.composed.asked['query'].nunique()} composed queries")
    if len(prepared.problems):
        said.append(f"{len(prepared.problems)} set aside ({kinds(prepared.problems['problem'])})")
    else:
        said.append("none set aside")
    return "\n".join([", ".join(said), *(f"  note: {note}" for note in prepared.notes)])


def doubts(declaration: OnDisk, items: pd.DataFrame) -> tuple[str, ...]:
    """Sentences on what looks like a mistake, though it is allowed:

    - images without a label in a split that has labels, and classes with queries of which the gallery has nothing;
    - images that queries or support have, and the gallery too, by their content;
    - images without a caption in a split that has captions;
    - captions that repeat another one of their image;
    - captions most of which have several lines, unless the declaration says that they are so.
    """
    return (*_labels(declaration, items), *_shared(declaration, items), *_captions(declaration, items))


def _labels(declaration: OnDisk, items: pd.DataFrame) -> Iterator[str]:
    images = items[items["modality"] == "image"]
    held = images if len(images) else items[~items["split"].isin(manifest.RESERVED)]
    what = "images" if len(images) else "texts"
    for labelling in manifest.labellings(held):
        column = manifest.LABEL + labelling
        for split, part in held.groupby("split", sort=True):
            missing = part[column].isna().sum()
            if 0 < missing < len(part):
                yield f"{missing} of {len(part)} {what} of split {split} have no {labelling} (blank, or -1)"
        asked = declaration.retrieval.labellings
        if asked is not None and labelling not in asked:
            continue
        query, gallery = (
            held.loc[held["split"] == split, column].dropna()
            for split in (declaration.retrieval.query, declaration.retrieval.gallery)
        )
        if query.empty or gallery.empty:
            continue
        bearers = query.value_counts()
        there = gallery.value_counts()
        one = declaration.retrieval.query == declaration.retrieval.gallery
        if len(there) == 1 and bearers.index.equals(there.index) and there.iloc[0] > 1:
            yield (
                f"all queries and all of the gallery are {there.index[0]} by {labelling}: every ranking is right, and "
                "its numbers tell nothing; leave it out by `labellings` of retrieval"
            )
        lonely = sorted(label for label in bearers.index if there.get(label, 0) <= (1 if one else 0))
        if lonely:
            other = "no other" if one else "none"
            yield (
                f"{bearers[lonely].sum()} queries have nothing to find by {labelling}: of {listed(lonely)} the gallery "
                f"has {other}; they are left out of its means"
            )


def _shared(declaration: OnDisk, items: pd.DataFrame) -> Iterator[str]:
    """Images that two of the measured splits share by content: such a query finds itself under another id."""
    images = manifest.select(items, "image")
    content = {
        split: manifest.content(manifest.select(images, "image", split))
        for split in dict.fromkeys(declaration.splits_used.values())
    }
    for (one, held), (other, there) in combinations(content.items(), 2):
        if count := sum(map(set(there).__contains__, held)):
            yield (
                f"{count} images of {one} are in {other} too, by their content: a query of them finds its copy; keep "
                "each in one split, unless that is meant"
            )


def _captions(declaration: OnDisk, items: pd.DataFrame) -> Iterator[str]:
    captions = items[(items["modality"] == "text") & items["group"].notna()]
    if captions.empty:
        return
    images = manifest.select(items, "image")
    for split, bare in (~images["id"].isin(captions["group"])).groupby(images["split"], sort=True):
        if 0 < bare.sum() < len(bare):
            yield f"{bare.sum()} of {len(bare)} images of split {split} have no caption"
    again = captions.duplicated(["group", "text"])
    if again.any():
        first = captions.loc[again, "group"].drop_duplicates()
        yield f"{again.sum()} captions repeat another one of their image ({listed(first)}): each counts by itself"
    said = getattr(declaration, "caption_lines", None)
    counts = captions["text"].map(lambda text: len(lines(text)))
    several = counts[counts > 1]
    if said is None and len(several) > len(captions) / 2:
        common = several.value_counts()
        option = "caption_lines" in type(declaration).model_fields
        remedy = (
            "declare `caption_lines: true`, or `false` if not" if option else "write each as a row of its own"
        )
        yield (
            f"{len(several)} of {len(captions)} captions have several lines, {common.index[0]} in {common.iloc[0]} of "
            f"them, and each is one caption: if a line is a caption, {remedy}"
        )
