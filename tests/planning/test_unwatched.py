from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import yaml

from crossgap.backbones import towers
from crossgap.params import load
from crossgap.planning import resolve, unwatched

ROOT = Path(__file__).parents[2]


def test_files_that_changed_since_they_were_read_are_named(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "data/backbones/nano", "mine")
    Path("stages").symlink_to(ROOT / "stages")  # what cells depend on is their code, too
    np.save("banner.npy", np.eye(3))
    asked = yaml.safe_load((ROOT / "params.yaml").read_text())
    weights = {"model": "local-dir:mine"}
    asked["backbones"] = {
        **(asked["backbones"] or {}),
        "mine": {**asked["backbones"]["nano"], "weights": weights},
    }
    asked["run"]["backbones"] = ["mine"]
    asked["finetune"] = {"nano-clip": {**asked["finetune"]["nano-clip"], "backbone": "mine"}}
    for name in ("oti", "ovi", "sweep", "seeds", "distil"):
        asked["run"][name]["backbones"] = []
    asked["evaluate"]["fit_on"]["files"] = {"banner": {"backbones": ["mine"], "image": "banner.npy"}}
    Path("params.yaml").write_text(yaml.safe_dump(asked))
    params, data = load(), Path("data")
    assert list(unwatched.changed(params, data)) == [], "nothing was read yet"

    resolve.write(resolve.resolved(params, {}), data / "resolved")
    (data / "weights").mkdir()
    read = {"model": "local-dir:mine", "pretrained": None, "files": towers.local_files("local-dir:mine")}
    (data / "weights/mine.json").write_text(json.dumps(read))
    assert list(unwatched.changed(params, data)) == []
    assert resolve.changed(params, data / "resolved") == set()

    np.save("banner.npy", np.eye(3) * 2)
    with open("mine/open_clip_model.safetensors", "ab") as file:
        file.write(b"\0")
    first, second, third = unwatched.changed(params, data)
    assert first.startswith(
        "backbones.mine.weights: open_clip_model.safetensors: `dvc repro -f -s weights` reads"
    )
    assert second.startswith(
        "finetune.nano-clip.backbone: open_clip_model.safetensors of mine: `dvc repro -f -s resolve` reads"
    )
    assert third.startswith("evaluate.fit_on.files.banner.image: banner.npy: `dvc repro -f -s resolve` reads")
    assert {name.rpartition(":")[2] for name in resolve.changed(params, data / "resolved")} == {
        "finetune@nano-clip",
        *(f"evaluate@mine-{dataset}" for dataset in params.run.datasets),
    }

    Path("banner.npy").unlink()
    shutil.rmtree("mine")
    assert [line for line in unwatched.changed(params, data) if "mine" in line] == [], (
        "who has pulled has no weights"
    )
