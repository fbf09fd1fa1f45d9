"""The program `crossgap`: the commands of `crossgap.cli`, whose imports Ctrl-C may stop too."""

from __future__ import annotations

from crossgap.errors import exits_at_signals


def main() -> None:
    with exits_at_signals("crossgap: stopped"):
        from crossgap.cli import app

        app()
