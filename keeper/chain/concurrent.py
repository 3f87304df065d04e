"""Several awaitables at once, a bounded number of them; the first error ends the others."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

T = TypeVar("T")
S = TypeVar("S")


async def each(items: Sequence[S], work: Callable[[S], Awaitable[T]], *, in_flight: int) -> list[T]:
    """Return ``work(item)`` for every item, in their order; raises the first error as it is."""
    if len(items) == 1:
        return [await work(items[0])]
    room = asyncio.Semaphore(in_flight)

    async def bounded(item: S) -> T:
        async with room:
            return await work(item)

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(bounded(item)) for item in items]
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]
