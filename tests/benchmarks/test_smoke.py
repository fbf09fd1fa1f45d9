"""Every benchmark at its smallest size: that it runs and says what it measured, not how long it took."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
NANO = f"local-dir:{HERE.parents[1] / 'data/backbones/nano'}"
NUMBER = r"[-+]?[\d.]+(e-?\d+)?"
SPREAD = rf"{NUMBER} ± {NUMBER}"
SMALL = ["--items", "2", "--steps", "1", "--rounds", "1", "--matrix", "64", "--half", "2"]
SIDE_BY_SIDE = [
    r"matrix products here: \d+ GFLOP/s",
    rf"plain recipe  {NUMBER} s a step, \d+ GFLOP a step, \d+% of that rate, final loss {NUMBER}",
    rf"crossgap      {NUMBER} s a step",
    rf"ratio         {NUMBER} \(round by round: {NUMBER}\), difference of the losses {NUMBER}",
    rf".*, 2 items, crossgap: float32 {NUMBER}, bfloat16 {NUMBER} s a step, ratio {NUMBER}, difference .* {NUMBER}",
]
SCRIPTS = [  # the script, its smallest size, and what its lines say
    (
        "store",
        ["--items", "3000", "--width", "8", "--rows", "5"],
        [
            r"3000 items × 8, 9\.6e-05 GB; 5 random rows; seconds, the best of 2",
            rf"crossgap +({NUMBER} +){{5}}1 +0\.000",
            rf"\.pt a batch +({NUMBER} +){{5}}3 +0\.000",
            rf"zarr folder +({NUMBER} +){{5}}\d+ +0\.000",
        ],
    ),
    ("oti", ["--model", NANO, *SMALL], [r"OTI, local-dir:\S+, 2 items, 1 steps", *SIDE_BY_SIDE]),
    (
        "ovi",
        ["--model", NANO, *SMALL],
        [r"OVI, local-dir:\S+, P = 1, 2 items", *SIDE_BY_SIDE],
    ),
    (
        "cosine",
        ["--sizes", "6", "4", "--of-paper", "2", "--epochs", "1"],
        [
            line
            for method, ways in (("oti", ["lbfgs"]), ("ovi", ["lbfgs", "fast", "warm", "warm by lbfgs"]))
            for way in ("paper", *ways)
            for line in (
                rf"{method}, nano, {way}: \d+ steps, {NUMBER} s for 4 items, mean cosine {NUMBER}, mAP {NUMBER}",
                *(
                    [
                        rf"  the paper's cosine after 5 steps: {NUMBER} s, cosine {NUMBER}, ratio {NUMBER}",
                        rf"  mAP, {way} - paper: {NUMBER}, paired permutation test p = {NUMBER}",
                    ]
                    if way != "paper"
                    else []
                ),
            )
        ],
    ),
    (
        "distil",
        ["--model", NANO, "--items", "2", "--steps", "1", "--rounds", "1"],
        [
            r"local-dir:\S+, 2 items, \d+ threads",
            rf"OTI, 150 steps   {NUMBER} s an item \({NUMBER} s a step\)",
            rf"φ, one pass       {NUMBER} s an item",
            rf"ratio             {NUMBER}",
            rf"training          {NUMBER} s, 10000 items x 20 epochs",
            rf"with training     {NUMBER} at 100000 items",
        ],
    ),
    (
        "gpu",
        [
            "--part",
            "inversion",
            "--models",
            NANO,
            "--device",
            "cpu",
            "--steps",
            "1",
            "--batch",
            "2",
            "--matrix",
            "64",
        ],
        [
            "CPU, torch ",
            rf"matrix products fp32 {NUMBER} TFLOP/s, bf16 {NUMBER} TFLOP/s",
            *[
                line
                for method, steps in (("OTI", 150), ("OVI", 1000))
                for line in (
                    rf"{method}, local-dir:\S+, {steps} steps",
                    rf"  plain           batch    64 +{NUMBER} items/s",
                    rf"  fp32 by kernel  batch     2 +{NUMBER} items/s",
                    rf"  fp32            batch     2 +{NUMBER} items/s",
                    rf"  bf16 by kernel  batch     2 +{NUMBER} items/s",
                    rf"  bf16            batch     2 +{NUMBER} items/s",
                    rf"  times the plain recipe: fp32 by kernel {NUMBER}, fp32 {NUMBER}",
                )
            ],
        ],
    ),
    (
        "gpu",
        [
            *("--part", "ranking", "encoding", "precision", "--models", NANO, "--device", "cpu"),
            *("--share", "0.002", "--cpu-queries", "5", "--images", "4", "--world", "4", "--oti-steps", "1"),
        ],
        [
            rf"ranking, 20 × 200 × 512: {NUMBER} s, .*; CPU, \d+ cores, 20 queries: .*; all columns equal",
            rf"ranking, 100 × 2562 × 512: {NUMBER} s, .*; CPU, \d+ cores, 5 queries: .*; all columns equal",
            r"encoding, local-dir:\S+, fp32, 4 photos of 640 pixels, \d+ cores: \d+ a second; decoding alone \d+",
            r"encoding, local-dir:\S+, bf16, 4 photos",
            rf"nano, cpu fp32: features \S+ of their length away; OTI, seed 0, 4 images, mean loss {NUMBER}",
            r"nano, cpu fp32: ",
            r"nano, cpu bf16: ",
            rf"nano, cpu fp16: .*; mAP {NUMBER}",
            r"local-dir:\S+, cpu fp32: features \S+ of their length away",
        ],
    ),
    (
        "encode",
        ["--images", "4", "--captions", "10", "--large", "0", "--rounds", "1"],
        [
            line
            for side in (200, 640)
            for line in (
                rf"nano, 4 photos of {side} pixels, \d+ cores, float32",
                rf"  decoding   {NUMBER} s, \d+ a second",
                rf"  forward    {NUMBER} s, \d+ a second",
                rf"  crossgap   {NUMBER} s, \d+ a second",
                rf"  ratio      {NUMBER} of the slower",
            )
        ]
        + [rf"nano, 10 captions, each 5 times: {NUMBER} s, all distinct {NUMBER} s"],
    ),
    (
        "phi",
        [
            *("--seeds", "2", "--epochs", "1", "--text-epochs", "1", "--steps", "1", "--fast", "1"),
            *("--sizes", "24", "6", "--photos", "20"),
        ],
        [
            r"nano, 1 epochs",
            rf"\| image-image \| – (\| {NUMBER} ){{6}}\|",
            rf"\| OTI, 1 steps \| {SPREAD} (\| {SPREAD} ){{6}}\|",
            rf"\| φ, `cosine` \| {SPREAD} ",
            rf"φ, `cosine`, then steps: 5: {NUMBER}, 25: {NUMBER}, 50: {NUMBER}, 100: {NUMBER}",
            r"nano, `cosine`, by number of images",
            rf"\| 22, 1 epochs \| {SPREAD} ",
            r"nano, by number of tokens",
            rf"\| φ, `searle`, R = 4 \| {SPREAD} ",
            rf"\| both \| {SPREAD} (\| {SPREAD} ){{6}}\| {SPREAD} \|",
            r"nano, texts, 1 epochs",
            rf"\| OVI, `fast` \| {SPREAD} \| {SPREAD} \|",
            rf"\| φ, 100 steps \| {SPREAD} ",
        ],
    ),
    (
        "spread",
        ["--shards", "2", "--rows", "8", "--dim", "4", "--width", "4", "--workers", "1", "--rounds", "1"],
        [
            r"a shard of 8 rows, 0\.0 MB, 1 workers, 2 shards; seconds a shard",
            rf"  local {NUMBER}, ray {NUMBER}, arrive {NUMBER}, store {NUMBER}",
            rf"  a driver takes up \d+ images a second, .* 1e\+09 images: {NUMBER} h of the driver",
        ],
    ),
    (
        "training",
        ["--steps", "1", "--rounds", "1", "--batch", "4", "--large", "0", "--sizes", "64"],
        [
            "1 threads, float32",
            rf"nano, 4 pairs, losses CUAXU: ratio {NUMBER}, median of the rounds {NUMBER}",
            rf"losses CUAXU alone, 64 pairs, d = 64: ratio {NUMBER}",
            rf"  gradients differ by {NUMBER} of their norm",
        ],
    ),
    (
        "pipeline",
        ["--backbones", "1", "--datasets", "2", "--beside", "none"],
        [
            r"1 backbones x 2 datasets, CPU seconds:  stages 13  "
            rf"first run {NUMBER}  nothing changed {NUMBER}  lines of locks \d+"
        ],
    ),
    (
        "evaluate",
        ["--part", "labels", "--share", "0.002", "--width", "8", "--families", "retrieval", "gap"],
        [
            rf"evaluate, labels: 100 images, width 8: {NUMBER} s, \d+ numbers; peak memory {NUMBER} GiB",
            rf"  \d+ rankings of {NUMBER} s each: evaluate takes {NUMBER} times their sum",
        ],
    ),
    (
        "retrieval",
        ["--part", "synthetic", "--share", "0.005", "--slice", "5"],
        [
            r"synthetic: 50 × 500; the loop on 5 queries",
            rf"  loop, the paper's four +{NUMBER} ms a query, +{NUMBER} times crossgap's",
            rf"  query by query, loop on the exact order - crossgap: {NUMBER} at most",
        ],
    ),
    (
        "retrieval",
        ["--part", "imagenet", "--share", "0.001", "--imagenet-queries", "10"],
        [
            r"ImageNet's size: 50 × 1281, 1000 classes, width 512",
            rf"  10 queries in \d+ s, mAP {NUMBER}; all in \d+ min at that rate",
            rf"  peak memory beyond the features {NUMBER} GiB",
        ],
    ),
    (
        "ranking",
        [
            *("--part", "few", "--share", "0.005", "--rounds", "1"),
            *("--other", str(HERE.parents[1])),
        ],
        [
            r"few: 10 queries × 250 × 512, 5 judged a query, \d+ cores; 1 rounds",
            rf"  this +{NUMBER} ms a query, 10 queries in {NUMBER} min; peak memory beyond the features {NUMBER} GiB",
            rf"  other +{NUMBER} ms a query, ",
            rf"  ratio {NUMBER} \(round by round: {NUMBER}\), tables equal",
        ],
    ),
]
ELSEWHERE = {"embedded", "plain"}  # what others share


@pytest.mark.parametrize(
    ("script", "arguments", "lines"), SCRIPTS, ids=[f"{s[0]} {s[1][1][:9]}" for s in SCRIPTS]
)
@pytest.mark.slow
def test_a_benchmark_runs_at_its_smallest_size(script, arguments, lines, monkeypatch, capsys) -> None:
    import torch

    torch.set_num_threads(1)
    monkeypatch.syspath_prepend(HERE)
    monkeypatch.setattr(sys, "argv", [f"{script}.py", *arguments])
    known = set(sys.modules)
    try:
        with torch.random.fork_rng(devices=[]):
            importlib.import_module(script).main()
    finally:
        for name in {file.stem for file in HERE.glob("*.py")} - known:
            sys.modules.pop(name, None)
    said = capsys.readouterr().out.splitlines()
    at = 0
    for line in lines:  # in this order
        found = [number for number in range(at, len(said)) if re.match(line, said[number])]
        assert found, f"no line {line!r} in {said[at:]}"
        at = found[0] + 1


def test_no_benchmark_is_left_out() -> None:
    scripts = {file.stem for file in HERE.glob("*.py")} - {Path(__file__).stem}
    assert scripts == {script for script, *_ in SCRIPTS} | ELSEWHERE
