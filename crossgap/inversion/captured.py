"""The passes of a step as one CUDA graph: a GPU is then given a step's hundreds of kernels at once, not one by one.

The kernels are the same and so are the bits. What is left out is the time that Python takes to name them, which is most
of a step where batches are small or the precision is half.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

WARM_UPS = 2  # passes before the capture, in which kernels are chosen and their workspaces made
STEPS = 10  # of fewer, a capture costs what it saves


def worth_capturing(encode: Any, device: torch.device, steps: int) -> bool:
    """Whether `encode` is an injection on its fast path, which never waits for the GPU, on one, for a while."""
    return device.type == "cuda" and getattr(encode, "fast", False) and steps >= STEPS


def captured(
    passes: Callable[[], tuple[Tensor, ...]], device: torch.device
) -> Callable[[], tuple[Tensor, ...]]:
    """`passes` as the replay of its graph, into the same tensors each time.

    Args:
        passes: of tensors that lie where they lie as long as it is called; their values may change between calls.
        device: a GPU, where they lie.
    """
    with torch.cuda.device(device):
        beside, graph = torch.cuda.Stream(), torch.cuda.CUDAGraph()
        beside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(beside):
            for _ in range(WARM_UPS):
                passes()
        torch.cuda.current_stream().wait_stream(beside)
        with torch.cuda.graph(graph):
            found = passes()

    def replay() -> tuple[Tensor, ...]:
        graph.replay()
        return found

    return replay
