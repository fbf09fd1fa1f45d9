"""The program `crossgap`: the commands of `crossgap.cli`, whose imports Ctrl-C may stop too.

SIGTERM, by which schedulers end a job, becomes an exit that removes half-written files, as in a stage.
"""

from __future__ import annotations

import signal
import sys


def main() -> None:
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        from crossgap.cli import app

        app()
    except KeyboardInterrupt:
        print("crossgap: stopped", file=sys.stderr)
        sys.exit(130)
