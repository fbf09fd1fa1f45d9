"""Batches of one shape: an item's bits depend neither on how many share its batch nor on its place there.

The kernels of a product are chosen by its size: one row is multiplied otherwise than two, and five of a short text
otherwise than six. So a batch that is not full is filled up with its first row, whose results are dropped. Threads
cut elementwise work into equal runs, and the last few elements of a run are computed one by one, in other bits; with
as many items a thread, a run ends where an item does, and has none.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from jaxtyping import Shaped
    from torch import Tensor

CPU_ROWS = 32  # rows at once of an encoder: more are hardly faster, and a single item costs as much as these


def rows_at_once(batch_size: int, device: torch.device) -> int:
    """How many items a tower encodes at once: on a CPU only a few, however large the batch asked for."""
    import torch

    if device.type != "cpu":
        return batch_size
    threads = torch.get_num_threads()
    return min(batch_size, math.ceil(CPU_ROWS / threads) * threads)


def filled(rows: Shaped[Tensor, "n ..."], size: int) -> Shaped[Tensor, "size ..."]:
    """`(n, …)`, n from 1 to `size`, filled up to `(size, …)` with copies of the first row."""
    import torch

    missing = size - len(rows)
    return torch.cat([rows, rows[:1].expand(missing, *rows.shape[1:])]) if missing else rows
