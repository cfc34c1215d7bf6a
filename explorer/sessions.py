"""How many pages are open: one too many says so instead of taking the others' time."""

from collections.abc import Iterator
from contextlib import contextmanager

from explorer.settings import SETTINGS

_open = 0  # changed by the server's event loop alone


@contextmanager
def counted() -> Iterator[None]:
    """Count a page's connection while it lasts."""
    global _open
    _open += 1
    try:
        yield
    finally:
        _open -= 1


def n_open() -> int:
    """Return how many pages are connected."""
    return _open


def is_full() -> bool:
    """Whether another page would be one too many; the one that asks is counted."""
    return _open > SETTINGS.limits.sessions
