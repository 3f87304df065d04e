"""Bounded JSON POST to an external server, with a classification of the answer."""

import contextlib
from collections.abc import Mapping
from typing import Final

import aiohttp

from keeper.domain.errors import NotTold

NEVER: Final = frozenset({400, 405, 413, 415, 422})
"""Status codes that a retry of the same message would repeat."""
_OK: Final = range(200, 300)
CONNECT_SECONDS: Final = 10.0
TOTAL_SECONDS: Final = 30.0
MAX_WAIT_SECONDS: Final = 3_600.0


class Web:
    """A server that accepts JSON by POST.

    Without proxy, redirect or cookies, so that the signed body goes only to the configured server.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._session: aiohttp.ClientSession | None = None

    async def post(self, body: bytes, headers: Mapping[str, str]) -> None:
        """Send once.

        Raises:
            NotTold: not accepted, with the answer's status and never the address.
        """
        try:
            async with self._ensure_session().post(
                self._url,
                data=body,
                headers={"Content-Type": "application/json", **headers},
                allow_redirects=False,
            ) as answer:
                status, asked = answer.status, answer.headers.get("Retry-After", "")
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise NotTold(f"no answer: {type(error).__name__}") from None
        if status not in _OK:
            raise NotTold(
                f"answered {status}", retry_after=_parse_retry_after(asked), final=status in NEVER
            )

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    def _ensure_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=TOTAL_SECONDS, connect=CONNECT_SECONDS),
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
            )
        return self._session


def _parse_retry_after(asked: str) -> float | None:
    """Parse ``Retry-After`` as a number of seconds, None for anything else."""
    with contextlib.suppress(ValueError):
        seconds = float(asked)
        if seconds >= 0:
            return min(seconds, MAX_WAIT_SECONDS)
    return None
