"""Concurrency helpers. A bounded gather that fails on the first error, and an early start."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeVar

T = TypeVar("T")
S = TypeVar("S")


async def each(items: Sequence[S], work: Callable[[S], Awaitable[T]], *, in_flight: int) -> list[T]:
    """Return ``work(item)`` for every item, in order. Raises the first error unchanged."""
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


def begin(read: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """Start a read as a task at once. An error that is never read is ignored."""
    task = asyncio.ensure_future(read)
    task.add_done_callback(lambda done: done.cancelled() or done.exception())
    return task
