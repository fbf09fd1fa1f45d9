from __future__ import annotations

import torch

from crossgap.backbones.injection import PseudoPatches, PseudoText
from crossgap.inversion import batch_size

CPU = torch.device("cpu")


class Deep:
    """Keeps so many float32 an item for the backward pass, beside a weight that is there once."""

    def __init__(self, floats: int) -> None:
        self.shape = (1, floats)
        self.weight = torch.ones(floats)

    def __call__(self, pseudo: torch.Tensor) -> torch.Tensor:
        return (pseudo.flatten(1) * self.weight).exp()


def test_bytes_an_item_are_those_its_own_activations_take() -> None:
    # the product's input needs no keeping, since its weight is frozen; the exponential keeps its result
    assert batch_size.bytes_an_item(Deep(1000), CPU) == 4000


def test_the_batch_is_what_fits_and_never_none(monkeypatch) -> None:
    monkeypatch.setattr(batch_size, "CPU_BYTES", 80_000)
    assert batch_size.fitting(Deep(10), CPU) == batch_size.MOST["cpu"]
    assert batch_size.fitting(Deep(1000), CPU) == 20
    assert batch_size.fitting(Deep(50_000), CPU) == 1


def test_products_in_half_precision_get_more_rows_on_a_cpu() -> None:
    class Half(Deep):
        def __call__(self, pseudo: torch.Tensor) -> torch.Tensor:
            return super().__call__(pseudo).bfloat16()

    assert batch_size.fitting(Half(10), CPU) == batch_size.MOST_IN_HALF > batch_size.MOST["cpu"]


def test_towers_are_measured_without_changing_them(tiny) -> None:
    for injection in (PseudoText(tiny, "a photo of {}", 1), PseudoPatches(tiny, 1)):
        before = injection(torch.ones(2, *injection.shape))
        size = batch_size.bytes_an_item(injection, CPU)
        assert 1e3 < size < 1e7
        assert torch.equal(before, injection(torch.ones(2, *injection.shape)))
    assert batch_size.bytes_an_item(PseudoPatches(tiny, 1), CPU) > batch_size.bytes_an_item(
        PseudoText(tiny, "a photo of {}", 1), CPU
    )


def test_a_little_more_or_less_memory_or_other_threads_leave_the_shape_as_it_is(monkeypatch) -> None:
    monkeypatch.setattr(batch_size, "bytes_an_item", lambda injection, device: 1000)
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 0)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 0)
    for free, size in ((500_000, 256), (600_000, 256), (900_000, 512), (10**9, 1024), (1000, 1)):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device, free=free: (free, 10**9))
        assert batch_size.fitting(Deep(10), torch.device("cuda")) == size
    monkeypatch.setattr(batch_size, "CPU_BYTES", 30_500)
    for threads, size in ((1, 30), (2, 30), (4, 28), (64, 30)):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        assert batch_size.fitting(Deep(10), CPU) == size


def test_what_torch_keeps_of_a_gpu_for_later_is_free(monkeypatch) -> None:
    monkeypatch.setattr(batch_size, "bytes_an_item", lambda injection, device: 1000)
    found = {"mem_get_info": (100_000, 10**6), "memory_reserved": 700_000, "memory_allocated": 200_000}
    for name, held in found.items():
        monkeypatch.setattr(torch.cuda, name, lambda device, held=held: held)
    assert batch_size.fitting(Deep(10), torch.device("cuda")) == 256  # of 600,000 bytes, not of 100,000
