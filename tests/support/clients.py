"""Connections of clients, looked at from their side."""

import asyncio


async def is_ended(reader):
    """Whether the other side has ended a connection: what it leaves open says nothing."""
    try:
        async with asyncio.timeout(0.05):
            return await reader.read(1) == b""
    except TimeoutError:
        return False
    except ConnectionError:
        return True
