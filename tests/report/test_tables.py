"""Numbers as the page writes them."""

from __future__ import annotations

from math import inf, nan

import pytest

from crossgap.report.tables import decimal, interval, other, percent, points, probability, signed


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (probability(0.00004), "< 0.0001"),
        (probability(0.00006), "0.0001"),
        (probability(0.04994), "0.0499"),
        (probability(nan), "–"),
        (points(0.01236), "+1.24"),
        (points(-0.01236), "−1.24"),
        (points(0.00004), "±0.00"),
        (points(-0.00004), "±0.00"),
        (points(-0.00006), "−0.01"),
        (signed(0.0004, 3), "±0.000"),
        (interval(-0.00004, 0.0236), "[0.00, 2.36]"),
        (interval(-0.0236, -0.00006), "[−2.36, −0.01]"),
        (interval(nan, 0.1), ""),
        (percent(0.12346), "12.35"),
        (percent(inf), "–"),
        (decimal(0.12346), "0.123"),
        (decimal(-0.0004), "0.000"),
        (decimal(-0.0006), "−0.001"),
        (other("a/b/accuracy", 0.12346), "12.35 %"),
        (other("a/b/distance", 0.123456789), "0.123457"),
        (other("a/b/queries", 1234567), "1234567"),
    ],
)
def test_numbers_are_rounded_and_none_is_a_negative_zero(written, expected) -> None:
    assert written == expected
