"""The proxy on a thread of its own, for tests that are not asynchronous."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator

from tests.support.proxy import Proxy

PATIENCE = 60.0


@contextlib.contextmanager
def proxied(port: int) -> Iterator[Proxy]:
    """Run a proxy in front of the local node at ``port``."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    proxy = Proxy(f"http://127.0.0.1:{port}")
    asyncio.run_coroutine_threadsafe(proxy.start(), loop).result(PATIENCE)
    try:
        yield proxy
    finally:
        asyncio.run_coroutine_threadsafe(proxy.stop(), loop).result(PATIENCE)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(PATIENCE)
        loop.close()
