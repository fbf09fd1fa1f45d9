"""How many items to optimise together: as many as the device has room for."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from crossgap.backbones.injection import Injection

# beyond these a batch is no faster and more is lost with it; a CPU is served best by what its caches half hold
MOST = {"cuda": 1024, "cpu": 128}
MOST_IN_HALF = 1024  # on a CPU, whose units for bfloat16 are fed by products of a thousand rows a thread
CPU_BYTES = 512 << 20
# of the memory that is free; what is kept for the backward pass is not all that a step needs
SHARE = 0.6


def fitting(injection: Injection, device: torch.device) -> int:
    """Items whose activations fit the device: its free memory on CUDA, half a gigabyte elsewhere; at least 1.

    Another size may give other bits. So on CUDA it is a power of two, which a little more or less free memory leaves
    as it is, and on a CPU a multiple of the threads (`crossgap.backbones.batches`).
    """
    room = SHARE * _free(device) if device.type == "cuda" else CPU_BYTES
    most = MOST.get(device.type, MOST["cpu"])
    if device.type == "cpu" and _in_half(injection):
        most = MOST_IN_HALF
    size = max(1, min(most, math.floor(room / bytes_an_item(injection, device))))
    if device.type == "cuda":
        return 1 << (size.bit_length() - 1)
    threads = torch.get_num_threads()
    return size // threads * threads or size


def _free(device: torch.device) -> int:
    """Bytes of a GPU that a tensor may take: those that no process holds, and those that torch keeps for later."""
    kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + kept


def bytes_an_item(injection: Injection, device: torch.device) -> int:
    """Bytes that one more item adds to what a forward pass keeps for its backward pass."""
    return _kept(injection, 2, device) - _kept(injection, 1, device)


@torch.no_grad()
def _in_half(injection: Injection) -> bool:
    return injection(torch.zeros(1, *injection.shape)).dtype == torch.bfloat16


def _kept(injection: Injection, items: int, device: torch.device) -> int:
    kept = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    pseudo = torch.zeros(items, *injection.shape, device=device, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        features = injection(pseudo)
    del features
    return sum(kept.values())
