"""Rivals are registered by name, fitted on what a cell has, and say what is missing where they can't be."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import crossgap
from crossgap import corrections
from crossgap.corrections import RIVALS, Material, fitted, rival_of

NAMES = [
    "basic",
    "centering",
    "inverted_softmax",
    "isoclip",
    "nnn",
    "pca_plus",
    "pseudo_inverse",
    "qb_norm",
    "ridge",
    "standardisation",
    "text_span",
    "whitening",
]
VARIANTS = sorted([*NAMES, "pca_plus_photo", "text_span_photo"])

ADDED = '''
"""A rival that turns features round."""
import numpy as np
from crossgap.corrections.correction import Affine, Correction

TITLE, SOURCE, REFERENCE = "Turning", "nobody", "the features' negative"

def fit(images):
    return Correction({"image": Affine(-np.ones(images.shape[1]))})

def fits(material):
    yield "turning", fit(material.images)
    yield "turning_twice", fit(material.images)
'''


def cloud(seed: int, n: int = 12, d: int = 4) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, d)) + 1


def test_every_rival_is_known_by_title_source_and_how():
    assert list(RIVALS) == NAMES
    for rival in RIVALS.values():
        assert rival.TITLE and rival.SOURCE and rival.REFERENCE
        assert not {"\n"} & {*rival.TITLE, *rival.SOURCE, *rival.REFERENCE}
    assert set(NAMES) <= set(corrections.__all__)


def test_a_rivals_name_is_its_modules_and_every_module_is_registered():
    folder = Path(corrections.__file__).parent
    assert {path.stem for path in folder.glob("*.py")} == {
        *NAMES,
        "__init__",
        "correction",
        "material",
        "scoring",
    }
    for name, rival in RIVALS.items():
        assert rival is sys.modules[f"crossgap.corrections.{name}"] is getattr(corrections, name)


def test_adding_a_rival_is_adding_a_module_and_naming_it(tmp_path):
    package = tmp_path / "crossgap"
    shutil.copytree(Path(crossgap.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    (package / "corrections" / "turning.py").write_text(ADDED)
    registry = package / "corrections" / "__init__.py"
    code = registry.read_text().replace(
        "text_span,\n    whitening", "text_span,\n    turning,\n    whitening"
    )
    registry.write_text(code.replace('"whitening": whitening', '"turning": turning, "whitening": whitening'))
    lines = [
        "import numpy as np, crossgap.corrections as c",
        "x = np.eye(3)",
        "found, _ = c.fitted(c.Material(images=x), ['turning'])",
        "print(sorted(found), c.RIVALS['turning'].TITLE, (c.turning.fit(x).apply(x, 'image') == -x).all())",
        "print(c.rival_of('turning_twice'))",
    ]
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path)},
    )
    assert done.stdout.split("\n")[:2] == ["['turning', 'turning_twice'] Turning True", "turning"]


def test_importing_them_loads_nothing_heavy():
    heavy = ("torch", "open_clip", "torchvision", "timm", "sklearn", "matplotlib")
    code = f"import crossgap.corrections, sys; print(*[x for x in {heavy} if x in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_a_cell_without_anything_gets_a_reason_for_each():
    found, reasons = fitted(Material())
    assert not found
    assert sorted(reasons) == VARIANTS
    assert "no calibration set" in reasons["centering"]
    assert reasons["pca_plus"] == "no texts of bare concept names"
    assert reasons["text_span_photo"] == 'no texts of concept names as "a photo of"'
    assert "fewer than 3 image-text pairs" in reasons["ridge"]
    assert reasons["isoclip"].endswith("image and text tower")
    assert "last projection" in reasons["pseudo_inverse"]


def test_variants_are_fitted_on_what_there_is():
    found, reasons = fitted(Material(images=cloud(0), texts=cloud(1)[:1], vocabulary=cloud(2)))
    assert sorted(found) == ["centering", "pca_plus", "standardisation", "text_span", "whitening"]
    without = [
        "basic",
        "inverted_softmax",
        "isoclip",
        "nnn",
        "pca_plus_photo",
        "pseudo_inverse",
        "qb_norm",
        "ridge",
    ]
    assert sorted(reasons) == [*without, "text_span_photo"]
    assert found["centering"].handles("image") and not found["centering"].handles("text")
    texts_alone, _ = fitted(Material(texts=cloud(1)), ["centering"])
    assert texts_alone["centering"].handles("text") and not texts_alone["centering"].handles("image")
    one_weight = fitted(Material(weights={"text": cloud(3)}))
    assert sorted(one_weight[0]) == ["pseudo_inverse"] and one_weight[1]["isoclip"].endswith(": image tower")


def test_a_correction_of_queries_alone_is_fitted_whatever_images_and_texts_there_are():
    """Mixed search takes the cell's own fit for every role."""
    pairs, weights = (cloud(2), cloud(3)), {"image": cloud(4, 6), "text": cloud(5, 6)}
    one, other = (
        fitted(Material(images=cloud(n), texts=cloud(n + 1), pairs=pairs, weights=weights))[0] for n in (6, 8)
    )
    queries_alone = [name for name, correction in one.items() if correction.sides == "query"]
    assert queries_alone == ["pseudo_inverse", "ridge"]
    for name in queries_alone:
        assert one[name].maps.keys() == other[name].maps.keys()
        for modality, affine in one[name].maps.items():
            x = cloud(10, d=len(affine.matrix))
            np.testing.assert_array_equal(affine(x), other[name].maps[modality](x))


def test_names_limit_what_is_fitted():
    cell = Material(images=cloud(0), vocabulary=cloud(2))
    found, reasons = fitted(cell, ["pca_plus", "ridge"])
    assert list(found) == ["pca_plus"] and sorted(reasons) == ["pca_plus_photo", "ridge"]
    assert fitted(cell, []) == ({}, {})
    with pytest.raises(
        ValueError, match="no correction 'pca', 'centring'; the known ones are basic, centering, inverted"
    ):
        fitted(cell, ["pca", "centring", "ridge"])
    with pytest.raises(TypeError, match=r"names is 'ridge': give a list, such as \['ridge'\]"):
        fitted(cell, "ridge")


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_variant_belongs_to_its_rival(variant):
    assert rival_of(variant) == variant.removesuffix("_photo")


def test_a_variant_of_nothing_is_refused():
    with pytest.raises(ValueError, match="'pca_plusses' belongs to no correction; did you mean 'pca_plus'"):
        rival_of("pca_plusses")


def test_features_that_are_not_finite_are_a_reason_and_the_other_modality_is_fitted_all_the_same():
    images = cloud(0)
    images[3, 1] = np.nan
    found, reasons = fitted(Material(images=images), ["centering"])
    assert not found
    assert "image_features holds NaN or infinity in 1 of 12 rows (3)" in reasons["centering"]
    found, reasons = fitted(Material(images=images, texts=cloud(1)), ["centering", "whitening"])
    assert not reasons
    for correction in found.values():
        assert correction.handles("text") and not correction.handles("image")
        assert "holds NaN" in correction.parameters["image"]["not fitted:"]


def test_an_error_of_ours_is_no_reason(monkeypatch):
    def fits(material):
        raise ValueError("a mistake in the code")

    monkeypatch.setattr(corrections.RIVALS["centering"], "fits", fits)
    with pytest.raises(ValueError, match="a mistake"):
        fitted(Material(images=cloud(0)))


def test_material_of_another_shape_is_an_error():
    with pytest.raises(ValueError, match="one row an item"):
        fitted(Material(images=np.ones(4)), ["centering"])


def sets(d: int) -> dict[str, np.ndarray]:
    """Few vectors, and vectors that vary little: what real sets of two classes and one template have."""
    rng = np.random.default_rng(d)
    some = rng.standard_normal((7, d)).astype(np.float32)
    constant = some.copy()
    constant[:, : d // 2] = 0.5
    return {
        **{f"{n} rows": some[:n] for n in (1, 2, 3, 5, 7)},
        "one point": np.repeat(some[:1], 5, axis=0),
        "one direction": some[:1] * rng.uniform(1, 2, (5, 1)),
        "two points": np.repeat(some[:2], 2, axis=0),
        "two points, unequally often": np.concatenate([some[:2], some[:1]]),
        "opposite": np.concatenate([some[:3], -some[:3]]),
        "constant columns": constant,
        "a zero vector": np.concatenate([some, np.zeros((1, d), np.float32)]),
        "two points and rounding": np.concatenate([some[:2], some[:2] * np.float32(1 + 2e-7)]),
    }


@pytest.mark.parametrize("d", [1, 2, 4, 16])
@pytest.mark.parametrize("other", ["7 rows", "2 rows", "one point", "constant columns"])
def test_small_and_degenerate_material_gives_finite_features_or_a_reason(d, other):
    for kind, vectors in sets(d).items():
        against = sets(d)[other]
        pairs = min(len(vectors), len(against))
        material = Material(
            images=against,
            texts=vectors,
            vocabulary=vectors,
            vocabulary_photo=against,
            styles=against,
            pairs=(vectors[:pairs], against[:pairs]),
            weights={"image": against.T, "text": vectors.T},
        )
        found, reasons = fitted(material)
        assert sorted([*found, *reasons]) == VARIANTS, kind
        assert all(reasons.values()), kind
        for name, correction in found.items():
            for modality, rows in (("image", against), ("text", sets(d)["7 rows"])):
                if correction.handles(modality) and rows.any(axis=1).all():
                    width = len(correction.maps[modality].matrix)
                    seen = np.resize(rows, (len(rows), width)) + 0.1
                    assert np.isfinite(correction.apply(seen, modality)).all(), (kind, name, modality)


def test_two_prompts_leave_texts_unwhitened_and_say_why():
    # every set of two classes with one template
    found, reasons = fitted(Material(images=cloud(0), texts=cloud(1)[:2]), ["whitening"])
    assert not reasons and not found["whitening"].handles("text")
    assert "two points" in found["whitening"].parameters["text"]["not fitted:"]
    images = corrections.whitening.fit(cloud(0), None)
    np.testing.assert_array_equal(
        found["whitening"].apply(cloud(2), "image"), images.apply(cloud(2), "image")
    )
