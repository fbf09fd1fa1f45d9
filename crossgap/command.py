"""The program `crossgap`: the commands of `crossgap.cli`, whose imports Ctrl-C may stop too."""

from __future__ import annotations

import sys


def main() -> None:
    try:
        from crossgap.cli import app

        app()
    except KeyboardInterrupt:
        print("crossgap: stopped", file=sys.stderr)
        sys.exit(130)
