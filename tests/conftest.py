from __future__ import annotations

import base64
import gzip
import json
import multiprocessing
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import shapes

shapes.install()  # before any module of crossgap is imported

# a worker of pytest-xdist for each core: more threads than that only wait for each other
os.environ.setdefault("OMP_NUM_THREADS", "1")

# a process that a test starts would else compile all that it imports of crossgap, a second at each
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# Workers that a test starts are no forks of its process, but processes from new, as on macOS and from Python 3.14 on:
# a fork of one with as many threads as dozens of tests leave behind may hang. Those of stages are forks, as users' are.
multiprocessing.set_start_method("forkserver")
multiprocessing.set_forkserver_preload(["open_clip", "pandas", "pytest", "scipy.stats", "zarr"])

# Files of over half a minute: begun first, so that no worker waits at the end for another's last file.
LONG = (
    "test_campaign.py",
    "stages/test_pipeline.py", "stages/test_trainings.py", "stages/test_real.py", "stages/test_interruption.py",
    "stages/test_distil.py", "stages/test_seeds_and_controls.py", "stages/test_what_runs.py",
    "stages/test_remotes.py", "stages/test_sharing.py", "evaluation/test_parts.py",
    "evaluation/test_evaluation.py", "evaluation/test_curves.py", "test_style.py", "inversion/test_invert.py",
    "benchmarks/test_smoke.py", "evaluation/test_unavailable.py", "evaluation/test_rivals.py",
    "stages/test_imports.py", "stores/test_engines.py", "inversion/test_stores.py", "inversion/test_distil.py",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    first = {Path(__file__).parent / name: place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: first.get(item.path, len(first)))


GZIP = "H4sI"  # how the base64 of anything that gzip packed begins
REAL = Path(__file__).parents[2] / "shared" / "real"


@pytest.fixture(scope="session")
def real() -> Path:
    """The folder of real features, photos and captions beside the project, which may not be redistributed."""
    if not REAL.is_dir():
        pytest.skip("real data is absent: ../shared/real, seen from the project's root")
    return REAL


class Disk:
    """A file system of 300 kB in memory."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def remount(self, options: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{options}", self.path], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    path = tmp_path / "disk"
    path.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "none", path], check=False).returncode:
        pytest.skip("needs the right to mount a file system")
    yield Disk(path)
    subprocess.run(["umount", path], check=True)


TINY = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 48, "patch_size": 8, "head_width": 16},
    "text_cfg": {"context_length": 24, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}
TINY_PREPROCESSING = {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained CLIP of two layers a tower in open_clip's local-dir layout, the same at every run."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    torch.set_num_threads(1)  # more threads than that only wait for each other on models of this size
    folder = tmp_path_factory.mktemp("tiny")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = open_clip.model.CLIP(**TINY)
    config = {"model_cfg": TINY, "preprocess_cfg": TINY_PREPROCESSING}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    return folder


@pytest.fixture(scope="session")
def tiny(tiny_folder: Path):
    """The backbone in `tiny_folder`, loaded as a user's own."""
    from crossgap import load_backbone

    return load_backbone(f"local-dir:{tiny_folder}")


@pytest.fixture(scope="session")
def cuda() -> str:
    """A GPU's name; what needs one is skipped where there is none."""
    import torch

    if not torch.cuda.is_available():
        pytest.skip("torch finds no GPU here")
    return "cuda"


@pytest.fixture(scope="session")
def page_text():
    """A report's page → all that it says: its HTML, and the data that its script draws."""

    def read(path: Path) -> str:
        html = path.read_text(encoding="utf-8")
        held = re.findall(r'<script type="text/plain" id="\w+">(.*?)</script>', html, re.DOTALL)
        packed = [line for text in held for line in text.split() if line.startswith(GZIP)]
        assert len(packed) >= 2
        return "\n".join([html, *(gzip.decompress(base64.b64decode(text)).decode() for text in packed)])

    return read
