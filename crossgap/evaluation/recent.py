"""Arrays that are held for whoever asks for them next."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable

import numpy as np


class Recent:
    """The arrays that were asked for last, of at most so many bytes together; whatever their size, the last two: a
    task's queries and gallery.
    """

    def __init__(self, most: int) -> None:
        self.most, self.size = most, 0
        self._arrays: OrderedDict[Hashable, tuple[np.ndarray, object]] = OrderedDict()

    def of(self, key: Hashable, owner: object, make: Callable[[], np.ndarray | None]) -> np.ndarray | None:
        """The array of this key, made where it is not held; None where there is none.

        Args:
            owner: what the key knows by its identity; it lives as long.
        """
        if key in self._arrays:
            self._arrays.move_to_end(key)
            return self._arrays[key][0]
        made = make()
        if made is not None:
            made.flags.writeable = False
            self._arrays[key] = made, owner
            self.size += made.nbytes
        while self.size > self.most and len(self._arrays) > 2:
            _, (gone, _) = self._arrays.popitem(last=False)
            self.size -= gone.nbytes
        return made
