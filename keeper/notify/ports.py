"""Ports of the dispatcher, for the stored outbox and the channels."""

from collections.abc import Callable, Sequence
from typing import Protocol

from keeper.domain.notice import Notice
from keeper.domain.telling import Backlog, Message, Outgoing, Waiting


class Channel(Protocol):
    """A notification channel."""

    async def tell(self, message: Message) -> None:
        """Deliver a message, and return once the receiver has accepted it.

        Raises:
            NotTold: not accepted, or acceptance is unknown.
        """
        ...

    async def close(self) -> None:
        """Close connections."""
        ...


class Outbox(Protocol):
    """Persisted notices and messages. Every method is one transaction. Times are Unix seconds."""

    async def enqueue(self, told: Sequence[Notice], now: int) -> int:
        """Persist notices, except those with a known key. Return the number of new ones."""
        ...

    async def route(self, choose: Callable[[Notice], Sequence[str]], now: int) -> int:
        """Assign channels to every new notice. Return the number of notices."""
        ...

    async def next_message(self, channel: str) -> Outgoing | None:
        """Return the channel's oldest undelivered message."""
        ...

    async def waiting(self, channel: str) -> list[Waiting]:
        """Return the channel's notices that are not yet in a message."""
        ...

    async def compose(self, channel: str, message: Message, told: Sequence[int], now: int) -> None:
        """Persist a message that contains these deliveries."""
        ...

    async def sent(self, message: int, now: int) -> None:
        """Persist that the channel accepted a message."""
        ...

    async def failed(self, message: int, why: str, again_at: int) -> None:
        """Persist a failed attempt, with the time of the next one."""
        ...

    async def given_up(self, message: int, why: str, now: int) -> None:
        """Persist that a message is not retried."""
        ...

    async def sent_since(self, channel: str, since: int, until: int | None = None) -> int:
        """Return the number of messages accepted after one time and not after another."""
        ...

    async def backlog(self) -> Backlog:
        """Return the undelivered notices and messages."""
        ...
