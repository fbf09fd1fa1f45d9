from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from crossgap.datasets import world
from crossgap.prepared import manifest

MERGES = Path(__file__).parents[2] / "data" / "backbones" / "nano" / "bpe.txt.gz"
SMALL = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 40, "patch_size": 8, "head_width": 20},
    "text_cfg": {
        "context_length": 24,
        "vocab_size": 796,
        "tokenizer_kwargs": {"bpe_path": MERGES.name},
        "width": 32,
        "heads": 2,
        "layers": 1,
    },
}


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> tuple[pd.DataFrame, Path]:
    """The manifest of 20 captioned images of the embedded world, and their root."""
    folder = tmp_path_factory.mktemp("scenes")
    return manifest.validate(world.write(folder, 0, {"train": 20, "test": 2})), folder


@pytest.fixture(scope="session")
def save_model():
    """What writes an untrained CLIP as a folder of open_clip's, the same for the same configuration."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    torch.set_num_threads(1)

    def save(folder: Path, text: dict | None = None, preprocessing: dict | None = None, **more) -> Path:
        config = {**SMALL, "text_cfg": {**SMALL["text_cfg"], **(text or {})}, **more}
        kind = open_clip.CustomTextCLIP if more.get("custom_text") else open_clip.CLIP
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = kind(**{name: value for name, value in config.items() if name != "custom_text"})
        folder.mkdir()
        shutil.copy(MERGES, folder)
        document = {"model_cfg": config, "preprocess_cfg": preprocessing or {}}
        (folder / "open_clip_config.json").write_text(json.dumps(document))
        save_file(model.state_dict(), folder / "open_clip_model.safetensors")
        return folder

    return save


@pytest.fixture(scope="session")
def small_folder(tmp_path_factory, save_model) -> Path:
    return save_model(tmp_path_factory.mktemp("models") / "small")


@pytest.fixture(scope="session")
def small(small_folder):
    from crossgap import load_backbone

    return load_backbone(f"local-dir:{small_folder}")
