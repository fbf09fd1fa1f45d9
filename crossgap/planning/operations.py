"""What an evaluation does: how often each of a few operations is done, times what it takes here (`rates`).

It is the most that one takes: parts that an earlier evaluation of the cell kept are not computed again, and not every
correction can be fitted. Not counted are transformations that come with a set (SIMAT), explicit judgements and
composed queries.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from crossgap import corrections
from crossgap.evaluation import (
    clusters,
    dimensions,
    hubness,
    neighbourhoods,
    robustness,
    shifts,
    similarities,
    supported,
)
from crossgap.evaluation.options import FAMILIES
from crossgap.metrics import probes as probing
from crossgap.planning.rates import Rates
from crossgap.prepared import manifest

USUAL_WIDTH = 512  # of features, from which half the dimensions are removed


@dataclass(frozen=True)
class Inverted:
    """How often a modality's queries are ranked by inverted features, beside natively: at `points` for the curves, the
    last step among them, for other `seeds`, and once more where the `gallery` is inverted.

    `ways` counts what else is measured with inverted features: the main inversion, φ, and the steps from φ.
    """

    points: int = 0
    seeds: int = 0
    gallery: bool = False
    ways: int = 0


@dataclass(frozen=True)
class PlannedEvaluation:
    """An evaluation.

    Attributes:
        sizes: modality/split → items.
        classes: modality/split → labelling → classes.
        first: of the query split's texts, those that are some image's first caption; 0 where texts are no captions.
        query, gallery, support: splits.
        oti, ovi: inversions.
        fitted: the names of corrections that can be fitted, at most.
        subsets: controls on a labelling.
        arithmetic: labellings that are changed by text.
        settings: of the section `evaluate`.
    """

    sizes: Mapping[str, int]
    classes: Mapping[str, Mapping[str, int]]
    first: int
    query: str
    gallery: str
    support: str | None
    oti: Inverted
    ovi: Inverted
    fitted: tuple[str, ...]
    subsets: int
    arithmetic: tuple[str, ...]
    settings: Mapping[str, Any]

    def operations(self) -> Counter[str]:
        """By the names of `Rates`: how often each is done, of the families asked for."""
        done = self._by_family()
        asked = self.settings["families"] or FAMILIES
        return sum((done[family] for family in asked), Counter(start=1, fit=len(self.fitted)))

    def _by_family(self) -> defaultdict[str, Counter[str]]:
        """What is compared counts where it is measured."""
        done: defaultdict[str, Counter[str]] = defaultdict(Counter)
        images, gallery = self._of("image", self.query), self._of("image", self.gallery)
        texts, kinds = self._of("text", self.query), 1 + len(self.of_features)
        labelled = self._classes("image", self.query)
        held = self._classes("image", self.gallery)
        relevances = len([name for name in labelled if name in held]) + self.subsets
        rest = texts - self.first if self.first else self._of("text", self.gallery)
        queries = self.first or texts
        of_texts = 1 if self.first else len(self._classes("text", self.query))

        across = 2 if self.first and images else 0
        pairs = 0  # that are ranked once
        if images and gallery and relevances:
            pairs += images * gallery * relevances
            self._compared(done, images, gallery, relevances, self.oti)
        if queries and rest and of_texts:
            self._compared(done, queries, rest, of_texts, self.ovi)
        if across:
            ranked = 1 + len(self.fitted)
            done["retrieval"] += Counter(
                pair=2 * texts * images * ranked,
                task=2 * ranked,
                corrected=2 * (texts + images) * len(self.fitted),
                resample=(texts + images) * self._resamples,
            )
            done["hubness"]["similar"] += 2 * texts * images * ranked
            self._halved(done["hubness"], texts, images)
            self._mixed(done["mixed"], texts, images)
            pairs += 2 * texts * images

        prompts = self._of("text", manifest.CLASSES)
        named = self._classes("text", manifest.CLASSES)
        for labelling, classes in labelled.items():
            self._classified(done["classification"], labelling, classes, labelling in named)
            drawn = min(images, clusters.ITEMS) * min(classes, clusters.CLASSES)
            joint = self.first or labelling in self._classes("text", self.query)
            sets = (images + texts) / images if joint else 0
            done["clustering"]["cluster"] += round(drawn * (kinds * (1 + sets) + bool(self.oti.points)))
        for labelling in self.arithmetic:
            done["arithmetic"]["pair"] += images * max(labelled.get(labelling, 1) - 1, 0) * images

        sides = min(images, self.first or prompts)
        shifted = len(shifts.SHIFTS) if sides else 0
        done["shift"]["pair"] += shifted * (min(sides, shifts.PAIRS) ** 2 if self.first else 0)
        ranked = across + bool(images and gallery) * relevances
        by_name = [classes for labelling, classes in labelled.items() if labelling in named]
        for family, moves in (
            ("shift", shifted),
            ("dimensions", len(dimensions.numbers(USUAL_WIDTH)) if sides else 0),
        ):
            done[family] += Counter(
                pair=moves * (pairs + images * sum(by_name)),
                task=moves * (ranked + len(by_name)),
                row=moves * images * len(by_name),
            )
        paired = (images, self.first) if self.first else (images, prompts)
        done["gap"]["similar"] += sum(side**2 for side in paired) // 2 + (sides**2 if self.first else 0)
        near = [min(side, neighbourhoods.ITEMS) for side in paired]
        done["gap"]["similar"] += kinds * sum(near) ** 2 if sides else 0
        kinds_of = 1 + (hubness.BESIDE in self.fitted)
        asked = [(images, gallery)] * bool(relevances) + [(queries, rest)] * bool(of_texts)
        asked += [(texts, images), (images, texts)] if across else []
        for side, against in asked:
            seen = min(side, robustness.QUERIES) * min(against, robustness.GALLERY)
            done["robustness"]["similar"] += kinds_of * robustness.CHANGES * seen
            done["robustness"]["resample"] += (kinds_of - 1) * min(side, robustness.QUERIES) * self._resamples
        return done

    def seconds(self, rates: Rates) -> float:
        held = asdict(rates)
        return sum(held[name] * number for name, number in self.operations().items())

    @property
    def of_features(self) -> list[str]:
        """Those of `fitted` that change features."""
        return [name for name in self.fitted if corrections.rival_of(name) not in corrections.SCORING]

    @property
    def _resamples(self) -> int:
        return self.settings["resamples"]

    def _of(self, modality: str, split: str | None) -> int:
        return self.sizes.get(f"{modality}/{split}", 0)

    def _classes(self, modality: str, split: str | None) -> Mapping[str, int]:
        return self.classes.get(f"{modality}/{split}", {})

    def _compared(
        self,
        done: defaultdict[str, Counter[str]],
        queries: int,
        gallery: int,
        relevances: int,
        inverted: Inverted,
    ) -> None:
        """Retrieval within a modality, natively, inverted and corrected, and its similarities."""
        last = bool(inverted.points)
        times = 1 + len(self.fitted) + last + inverted.gallery
        for family, number in (
            ("retrieval", times),
            ("snapshots", inverted.points - last),
            ("seeds", inverted.seeds),
        ):
            done[family]["pair"] += queries * gallery * relevances * number
            done[family]["task"] += relevances * number
        done["retrieval"]["corrected"] += (queries + gallery) * len(self.fitted)
        done["retrieval"]["resample"] += queries * relevances * self._resamples
        done["hubness"]["similar"] += queries * gallery * times
        seen = min(queries, similarities.QUERIES) * min(gallery, similarities.GALLERY)
        done["similarity"]["similar"] += seen * relevances * (2 + inverted.points)

    def _halved(self, done: Counter[str], texts: int, images: int) -> None:
        """Corrections of hubs by halves of the images: natively and centred, without them too, in both galleries."""
        chosen = self.settings["corrections"]
        methods = [name for name in corrections.SCORING if chosen is None or name in chosen]
        if methods:
            times = (1 + (hubness.BESIDE in self.fitted)) * (2 + len(methods))
            done["pair"] += texts * images * times
            done["similar"] += texts * images * times
            done["task"] += 4 * times
            done["resample"] += (texts + images) * self._resamples

    def _mixed(self, done: Counter[str], texts: int, images: int) -> None:
        """Texts among images and texts: half the captions among all images and the others, and, where there are two an
        image, one among as many documents, by all shares, draws and α. A document's bias is one in all draws.
        """
        asked, documents = self.settings["mixed_search"], min(self.first, images)
        kinds = 1 + len(self.fitted) + self.oti.ways + self.ovi.ways
        inside = sum(0 < share < 1 for share in asked["shares"])
        draws = inside * asked["draws"] + len(asked["shares"]) - inside
        scoring = len(self.fitted) - len(self.of_features)
        done["similar"] += (documents // 2) * (3 * documents // 2) * kinds
        done["resample"] += documents // 2 * self._resamples
        done["fit"] += 2 * len(self.of_features)
        if texts >= 2 * self.first:
            galleries, parts = draws + len(asked["alphas"]), 2 + len(asked["alphas"])
            done["similar"] += documents**2 * (kinds * galleries // 2 + scoring * parts)
            done["fit"] += 2 * len(self.of_features)
            done["corrected"] += documents * (3 * len(self.of_features) + parts * scoring)
            done["resample"] += documents * (len(asked["shares"]) + len(asked["alphas"])) * self._resamples

    def _classified(self, done: Counter[str], labelling: str, classes: int, prompts: bool) -> None:
        """By class prompts, by class means and by few of a class, each with every correction."""
        images, support = self._of("image", self.query), 0
        if labelling in self._classes("image", self.support):
            support = self._of("image", self.support)
        shots, draws = (len(self.settings["shots"]), self.settings["draws"]) if support else (0, 0)
        kinds = 1 + len(self.of_features)
        times = prompts * (kinds + self.oti.ways + self.ovi.ways)
        probes = 2 * (1 + prompts)  # class means and GDA, without prompts and with them
        times += kinds * ((support > 0) * probes + shots * (draws * probes + 2))
        done["row"] += images * times + kinds * support
        done["pair"] += images * classes * times
        done["task"] += kinds * (prompts + (support > 0) + shots * draws)
        done["drawn"] += shots * draws * support
        done["corrected"] += len(self.of_features) * (prompts * images + images + support)
        done["resample"] += (prompts + (support > 0)) * images * self._resamples
        done["similar"] += kinds * len(supported.NEIGHBOURS) * images * support
        done["gda"] += kinds * ((support > 0) + shots * (draws + 1))
        regressions = {"none": 0, "native": 1, "all": kinds}[self.settings["logistic"]]
        if support * classes <= supported.FITTED:
            halves = len(probing.STRENGTHS)  # both of them, with every C
            done["logistic"] += regressions * (halves + 1) * support * classes
