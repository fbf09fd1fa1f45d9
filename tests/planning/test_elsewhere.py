from __future__ import annotations

import platform
from importlib.metadata import version

from crossgap import machine
from crossgap.encode import encode
from crossgap.planning.elsewhere import elsewhere
from crossgap.prepared import manifest
from crossgap.stores.store import open_store

OURS = {"torch": version("torch"), "pillow": version("pillow")}


def made(made_on: str | None = None, **versions: str) -> dict:
    return {"made_on": made_on or machine.processor(), "backbone_provenance": {"versions": OURS | versions}}


def test_what_this_machine_made_is_not_made_elsewhere() -> None:
    assert elsewhere(made()) == ""
    assert elsewhere({}) == elsewhere({"backbone": "of an import", "source": "x"}) == ""


def test_another_processor_and_other_versions_are_said(monkeypatch) -> None:
    assert elsewhere(made("Z80 z80")) == "Z80 z80"
    monkeypatch.setattr("crossgap.planning.elsewhere._gpus", lambda: ("NVIDIA Y",))
    assert elsewhere(made("NVIDIA Y")) == "", "a GPU of this machine"
    inversion = {"made_on": "NVIDIA X", "backbone": {"versions": {"torch": "1.0", "absent": "3"}}}
    assert elsewhere(inversion) == f"NVIDIA X, torch 1.0 (here {OURS['torch']}), absent 3 (here none)"
    assert elsewhere(made(torch="0.1")) == f"torch 0.1 (here {OURS['torch']})"


def test_a_processor_has_a_name_of_more_than_its_kind(monkeypatch, tmp_path) -> None:
    assert machine.processor().endswith(platform.machine()) and len(machine.processor()) > len(
        platform.machine()
    )
    (tmp_path / "cpuinfo").write_text(
        "processor\t: 0\nmodel name\t: Some  CPU @ 2 GHz\nmodel name\t: Some  CPU @ 2 GHz\n"
    )
    monkeypatch.setattr(machine, "_CPUS", tmp_path / "cpuinfo")
    machine._cpu.cache_clear()
    assert machine.processor() == f"Some  CPU @ 2 GHz {platform.machine()}"
    machine._cpu.cache_clear()


def test_a_store_says_which_processor_made_it(tiny, tmp_path) -> None:
    import pandas as pd

    text = "a photo"
    items = manifest.validate(
        pd.DataFrame(
            [["t", "text", "test", None, text, None, 0, manifest.text_digest(text)]], columns=manifest.COLUMNS
        )
    )
    encode(items, tmp_path, tiny, tmp_path / "s.zarr.zip", provenance={}, scratch=tmp_path / "scratch")
    said = open_store(tmp_path / "s.zarr.zip").provenance
    assert said["made_on"] == machine.processor(tiny.device) and elsewhere(said) == ""
