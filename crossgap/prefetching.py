"""Batches that torch's workers prepare ahead, the errors of theirs that need no traceback, and an end to waiting."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol, cast

from crossgap.errors import CrossgapError, is_told

if TYPE_CHECKING:
    from torch.utils.data import Dataset as TorchDataset


PATIENCE = 1800.0  # seconds without a batch
_LOOK = 5  # seconds after which torch looks whether its workers live


class LoadingError(CrossgapError):
    """The workers live and give nothing."""


class Indexed(Protocol):
    """Map-style: anything that items are taken from by a key."""

    def __getitem__(self, key: Any, /) -> Any: ...


def prefetched(
    dataset: Indexed,
    batches: Iterable[list],
    *,
    collate: Callable[[list], Any] | None = None,
    **options: Any,
) -> Iterator[Any]:
    """The batches of a dataset, by the lists of its keys.

    An error that `errors.is_told` comes out as it was raised; torch puts the traceback of a worker into its words,
    and loses the kind of one that isn't made of words alone.

    Args:
        collate: makes a batch of its items; torch's own, if not given.
        options: torch's `DataLoader`'s, such as `num_workers`.

    Raises:
        LoadingError: for `PATIENCE` no batch came from the workers. torch itself would wait for ever for one that
            hangs, as a fork of a process with threads may: where one of them held a lock, nobody gives it back.
    """
    from torch.utils.data import DataLoader, default_collate

    loader: DataLoader = DataLoader(
        cast("TorchDataset", _Telling(dataset)),
        batch_sampler=batches,
        collate_fn=_Collating(collate or default_collate),
        timeout=_LOOK if options.get("num_workers") else 0,
        **options,
    )
    return _raised(iter(loader))


def _raised(batches: Iterator[Any]) -> Iterator[Any]:
    try:
        while (batch := _awaited(batches)) is not _ENDED:
            if isinstance(batch, _Failed):
                raise batch.error
            yield batch
    finally:
        del batches  # the workers end now, not once nobody holds the traceback any longer


def _awaited(batches: Iterator[Any]) -> Any:
    asked = monotonic()
    while True:
        try:
            return next(batches, _ENDED)
        except RuntimeError as error:
            if "DataLoader timed out" not in str(error):
                raise
            if monotonic() - asked > PATIENCE:
                raise LoadingError(
                    f"machine.workers: no batch came from them in {PATIENCE / 60:g} minutes, and none has ended: one "
                    "hangs, or what the items lie on does not answer; nothing was thrown away: run it again, with "
                    "machine.workers: 0 in params.yaml (workers=0 in Python) if that comes back"
                ) from None


_ENDED = object()


class _Failed:
    """Stands where an item or a batch would."""

    def __init__(self, error: Exception) -> None:
        self.error = error


class _Telling:
    def __init__(self, dataset: Indexed) -> None:
        self.dataset = dataset

    def __getitem__(self, key: Any) -> Any:
        try:
            return self.dataset[key]
        except Exception as error:
            if is_told(error):
                return _Failed(error)
            raise


class _Collating:
    def __init__(self, collate: Callable[[list], Any]) -> None:
        self.collate = collate

    def __call__(self, items: list) -> Any:
        return next((item for item in items if isinstance(item, _Failed)), None) or self.collate(items)
