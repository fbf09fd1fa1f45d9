"""How far a long work is, where standard error is no terminal."""

from __future__ import annotations

import io

import pytest

from crossgap import progress
from crossgap.progress import Bar, Lines


@pytest.fixture
def clock(monkeypatch) -> list[float]:
    """The time, which a test moves."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_a_log_gets_a_line_from_time_to_time(clock, capsys) -> None:
    with Bar(total=400, initial=100, desc="oti", unit="item") as bar:
        for _ in range(60):
            clock[0] += 10
            bar.update(5)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 20
    assert lines[0] == "oti: 115 of 400 items, 29%, about 10 min left"
    assert lines[-1] == "oti: 400 of 400 items, 100%, about 0 s left"


def test_steps_are_counted_and_all_are_given(clock, capsys) -> None:
    seen = []
    for step in Bar(range(2, 6), desc="tuned", unit="step", initial=2, total=6):
        seen.append(step)
        clock[0] += 20
    assert seen == [2, 3, 4, 5]
    assert capsys.readouterr().err.splitlines() == [
        "tuned: 4 of 6 steps, 67%, about 40 s left",
        "tuned: 6 of 6 steps, 100%, about 0 s left",
    ]


def test_a_short_work_says_nothing_and_one_of_unknown_length_its_count(clock, capsys) -> None:
    lines = Lines("evaluate", "part")
    clock[0] = 29
    lines.advance()
    assert capsys.readouterr().err == ""
    clock[0] = 31
    lines.advance()
    assert capsys.readouterr().err == "evaluate: 2 parts are done\n"


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_keeps_its_bar(capsys) -> None:
    terminal = _Terminal()
    with Bar(total=4, desc="oti", unit="item", file=terminal) as bar:
        bar.update(4)
    assert "4/4" in terminal.getvalue() and capsys.readouterr().err == ""
