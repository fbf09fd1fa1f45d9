from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crossgap import naming
from crossgap.evaluation.composed import EXPANSION, TEMPLATE
from crossgap.evaluation.mixed import GALLERIES, HEADLINES
from crossgap.metrics.composed import RULES
from crossgap.naming import MODALITY, ByPhi, baseline_of, by_phi, plain
from crossgap.report import gap
from crossgap.report.tables import title

# datasets' names
SOURCES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_]*(-[b-fh-np-su-z0-9_]+)*", fullmatch=True)


@given(st.sampled_from(["distilled", "warm"]), st.sampled_from(["cosine", "searle", "tokens"]), SOURCES)
def test_a_task_by_phi_is_read_as_it_is_called(how, loss, source) -> None:
    called = ByPhi(how, loss, source)
    for method, forms in (
        ("oti", ("{}-image", "{}-oti", "{}-text")),
        ("ovi", ("{}-text", "{}-ovi", "image-{}")),
    ):
        for form in forms:
            task = form.format(called.words(method))
            assert by_phi(task) == called and plain(task) == form.format(method)


@pytest.mark.parametrize("task", ["oti-image", "image-image", "image-image+centering", "ovi-ovi", "ncm"])
def test_other_tasks_are_left_as_they_are(task) -> None:
    assert by_phi(task) is None and plain(task) == task


def test_its_baseline_is_that_of_the_optimised_inversion_and_its_title_says_whence_it_is() -> None:
    assert baseline_of("retrieval", "oti.warm.searle.cc3m-595k-image") == "image-image"
    assert baseline_of("retrieval", "ovi.distilled.cosine.world-ovi") == "text-text"
    assert baseline_of("classification", "image-ovi.warm.cosine.world") == "image-text"
    assert title("oti.distilled.cosine.cc3m-595k-image") == "OTI-image by φ (cosine, cc3m-595k)"
    assert title("image-ovi.warm.tokens.world") == "image-OVI from φ (tokens, world)"


@pytest.mark.parametrize(
    ("key", "called"),
    [
        ("retrieval/image-text+text_span/group/mAP", "retrieval/image-protein+text_span/group/mAP"),
        ("gap/uniformity_text+text_span_photo", "gap/uniformity_protein+text_span_photo"),
    ],
)
def test_a_correction_keeps_its_name_among_other_modalities(key, called) -> None:
    """Else tables of results would name one that no table of corrections has."""
    modalities = {"image": "image", "text": "protein"}
    assert naming.key_called(key, modalities) == called
    assert naming.key_called(called, modalities, back=True) == key


@pytest.mark.parametrize(
    ("key", "parts"),
    [
        (
            "retrieval/image-image+centering/colour/mAP",
            ("retrieval", "image-image+centering", "colour", "mAP"),
        ),
        ("classification/image-text/a/b/accuracy", ("classification", "image-text", "a/b", "accuracy")),
        ("hubness/text-image/skewness", ("hubness", "text-image", "", "skewness")),
        ("gap/centroid_distance", ("gap", "centroid_distance", "", "")),
    ],
)
def test_the_parts_of_a_metrics_key(key, parts) -> None:
    assert naming.parts_of(key) == parts


def test_no_modality_is_called_like_a_part_of_a_task_or_measure() -> None:
    """Else the composed rule `image` of a modality product would be in tables under the name of the rule `product`."""
    tasks = [*RULES, EXPANSION, TEMPLATE, *GALLERIES, "fused", "joint", "1-shot-gda_text", "first-1", "knn_1"]
    tasks += ["ncm", "logistic", "class_order_distance", *gap.GAP, *gap.MORE, *HEADLINES]
    words = {
        word for task in tasks for word in re.split(r"[^A-Za-z0-9]", task) if re.fullmatch(MODALITY, word)
    }
    words -= {"image", "text"}
    for word in sorted(words):
        with pytest.raises(ValueError, match=f"no modality can be called '{word}'"):
            naming.roles([word, "text"])
    assert naming.roles(["protein", "text"]) == {"image": "protein", "text": "text"}
