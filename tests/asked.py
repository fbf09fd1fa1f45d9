"""What a program may ask of torch around a call of crossgap."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any

import torch


@contextmanager
def _set(setter: Callable[[Any], None], value: Any, before: Any) -> Iterator[None]:
    setter(value)
    try:
        yield
    finally:
        setter(before)


def _precision(value: str) -> AbstractContextManager[None]:
    return _set(torch.set_float32_matmul_precision, value, "highest")


def _of_a_backend(part: Any, value: str) -> AbstractContextManager[None]:
    return _set(partial(setattr, part, "fp32_precision"), value, part.fp32_precision)


ASKED: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "autocast": partial(torch.autocast, "cpu", torch.bfloat16),
    # to bfloat16, on a CPU that multiplies it
    "medium": partial(_precision, "medium"),
    "high": partial(_precision, "high"),
    "bfloat16": partial(_set, torch.set_default_dtype, torch.bfloat16, torch.float32),
    "benchmark": partial(_set, partial(setattr, torch.backends.cudnn, "benchmark"), True, False),
    "float64": partial(_set, torch.set_default_dtype, torch.float64, torch.float32),
    "no gradients": torch.no_grad,
    "inference": torch.inference_mode,
}
if hasattr(torch.backends.cudnn, "conv"):
    # since torch 2.9
    ASKED["a backend"] = lambda: _of_a_backend(torch.backends.mkldnn.matmul, "bf16")
    ASKED["a GPU's backend"] = lambda: _of_a_backend(torch.backends.cuda.matmul, "tf32")
