"""Raises the threshold of Python's cyclic garbage collection."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def searched_seldom(after: int) -> Iterator[None]:
    """Collect after this number of net allocations, within the context.

    Python's default of 700 is for small heaps. A block allocates an object or more for each
    account, and hardly any are in a cycle.
    """
    before = gc.get_threshold()
    gc.set_threshold(after, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
