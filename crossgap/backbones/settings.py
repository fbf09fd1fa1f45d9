"""What crossgap computes with, whatever the program around it has asked torch for."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from typing import Any

_KINDS = ("cpu", "cuda", "mps")


@contextmanager
def own_settings() -> Iterator[None]:
    """Torch as a fresh process has it, but for float32, which stays whole; afterwards all is as it was.

    Set aside are an autocast, inference mode and `no_grad`, another default device or type of numbers, and cuDNN's
    benchmark. Float32 is rounded to TF32, with ten bits, by cuDNN's own default, by
    `torch.set_float32_matmul_precision`, and by a variable of the environment that NVIDIA's containers come with; on a
    CPU, `medium` rounds it to bfloat16, with seven.
    """
    import torch

    with ExitStack() as restored:
        for kind in _KINDS:
            if torch.is_autocast_enabled(kind):
                restored.enter_context(torch.autocast(kind, enabled=False))
        if torch.empty(0).device.type != "cpu":
            restored.enter_context(torch.device("cpu"))
        restored.callback(torch.set_default_dtype, torch.get_default_dtype())
        torch.set_default_dtype(torch.float32)
        # which takes the convolution that happens to be fastest
        restored.callback(setattr, torch.backends.cudnn, "benchmark", torch.backends.cudnn.benchmark)
        torch.backends.cudnn.benchmark = False
        _keep_float32_whole(torch, restored)
        # which takes gradients too
        restored.enter_context(torch.inference_mode(False))
        yield


def _keep_float32_whole(torch: Any, restored: ExitStack) -> None:
    _hear_advice()
    backends = torch.backends
    if by_backend := hasattr(backends.cudnn, "conv"):
        parts = (backends.cuda.matmul, backends.cudnn.conv, backends.mkldnn.matmul, backends.mkldnn.conv)
        for part in parts:
            restored.callback(setattr, part, "fp32_precision", part.fp32_precision)
    try:
        asked = torch.get_float32_matmul_precision()
    except RuntimeError:
        # a backend was asked for another precision by itself
        asked = "highest"
    if asked != "highest":
        restored.callback(torch.set_float32_matmul_precision, asked)
        torch.set_float32_matmul_precision("highest")
    if by_backend:
        for part in parts:
            part.fp32_precision = "ieee"
    else:
        # before torch 2.9
        restored.callback(setattr, backends.cudnn, "allow_tf32", backends.cudnn.allow_tf32)
        backends.cudnn.allow_tf32 = False


@cache
def _hear_advice() -> None:
    """Ask once for what torch 2.9 advises against asking for, once a process."""
    import torch

    with warnings.catch_warnings(), suppress(RuntimeError):
        warnings.simplefilter("ignore")
        torch.get_float32_matmul_precision()
