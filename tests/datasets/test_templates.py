from __future__ import annotations

import pytest

from crossgap.datasets.declared import ImageFolder
from crossgap.datasets.templates import TEMPLATES, named


def folder(**fields) -> ImageFolder:
    return ImageFolder(layout="imagefolder", root="a", retrieval={"query": "test"}, **fields)


def test_every_set_of_coop_has_templates_with_one_slot() -> None:
    sets = "OxfordPets OxfordFlowers FGVCAircraft DescribableTextures EuroSAT StanfordCars Food101 SUN397"
    sets = [*sets.split(), "Caltech101", "UCF101", "ImageNet", "imagenet-ensemble"]
    assert sorted(TEMPLATES) == sorted(f"coop/{name}" for name in sets)
    for name, templates in TEMPLATES.items():
        assert folder(templates=name).templates == named(name) == list(templates)
        assert len(templates) == (7 if name == "coop/imagenet-ensemble" else 1)


def test_the_ensemble_is_of_openais_eighty_and_one_of_theirs() -> None:
    """open_clip has OpenAI's templates as functions; six of the seven are among them, `itap` too."""
    import open_clip

    openai = {template("{}") for template in open_clip.OPENAI_IMAGENET_TEMPLATES}
    assert set(TEMPLATES["coop/imagenet-ensemble"]) <= openai
    assert list(TEMPLATES["coop/imagenet-ensemble"]) == [
        template("{}") for template in open_clip.SIMPLE_IMAGENET_TEMPLATES
    ]


def test_a_list_is_taken_as_it_is() -> None:
    assert folder(templates=["{}!", "a {}"]).templates == ["{}!", "a {}"]


@pytest.mark.parametrize("name", ["coop/oxfordpets", "OxfordPets", "a photo of a {}."])
def test_an_unknown_name_lists_the_known(name) -> None:
    with pytest.raises(
        ValueError, match=r"names no templates; give a list of them, or one of coop/Caltech101"
    ) as error:
        folder(templates=name)
    assert repr(name) in str(error.value) and all(known in str(error.value) for known in TEMPLATES)
