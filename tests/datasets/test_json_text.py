"""JSON that the library's parser takes, or refuses without its own error."""

from __future__ import annotations

import json

import pytest

from crossgap.datasets import json_text


def test_what_is_json() -> None:
    assert json_text.loads('{"a": ["\\ud83d\\ude00", "\\\\ud83d", null, 1]}') == {
        "a": ["😀", "\\ud83d", None, 1]
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"a": "a cat \\ud83d"}', r"half a character, near 'a cat \\ud83d'"),
        ('{"\\uDE00": 1}', "half a character, near .*ude00"),
        ("[" * 100_000, "nested too deep"),
        ("9" * 5000, "a number of thousands of digits"),
        ('{"a": 1, "b": {"c": 1, "c": 2}}', "'c' is given twice"),
        ('{"a": ', "Expecting value"),
    ],
)
def test_what_is_none(text, said) -> None:
    with pytest.raises(json.JSONDecodeError, match=said):
        json_text.loads(text, once=True)


def test_a_key_twice_may_be_asked_for() -> None:
    assert json_text.loads('{"a": 1, "a": 2}') == {"a": 2}
