"""How seldom Python searches for garbage that counting references does not free."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def searched_seldom(after: int) -> Iterator[None]:
    """
    Search when so many more objects were made than dropped; Python's own 700 is for small heaps.

    A block makes and drops an object or more for each account; hardly any are in a cycle.
    """
    before = gc.get_threshold()
    gc.set_threshold(after, *before[1:])
    try:
        yield
    finally:
        gc.set_threshold(*before)
