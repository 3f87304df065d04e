"""An event loop whose time passes only when nothing else can happen."""

import asyncio
from typing import Any


class VirtualLoop(asyncio.SelectorEventLoop):
    """Jumps to the next timer as soon as nobody works; what is for a thread is done at once."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0

    def time(self) -> float:
        """Return the virtual seconds since the loop was made."""
        return self._now

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> asyncio.Future[Any]:
        """Do it now: the order of things is then the example's, and no thread is waited for."""
        del executor
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - as an executor does
            future.set_exception(error)
        return future

    def _run_once(self) -> None:
        if not self._ready and self._scheduled:
            self._now = max(self._now, self._scheduled[0].when())
        super()._run_once()
