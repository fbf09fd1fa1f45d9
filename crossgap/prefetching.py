"""Batches that torch's workers prepare ahead, and the errors of theirs that need no traceback."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Protocol, cast

from crossgap.errors import is_told

if TYPE_CHECKING:
    from torch.utils.data import Dataset as TorchDataset


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
    """
    from torch.utils.data import DataLoader, default_collate

    loader: DataLoader = DataLoader(
        cast("TorchDataset", _Telling(dataset)),
        batch_sampler=batches,
        collate_fn=_Collating(collate or default_collate),
        **options,
    )
    return _raised(iter(loader))


def _raised(batches: Iterator[Any]) -> Iterator[Any]:
    for batch in batches:
        if isinstance(batch, _Failed):
            raise batch.error
        yield batch


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
