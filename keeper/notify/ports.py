"""What the dispatcher needs: where messages are kept, and the ways by which they leave."""

from collections.abc import Callable, Sequence
from typing import Protocol

from keeper.domain.notice import Notice
from keeper.domain.telling import Backlog, Message, Outgoing, Waiting


class Channel(Protocol):
    """One way to people."""

    async def tell(self, message: Message) -> None:
        """
        Hand a message over; returns when the other side has taken it.

        Raises:
            NotTold: it was not taken, or nobody knows.
        """
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


class Outbox(Protocol):
    """What is to be told, on disk; every method is one transaction. Times are Unix seconds."""

    async def enqueue(self, told: Sequence[Notice], now: int) -> int:
        """Keep notices; one whose key is known is known already. Returns the new ones."""
        ...

    async def route(self, choose: Callable[[Notice], Sequence[str]], now: int) -> int:
        """Give every new notice its channels; returns how many notices there were."""
        ...

    async def next_message(self, channel: str) -> Outgoing | None:
        """Return the channel's oldest message that waits."""
        ...

    async def waiting(self, channel: str) -> list[Waiting]:
        """Return what the channel is to be told of and no message tells yet."""
        ...

    async def compose(self, channel: str, message: Message, told: Sequence[int], now: int) -> None:
        """Keep the message that tells these deliveries."""
        ...

    async def sent(self, message: int, now: int) -> None:
        """Keep that the channel took it."""
        ...

    async def failed(self, message: int, why: str, again_at: int) -> None:
        """Keep that it did not get through."""
        ...

    async def given_up(self, message: int, why: str, now: int) -> None:
        """Keep that it is not tried again."""
        ...

    async def sent_since(self, channel: str, since: int, until: int | None = None) -> int:
        """Return how many messages the channel took since a time, and not after another."""
        ...

    async def backlog(self) -> Backlog:
        """Return how much is still to be told."""
        ...
