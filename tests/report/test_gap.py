"""Gap measures with every correction, and hubs, on the page."""

from __future__ import annotations

import pytest

from crossgap.report import Results, render
from tests.report.corrections import corrections

METRICS = {
    "gap/centroid_distance": 0.8514, "gap/frechet": 1.1052, "gap/frechet_mean": 0.7248,
    "gap/frechet_covariance": 0.3804, "gap/nas@10": 0.2494, "gap/tmr": 475.988, "gap/tmr_median": 491.0,
    "gap/centroid_distance+centering": 0.0279, "gap/frechet+centering": 0.7872,
    "gap/frechet_covariance+centering": 0.7864, "gap/class_order_distance/colour": 0.4321,
    "gap/class_order_distance+centering/colour": 0.3333,
}  # fmt: skip
HUBS = {
    "hubness/text-image/skewness": 2.3564, "hubness/text-image/largest": 72, "hubness/text-image/never_found": 0.02,
    "hubness/text-image+nnn_16/skewness": 0.5, "hubness/text-image+nnn_16/largest": 1_234_567,
    "hubness/text-image/half/recall@1": 0.608, "hubness/text-image+nnn_16/half/recall@1": 0.66,
    "hubness/text-image+centering+nnn_16/half/recall@1": 0.652,
}  # fmt: skip
CORRECTIONS = corrections(centering="Modality centring", nnn_16="NNN (16)")


def test_every_measure_has_a_column_and_every_correction_a_row(parse):
    page = parse(render([Results("nano", "world", METRICS, corrections=CORRECTIONS)]))
    gap = page.data["gap"]
    titles = [title for title, _ in gap["names"]]
    native, centred = (dict(zip(titles, row[2:], strict=True)) for row in gap["rows"])
    assert [row[1] for row in gap["rows"]] == ["native features", "Modality centring"]
    assert (
        native["Fréchet distance², as Gaussians"] == 1.1052
        and native["Fréchet, of the covariances"] == 0.3804
    )
    assert native["TMR"] == 475.99 and native["NAS@10"] == 0.2494
    assert native["class order distance, colour"] == 0.4321
    assert centred["centroid distance"] == 0.0279 and centred["class order distance, colour"] == 0.3333
    assert centred["NAS@10"] is None and "Other numbers" not in page.titles


def test_measures_have_the_names_of_the_modalities(parse):
    numbers = {"gap/uniformity_image": -1.0, "gap/imr": 3.0, "gap/class_order_distance/fold": 0.4}
    proteins = Results("esm", "enzymes", numbers, modalities={"image": "protein", "text": "text"})
    names = dict(parse(render([proteins])).data["gap"]["names"])
    assert "uniformity, proteins" in names
    assert (
        names["IMR"]
        == "rank of the nearest text among all neighbours, mean over proteins; 1: nothing is nearer"
    )
    assert names["class order distance, fold"].startswith("how differently proteins and texts order")
    both = dict(parse(render([proteins, Results("nano", "world", numbers)])).data["gap"]["names"])
    assert "uniformity, protein/images" in both


def test_hubs_are_rows_of_the_table(parse):
    rows = parse(render([Results("nano", "world", HUBS, corrections=CORRECTIONS)])).rows()
    assert {row["task"] for row in rows} == {"text-image hubness"}
    found = {(row["method"], row["labelling"]): row for row in rows}
    native, scored = found["native features", ""], found["NNN (16)", ""]
    assert (native["skewness"], native["largest"], native["never_found"]) == (2.3564, 72, 0.02)
    assert (scored["skewness"], scored["largest"]) == (0.5, 1_234_567)
    assert found["native features", "half"]["recall@1"] == pytest.approx(0.608)
    assert found["Modality centring + NNN (16)", "half"]["recall@1"] == pytest.approx(0.652)
    assert all(row["base"] >= 0 for row in rows if row["method"] != "native features")
