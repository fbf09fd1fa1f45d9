"""What is alive at once, counted operation by operation, in batches far larger than they are wide."""

from __future__ import annotations

import pytest
import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from crossgap import losses
from crossgap.losses import pairs

N, D = 256, 3
CUAXU = dict.fromkeys(losses.SUMS["cuaxu"], 1.0)


class Live(TorchDispatchMode):
    """Elements of the large storages, `N` × `N` / 16 and more, that are alive after each operation."""

    def __init__(self) -> None:
        super().__init__()
        self.alive: dict[StorageWeakRef, int] = {}
        self.most = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor):
                storage = tensor.untyped_storage()
                elements = storage.nbytes() // tensor.element_size()
                if elements >= N * N / 16:
                    self.alive[StorageWeakRef(storage)] = elements
        self.alive = {reference: size for reference, size in self.alive.items() if not reference.expired()}
        self.most = max(self.most, sum(self.alive.values()))
        return result


def most_alive(loss, batch) -> int:
    """Elements alive at most, during the forward and the backward pass."""
    leaves = [rows.requires_grad_() for rows in batch(N, D, torch.float32)]
    numbers = [torch.tensor(value, requires_grad=True) for value in (0.2, -3.0)]
    with Live() as live:
        value = loss(*leaves, *numbers)
        assert not live.alive, "something is kept for the backward pass"
        value.backward()
    assert all(leaf.grad.isfinite().all() for leaf in leaves)
    return live.most


BLOCKS = {"hybrid_distillation": 3}  # beside the block, the teacher's and what its entropy takes; else 1
PAIRWISE = [name for name in losses.TERMS if name not in ("alignment", "random_alignment")]


@pytest.mark.parametrize("name", PAIRWISE)
def test_one_block_at_most_and_a_part_of_it_where_it_is_large(name, batch, terms, monkeypatch):
    rows = 2 * N if name == "slip" else N  # its batch is that of the views
    blocks = BLOCKS.get(name, 1)
    assert most_alive(terms[name][0], batch) == blocks * rows * rows
    monkeypatch.setattr(pairs, "ELEMENTS", rows * rows // 8)
    assert most_alive(terms[name][0], batch) == blocks * rows * rows // 8


def total(images, texts, temperature, _bias):
    return losses.total(CUAXU, images, texts, temperature=temperature)[0]


def test_the_sum_of_all_holds_one_block_too(batch):
    assert most_alive(total, batch) == N * N


@pytest.mark.parametrize("name", PAIRWISE)
def test_the_plain_formula_holds_more_by_the_same_count(name, batch, terms):
    def plain(*given):
        return terms[name][1](*given)

    rows = 2 * N if name == "slip" else N
    with pytest.raises(AssertionError, match="kept for the backward"):
        most_alive(plain, batch)
    leaves = [side.requires_grad_() for side in batch(N, D, torch.float32)]
    with Live() as live:
        plain(*leaves, torch.tensor(0.2), torch.tensor(-3.0)).backward()
    assert live.most >= 2 * rows * rows


@pytest.mark.parametrize("name", ["alignment", "random_alignment"])
def test_alignment_holds_no_pairs(name, batch, terms):
    assert most_alive(terms[name][0], batch) == 0


def test_a_value_alone_takes_one_product(batch):
    class Products(TorchDispatchMode):
        count = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            self.count += "mm" in func.overloadpacket.__name__
            return func(*args, **(kwargs or {}))

    x, y = (rows.requires_grad_() for rows in batch(8, 4))
    for taken, graph in ((3, torch.enable_grad), (1, torch.no_grad)):
        with graph(), Products() as products:
            losses.cross_uniformity(x, y)
        assert products.count == taken
