"""Hubs and their corrections on the page."""

from __future__ import annotations

import pandas as pd

from crossgap.report import Results, render

METRICS = {
    "hubness/text-image/skewness": 2.3564, "hubness/text-image/largest": 72, "hubness/text-image/never_found": 0.02,
    "hubness/text-image+nnn_16/skewness": 0.5, "hubness/text-image+nnn_16/largest": 1200,
    "hubness/text-image+nnn_16/never_found": 0.0,
    "hubness/text-image/all/recall@1": 0.492, "hubness/text-image/half/recall@1": 0.608,
    "hubness/text-image+nnn_16/all/recall@1": 0.564, "hubness/text-image+nnn_16/half/recall@1": 0.66,
    "hubness/text-image+centering+nnn_16/half/recall@1": 0.652,
}  # fmt: skip
CORRECTIONS = pd.DataFrame(
    [("centering", "Modality centring", "GR-CLIP", "h", "", ""), ("nnn_16", "NNN (16)", "NNN", "h", "", "")],
    columns=["name", "title", "source", "how", "parameters", "reason"],
)


def test_hubs_and_halves(parse):
    page = parse(render([Results("nano", "world", METRICS, corrections=CORRECTIONS)]))
    heads, native, scored = page.table("Hubs: N₁₀")
    assert heads == ["task", "method", "skewness of N₁₀", "largest N₁₀", "never found, %"]
    assert native == ["text-image", "native features", "2.356", "72", "2.00"]
    assert scored == ["text-image", "NNN (16)", "0.500", "1,200", "0.00"]
    heads, native, *rows = page.table("Recall@1 in percent, of the second half")
    assert heads == ["task", "method", "all", "half"] and native[1:] == ["native features", "49.20", "60.80"]
    assert rows == [
        ["text-image", "NNN (16)", "56.40 +7.20", "66.00 +5.20"],
        ["text-image", "Modality centring + NNN (16)", "–", "65.20 +4.40"],
    ]
    assert "take from each item what other queries" in page.text
    assert not [caption for caption, _ in page.tables if caption.startswith("Metrics by their key")]
