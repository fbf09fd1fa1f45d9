"""Composed queries that lose images."""

from __future__ import annotations

from crossgap.prepared.composed import Composed


def test_what_a_query_loses_with_its_images() -> None:
    rows = [("aimed", "i1"), ("open", "i1"), ("last", "i2"), ("gone", "t1"), ("both", "t1")]
    asked = [(query, image, f"text of {query}", "", "set") for query, image in rows]
    judged = [
        ("aimed", "t1", "target"), ("aimed", "r1", "relevant"), ("open", "t1", "relevant"), ("open", "r1", "relevant"),
        ("open", "t1", "member"), ("last", "t1", "relevant"), ("last", "r1", "ignored"), ("gone", "r1", "target"),
        ("both", "t1", "target"),
    ]  # fmt: skip
    left, lost = Composed.of(asked, judged, [("set", "t1"), ("set", "r1")]).without(["t1"])
    assert lost == {"aimed": "target", "last": "target", "gone": "reference", "both": "reference"}
    assert left.asked["query"].tolist() == ["open"]
    assert left.judged.to_numpy().tolist() == [["open", "r1", "relevant"]]
    assert left.galleries["image"].tolist() == ["r1"]
