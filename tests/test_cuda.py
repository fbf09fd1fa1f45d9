"""What a GPU changes: nothing beyond rounding. Skipped where there is none."""

from __future__ import annotations

from unittest import mock

import numpy as np
import pandas as pd
import pytest
import torch

from crossgap import judged_metrics, load_backbone, oti, ovi, retrieval_metrics
from crossgap.datasets import world
from crossgap.encode import encode
from crossgap.errors import out_of_memory, said
from crossgap.inversion import batch_size, captured, optimise
from crossgap.inversion.batch_size import fitting
from crossgap.inversion.methods import Oti, Ovi
from crossgap.inversion.noise import initial_tokens
from crossgap.inversion.recipes import OPTIMISERS, Recipe
from crossgap.metrics.retrieval import ranking
from crossgap.prepared import manifest
from crossgap.stores.store import open_store

IDS = [f"item {number}" for number in range(9)]
# after a few steps of AdamW, which makes rounding relative to the gradient
CLOSE = {"rtol": 2e-3, "atol": 2e-3}
TIGHT = {"rtol": 1e-5, "atol": 1e-5}  # of one pass through two layers
INVERSIONS = {"oti": (oti, {}), "ovi": (ovi, {"patches": 2})}


@pytest.fixture(scope="module")
def on_gpu(tiny_folder, cuda):
    return load_backbone(f"local-dir:{tiny_folder}", device=cuda)


@pytest.fixture(scope="module")
def inputs(tiny) -> tuple[torch.Tensor, torch.Tensor]:
    pixels = torch.randn(len(IDS), 3, 32, 32, generator=torch.Generator().manual_seed(0))
    return pixels, tiny.tokenize([f"a thing numbered {number}" for number in range(len(IDS))])[0]


@pytest.fixture(scope="module")
def targets(tiny, inputs) -> dict[str, np.ndarray]:
    pixels, ids = inputs
    return {
        "oti": tiny.encode_images(pixels).features.numpy(),
        "ovi": tiny.encode_texts(ids).features.numpy(),
    }


def test_features_are_the_cpus(tiny, on_gpu, inputs) -> None:
    for encoded in ("encode_images", "encode_texts"):
        values = inputs[encoded == "encode_texts"]
        wanted, found = (getattr(backbone, encoded)(values) for backbone in (tiny, on_gpu))
        for name in ("features", "preprojection"):
            on_cpu = getattr(found, name).cpu()
            torch.testing.assert_close(on_cpu, getattr(wanted, name), **TIGHT)


@pytest.mark.parametrize("asked", ["tf32", "autocast"])
def test_what_is_asked_of_torch_around_it_changes_no_bit(on_gpu, inputs, targets, asked) -> None:
    def computed() -> list[np.ndarray]:
        found = on_gpu.encode_images(inputs[0]), on_gpu.encode_texts(inputs[1])
        more = {"ids": IDS, "progress": False}
        inverted = [run(targets[name], on_gpu, 12, **of, **more) for name, (run, of) in INVERSIONS.items()]
        return [one.features.cpu().numpy() for one in found] + [one.features for one in inverted]

    wanted = computed()
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high" if asked == "tf32" else before)
    try:
        with torch.autocast("cuda", torch.bfloat16, enabled=asked == "autocast"):
            found = computed()
    finally:
        torch.set_float32_matmul_precision(before)
    for one, other in zip(found, wanted, strict=True):
        assert np.array_equal(one, other)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_is_near(tiny, tiny_folder, cuda, inputs, precision) -> None:
    half = load_backbone(f"local-dir:{tiny_folder}", device=cuda, precision=precision)
    for encoded, values in zip(("encode_images", "encode_texts"), inputs, strict=True):
        wanted, found = (getattr(backbone, encoded)(values).features.cpu() for backbone in (tiny, half))
        assert torch.cosine_similarity(wanted, found).min() > 0.999


@pytest.mark.parametrize("method", INVERSIONS)
def test_inversions_are_the_cpus(tiny, on_gpu, targets, method) -> None:
    run, more = INVERSIONS[method]
    more = {**more, "ids": IDS, "snapshots": [0, 3, 12], "snapshot_tokens": True, "progress": False}
    wanted, found = (run(targets[method], backbone, 12, **more) for backbone in (tiny, on_gpu))
    for name in ("tokens", "features", "losses", "snapshots", "snapshot_losses", "snapshot_tokens"):
        np.testing.assert_allclose(getattr(found, name), getattr(wanted, name), **CLOSE)
    assert np.abs(found.tokens - found.snapshot_tokens[:, 0]).max() > 0.1


@pytest.mark.parametrize("method", INVERSIONS)
def test_no_bit_depends_on_order_or_company_and_a_batch_changes_rounding_alone(
    on_gpu, targets, method
) -> None:
    run, more = INVERSIONS[method]

    def inverted(rows, size):
        names = [IDS[row] for row in rows]
        return run(targets[method][rows], on_gpu, 12, ids=names, batch_size=size, progress=False, **more)

    for size in (1, 4, 9):
        whole = inverted(list(range(9)), size)
        for rows in ([4, 0, 8, 2, 1, 7, 3, 6, 5], [5], [8, 1]):
            found = inverted(rows, size)
            for name in ("tokens", "features", "losses"):
                assert np.array_equal(getattr(found, name), getattr(whole, name)[rows])
        np.testing.assert_allclose(whole.tokens, inverted(list(range(9)), 3).tokens, **CLOSE)


@pytest.mark.parametrize("method", [Oti(), Ovi(2)], ids=["oti", "ovi"])
@pytest.mark.parametrize("patience", [None, 2])
@pytest.mark.parametrize("optimiser", OPTIMISERS)
def test_a_captured_step_has_the_bits_of_its_kernels_one_by_one(
    on_gpu, targets, method, patience, optimiser
) -> None:
    injection = method.inject(on_gpu)
    assert captured.worth_capturing(injection, on_gpu.device, 40)
    values = (targets[method.name], initial_tokens(IDS, 0, injection.shape))
    values = [torch.from_numpy(held).to(on_gpu.device) for held in values]
    more = {"patience": patience, "tolerance": 5e-3, "optimiser": optimiser}
    recipe = Recipe(40, snapshots=(0, 7, 40), snapshot_tokens=True, **more)
    found = optimise.optimise(injection, *values, recipe)
    wanted = optimise.optimise(lambda tokens: injection(tokens), *values, recipe)
    for name, held in vars(wanted).items():
        assert torch.equal(getattr(found, name), held), name
    assert patience is None or (found.steps < 40).any()


def test_an_item_that_breaks_down_leaves_the_others_alone(on_gpu, targets) -> None:
    broken = targets["oti"].copy()
    broken[3] = np.nan
    injection = Oti().inject(on_gpu)
    initial = torch.from_numpy(initial_tokens(IDS, 0, injection.shape)).to(on_gpu.device)
    whole, found = (
        optimise.optimise(injection, torch.from_numpy(held).to(on_gpu.device), initial, Recipe(12))
        for held in (targets["oti"], broken)
    )
    others = [row for row in range(9) if row != 3]
    assert torch.equal(found.tokens[others], whole.tokens[others]) and found.losses[3].isnan()


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes")
    return manifest.validate(world.write(folder, 0, {"test": 30})), folder


def test_a_store_is_the_cpus_and_no_bit_of_it_depends_on_the_company(scenes, tiny, on_gpu, tmp_path) -> None:
    frame, root = scenes
    orders = np.random.default_rng(0)

    def features(backbone, rows, name, size=16, **more):
        where = {"scratch": tmp_path / f"scratch {name}", "provenance": {}, "batch_size": size, **more}
        part = frame.iloc[rows].reset_index(drop=True)
        encode(part, root, backbone, tmp_path / f"{name}.zip", **where)
        store = open_store(tmp_path / f"{name}.zip")
        groups = [group for group in ("image/test", "text/test", "text/classes") if group in store]
        return {
            id_: row
            for group in groups
            for id_, row in zip(store[group].ids, store[group].features, strict=True)
        }

    every = np.arange(len(frame))
    wanted, whole = features(tiny, every, "cpu"), features(on_gpu, every, "gpu")
    assert wanted.keys() == whole.keys()
    assert max(np.abs(whole[id_] - wanted[id_]).max() for id_ in wanted) < 1e-5
    for number in range(3):
        rows = orders.permutation(every)[: 40 * number + 3]
        found = features(on_gpu, rows, f"part {number}", shard_size=7, workers=number)
        assert all(np.array_equal(found[id_], whole[id_]) for id_ in found)
    grown = features(on_gpu, every, "part 2")  # goes on from the shards of a few
    assert all(np.array_equal(grown[id_], whole[id_]) for id_ in whole)
    other = features(on_gpu, every, "other", size=5)
    assert max(np.abs(whole[id_] - other[id_]).max() for id_ in whole) < 1e-5


@pytest.mark.parametrize(
    "sizes",
    [{"PAIRS_IN_A_TILE": 2**22}, {"ITEMS_IN_A_BLOCK": 64, "PAIRS_IN_A_TILE": 640, "PAIRS_IN_A_CHUNK": 900}],
)
def test_ranks_are_the_cpus_with_ties_duplicates_and_small_tiles(cuda, sizes) -> None:
    rng = np.random.default_rng(0)
    gallery = rng.integers(-1, 2, (500, 4)).astype(np.float32)  # many equal rows
    gallery[~gallery.any(axis=1)] = 1
    queries, labels = gallery[:200] * np.float32(3), rng.integers(0, 7, 500)
    everything = queries, gallery, labels[:200], labels
    wanted = retrieval_metrics(*everything)
    judged = pd.DataFrame(
        {
            "query": rng.integers(0, 200, 3000),
            "item": rng.integers(0, 500, 3000),
            "grade": rng.integers(-1, 3, 3000),
        }
    ).drop_duplicates(["query", "item"])
    ids = {"query_ids": [f"q{row}" for row in range(200)], "gallery_ids": [f"g{row}" for row in range(500)]}
    judged = judged.assign(query="q" + judged["query"].astype(str), item="g" + judged["item"].astype(str))
    wanted_judged = judged_metrics(queries, gallery, judged, **ids)
    with mock.patch.multiple(ranking, **sizes):
        pd.testing.assert_frame_equal(retrieval_metrics(*everything, device=cuda), wanted, check_exact=True)
        found = judged_metrics(queries, gallery, judged, **ids, device=cuda)
    pd.testing.assert_frame_equal(found, wanted_judged, check_exact=True)


@pytest.mark.parametrize("method", [Oti(), Ovi(2)], ids=["oti", "ovi"])
@pytest.mark.parametrize("free", [256 << 20, 1 << 30])
def test_what_fits_by_its_own_account_fits(on_gpu, targets, monkeypatch, method, free) -> None:
    injection = method.inject(on_gpu)
    monkeypatch.setattr(batch_size, "_free", lambda device: free)
    monkeypatch.setitem(batch_size.MOST, "cuda", 1 << 20)
    size = fitting(injection, on_gpu.device)
    assert 64 < size < 1 << 20 and size & (size - 1) == 0
    native = torch.from_numpy(targets[method.name][:1]).to(on_gpu.device).expand(size, -1)
    initial = torch.full((size, *injection.shape), 0.02, device=on_gpu.device)
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    optimise.optimise(injection, native, initial, Recipe(12))
    assert free / 4 < torch.cuda.max_memory_allocated() - before < free


def test_memory_that_torch_keeps_for_later_is_free(on_gpu) -> None:
    torch.cuda.empty_cache()
    before = batch_size._free(on_gpu.device)
    held = torch.empty(1 << 30, dtype=torch.uint8, device=on_gpu.device)
    while_held = batch_size._free(on_gpu.device)
    del held
    assert before - while_held >= 1 << 30 and abs(batch_size._free(on_gpu.device) - before) < 64 << 20


def test_a_gpu_without_room_is_told(on_gpu) -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 50, dtype=torch.uint8, device=on_gpu.device)
    assert out_of_memory(caught.value) and said(caught.value).startswith("CUDA out of memory: memory ran out")
