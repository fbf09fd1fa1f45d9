"""The short form of `tests/campaign.py`, whose long one is run by hand; kills alone: tests/stores/test_shards.py."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CAMPAIGN = Path(__file__).with_name("campaign.py")


def ran(*words: str) -> str:
    done = subprocess.run(
        [sys.executable, CAMPAIGN, *words],
        env={**os.environ, "PYTHONPATH": str(CAMPAIGN.parents[1])},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "wrong: 0" in done.stdout
    return done.stdout


@pytest.mark.slow
def test_nothing_is_wrong_after_kills_and_faults_of_every_stage() -> None:
    told = ran("--kills", "20", "--minutes", "1", "--faults")
    stages = {line.split()[0] for line in told.splitlines()}
    assert {
        "resolve",
        "prepare",
        "encode",
        "oti",
        "ovi",
        "distil",
        "distilled",
        "evaluate",
        "report",
    } <= stages
