"""The captions of the embedded world: a seeded grammar with synonyms and words left out.

A scene is a row of value numbers, one per factor of `FACTORS`. Every word that a caption says is true of its
scene, and what it leaves unsaid is known: a mention is a row of value numbers too, with `UNSAID` where the
caption is silent, so that the ambiguity of a caption can be counted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from crossgap.datasets.hashing import hashed, uniform

if TYPE_CHECKING:
    from jaxtyping import Bool, Int, UInt64

UNSAID = -1
CAPTIONS_PER_IMAGE = 5

# Factor -> value -> its names, the plain one first. Names that start with a preposition stand behind the noun.
SYNONYMS: dict[str, dict[str, tuple[str, ...]]] = {
    "shape": {
        "circle": ("circle", "disc"),
        "square": ("square", "box"),
        "triangle": ("triangle", "pyramid"),
        "star": ("star", "pentagram"),
        "cross": ("cross", "plus"),
        "heart": ("heart", "valentine"),
        "ring": ("ring", "hoop"),
        "crescent": ("crescent", "moon"),
    },
    "colour": {
        "red": ("red", "crimson", "scarlet"),
        "orange": ("orange", "tangerine"),
        "yellow": ("yellow", "lemon"),
        "green": ("green", "emerald"),
        "cyan": ("cyan", "turquoise"),
        "blue": ("blue", "cobalt"),
        "purple": ("purple", "violet"),
        "pink": ("pink", "rosy"),
    },
    "size": {"small": ("small", "little", "tiny"), "large": ("large", "big", "huge")},
    "texture": {
        "plain": ("plain", "solid", "with no pattern"),
        "striped": ("striped", "banded", "with stripes"),
        "dotted": ("dotted", "spotted", "with dots"),
        "checkered": ("checkered", "chequered", "with checks"),
    },
    "place": {
        "left": ("on the left", "to the left", "at the left edge"),
        "right": ("on the right", "to the right", "at the right edge"),
        "top": ("at the top", "near the top", "high up"),
        "bottom": ("at the bottom", "near the bottom", "low down"),
        "centre": ("in the centre", "in the middle", "in the center"),
    },
    "background": {
        "night": ("at night", "in the dark", "under a night sky"),
        "snow": ("in the snow", "on snow", "on a snowy field"),
        "sand": ("on sand", "on a beach", "in the desert"),
        "grass": ("on grass", "on a lawn", "in a meadow"),
        "sea": ("at sea", "on water", "in the ocean"),
    },
}
FACTORS: dict[str, tuple[str, ...]] = {factor: tuple(values) for factor, values in SYNONYMS.items()}

TEMPLATES: dict[str, tuple[str, ...]] = {
    "shape": ("a photo of a {}", "a picture of a {}", "a {}"),
    "colour": ("a photo of a {} object", "a picture of a {} thing", "a {} object"),
    "size": ("a photo of a {} object", "a picture of a {} thing", "a {} object"),
    "texture": ("a photo of a {} object", "a picture of a {} thing", "a {} object"),
    "place": ("a photo of an object {}", "a picture of a thing {}", "an object {}"),
    "background": ("a photo of an object {}", "a picture of a thing {}", "an object {}"),
}

_FORMS = (
    "{}",
    "{}",
    "{}",
    "a photo of {}",
    "a photo of {}",
    "a picture of {}",
    "a picture of {}",
    "an image of {}",
    "a drawing of {}",
    "this is {}",
    "there is {}",
    "we can see {}",
)
_NOUNS = ("object", "thing", "item")
_ARTICLES = ("a", "a", "a", "a", "the", "one")
_DRAWS = 32

# How a caption chooses what to say: (share of the captions, chance of each factor); None: exactly one factor.
_MANNERS: tuple[tuple[float, float | None], ...] = ((0.5, 0.95), (0.35, 0.6), (0.15, None))


def captions(
    scenes: Int[np.ndarray, "n factors"],
    keys: UInt64[np.ndarray, " n"],
    count: int = CAPTIONS_PER_IMAGE,
    say: Bool[np.ndarray, "n factors"] | None = None,
) -> tuple[list[list[str]], Int[np.ndarray, "n count factors"]]:
    """Captions of scenes, and what each of them mentions.

    Args:
        scenes: value numbers `(n, factors)`.
        keys: one 64-bit key an item `(n,)`: the captions are a function of the scene and the key.
        count: captions an image; fewer are the first of more.
        say: optional mask `(n, factors)` of what an item's captions must mention.

    Returns:
        The texts, `n` lists of `count`, and the mentions `(n, count, factors)`, `UNSAID` where silent.
    """
    draws = uniform(hashed(keys[:, None, None], 1, np.arange(count)[:, None], np.arange(_DRAWS)))
    texts, mentions = [], np.full((len(scenes), count, len(FACTORS)), UNSAID)
    for i, scene in enumerate(np.asarray(scenes).tolist()):
        row = []
        for k in range(count):
            chance = iter(draws[i, k].tolist())
            said = _choose(chance, () if say is None else np.flatnonzero(say[i]).tolist())
            mentions[i, k, said] = np.asarray(scene)[said]
            row.append(_sentence(scene, said, chance))
        texts.append(row)
    return texts, mentions


def class_prompts() -> list[tuple[str, str, int, str]]:
    """The zero-shot prompts of every labelling: rows (labelling, class, number of the template, text)."""
    return [
        (factor, value, k, _articles(template.format(SYNONYMS[factor][value][0])))
        for factor, templates in TEMPLATES.items()
        for value in FACTORS[factor]
        for k, template in enumerate(templates)
    ]


def _choose(chance: Iterator[float], must: Sequence[int]) -> list[int]:
    """The factors that a caption mentions: those it must and some by chance, at least one."""
    edges = np.cumsum([share for share, _ in _MANNERS])[:-1]
    probability = _MANNERS[int(np.searchsorted(edges, next(chance), side="right"))][1]
    fallback = int(next(chance) * len(FACTORS))
    draws = [next(chance) for _ in FACTORS]
    said = {f for f, draw in enumerate(draws) if probability is not None and draw < probability}
    return sorted(said.union(must)) or [fallback]


def _sentence(scene: Sequence[int], said: Sequence[int], chance: Iterator[float]) -> str:
    """A sentence that says the factors `said` of a scene."""

    def pick(options: Sequence[str]) -> str:
        return options[int(next(chance) * len(options))]

    factors = list(FACTORS)
    names = {factors[f]: pick(SYNONYMS[factors[f]][FACTORS[factors[f]][scene[f]]]) for f in said}
    noun = names.pop("shape", None) or pick(_NOUNS)
    where = [names.pop(factor) for factor in ("place", "background") if factor in names]
    if next(chance) < 0.5:
        where.reverse()
    texture = names.pop("texture", "")
    looks = [texture if not texture.startswith("with ") else "", names.get("colour", "")]
    if next(chance) < 0.5:
        looks.reverse()
    behind = texture if texture.startswith("with ") else ""
    before = where.pop(0) + ", " if where and next(chance) < 0.2 else ""
    words = [pick(_ARTICLES), names.get("size", ""), *looks, noun, behind, *where]
    return _articles(before + pick(_FORMS).format(" ".join(word for word in words if word)))


def _articles(text: str) -> str:
    """`a` before a vowel becomes `an`."""
    words = text.split()
    for i, (word, following) in enumerate(pairwise(words)):
        if word == "a" and following[0] in "aeiou":
            words[i] = "an"
    return " ".join(words)
