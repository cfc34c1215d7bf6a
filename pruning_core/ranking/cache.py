"""`Cache`: tensors that are computed once, whoever asks, and kept up to a number of bytes."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock, RLock

import torch
from torch import Tensor

CACHE_BYTES = 1 << 30


class Cache:
    """Tensors by key, those used last; sessions that ask for one at once wait for one computation."""

    def __init__(self) -> None:
        self._tensors: OrderedDict[Hashable, Tensor] = OrderedDict()
        self._lock = Lock()
        self._busy: dict[Hashable, RLock] = {}  # held by who computes a value, so that others wait for that one alone

    def get(self, key: Hashable, compute: Callable[[], Tensor]) -> Tensor:
        """Return what `compute` returned for `key`; it is called where that is not kept."""
        with self._lock:
            busy = self._busy.setdefault(key, RLock())
        with busy:
            if (found := self._tensors.get(key)) is None:
                with torch.inference_mode(False), torch.enable_grad():  # whatever the caller's mode is
                    found = compute()
            with self._lock:
                self._tensors[key] = found
                self._tensors.move_to_end(key)
                while len(self._tensors) > 1 and self.n_bytes > CACHE_BYTES:
                    self._tensors.popitem(last=False)
            return found

    @property
    def n_bytes(self) -> int:
        """Bytes of all that is kept."""
        return sum(tensor.nbytes for tensor in self._tensors.values())
