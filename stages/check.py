"""Validate params.yaml as a whole before anything else runs; the same output whatever it says."""

from common import DATA, run

from crossgap.params import Params


def check(_params: Params) -> None:
    (DATA / "checked").write_text("params.yaml is valid\n")


run(check)
