"""The program `crossgap`: the commands of `crossgap.cli`, whose imports Ctrl-C may stop too.

SIGTERM, by which schedulers end a job, becomes an exit that removes half-written files, as in a stage.
"""

from __future__ import annotations

import signal
import sys


def main() -> None:
    ended_by: list[int] = []

    def end(number: int, _frame: object) -> None:
        ended_by.append(number)
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        sys.exit(128 + number)

    signal.signal(signal.SIGTERM, end)
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:  # which a shell gives what runs in the background
        signal.signal(signal.SIGINT, end)
    try:
        from crossgap.cli import app

        app()
    except KeyboardInterrupt:
        ended_by.append(signal.SIGINT)
    except Exception:
        # a class in the making, or a file half closed, may have made another error of the signal
        if not ended_by:
            raise
    if ended_by:
        if ended_by[0] == signal.SIGINT:
            print("crossgap: stopped", file=sys.stderr)
        sys.exit(128 + ended_by[0])
