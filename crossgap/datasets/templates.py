"""Class prompts by name: the templates of the eleven sets of CoOp.

`coop/<set>` are those of Zhou et al., Learning to Prompt for Vision-Language Models (IJCV 2022), which its released
code names `CUSTOM_TEMPLATES`. `coop/imagenet-ensemble` are the seven that Radford et al. (Learning Transferable Visual
Models From Natural Language Supervision, 2021) select of their eighty, as CoOp and Tip-Adapter use them.
"""

from __future__ import annotations

TEMPLATES: dict[str, tuple[str, ...]] = {
    "coop/Caltech101": ("a photo of a {}.",),
    "coop/DescribableTextures": ("{} texture.",),
    "coop/EuroSAT": ("a centered satellite photo of {}.",),
    "coop/FGVCAircraft": ("a photo of a {}, a type of aircraft.",),
    "coop/Food101": ("a photo of {}, a type of food.",),
    "coop/ImageNet": ("a photo of a {}.",),
    "coop/OxfordFlowers": ("a photo of a {}, a type of flower.",),
    "coop/OxfordPets": ("a photo of a {}, a type of pet.",),
    "coop/StanfordCars": ("a photo of a {}.",),
    "coop/SUN397": ("a photo of a {}.",),
    "coop/UCF101": ("a photo of a person doing {}.",),
    "coop/imagenet-ensemble": (
        "itap of a {}.",
        "a bad photo of the {}.",
        "a origami {}.",
        "a photo of the large {}.",
        "a {} in a video game.",
        "art of the {}.",
        "a photo of the small {}.",
    ),
}


def named(name: str) -> list[str]:
    """The templates of a name.

    Raises:
        ValueError: an unknown name; lists the known ones.
    """
    if name not in TEMPLATES:
        raise ValueError(
            f"{name!r} names no templates; give a list of them, or one of {', '.join(TEMPLATES)}"
        )
    return list(TEMPLATES[name])
