"""What stands between a decision and a signature: the port, and nothing in its place."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from keeper.domain.breaker import Breaker, OpenBreaker
from keeper.domain.errors import ConfigError
from keeper.domain.head import Head
from keeper.domain.plan import Batch
from keeper.domain.submission import Fees, Submission
from keeper.domain.units import Timestamp

Priced = tuple[Batch, Fees]
"""A batch, and the fees that it would be sent with."""

Parts = Callable[[Batch, int], Sequence[Priced]]
"""Divides a batch after so many plans: the first ones, and the others where they pay."""


def whole_only(batch: Batch, count: int) -> Sequence[Priced]:  # noqa: ARG001 (the type's)
    """Divide nothing."""
    return ()


PAUSED: Final = "sending is paused by the operator"


class Nonces(Protocol):
    """What a guard needs to know of the nonces; the tracker has it."""

    @property
    def settlements(self) -> int:
        """How many receipts were noted or taken back."""
        ...

    def bound(self) -> list[Submission]:
        """Return the nonces that no block consumed yet."""
        ...


class Guard(Protocol):
    """Stands between a decision and a signature."""

    @property
    def held(self) -> str:
        """Why a limit holds new transactions, or held some of the last ones; empty: none does."""
        ...

    def refusal(self) -> str:
        """Return why nothing new may be sent; empty where something may."""
        ...

    def allowed(
        self, wanted: Sequence[Priced], nonces: Nonces, head: Head, parts: Parts = whole_only
    ) -> list[Priced]:
        """Return what may be sent, in order, in smaller transactions by ``parts``; asks nobody."""
        ...

    def is_open(self, breaker: Breaker) -> bool:
        """Whether a breaker holds new transactions."""
        ...

    async def hold(self, opened: OpenBreaker, head: Head | None) -> None:
        """Open a breaker."""
        ...

    async def release(self, breaker: Breaker, why: str, head: Head | None) -> None:
        """Close a breaker that what opened it has ceased for."""
        ...

    async def take_up(self, nonces: Nonces, head: Head) -> None:
        """Take over what an earlier process left."""
        ...

    async def observe(self, nonces: Nonces, head: Head) -> None:
        """Count what was mined since, and throw the switches that it asks for."""
        ...

    async def keep(self, head: Head | None) -> None:
        """Keep what ``allowed`` found, once the bytes that it let pass have left."""
        ...

    async def pause(self, head: Head | None) -> None:
        """Hold new transactions until ``reset``."""
        ...

    async def reset(self, name: str, head: Head | None) -> None:
        """Close a breaker by an operator's word."""
        ...


@dataclass(slots=True)
class Unlimited:
    """Knows no limit, and of the switches those that are thrown by hand or by the chain."""

    _open: dict[Breaker, str] = field(default_factory=dict)

    @property
    def held(self) -> str:
        """What is open, for as long as this process lives."""
        return "; ".join(self._open.values())

    def refusal(self) -> str:
        """Return what is open."""
        return self.held

    def allowed(
        self,
        wanted: Sequence[Priced],
        nonces: Nonces,  # noqa: ARG002 (the port's)
        head: Head,  # noqa: ARG002
        parts: Parts = whole_only,  # noqa: ARG002
    ) -> list[Priced]:
        """Allow all."""
        return list(wanted)

    def is_open(self, breaker: Breaker) -> bool:
        """Whether a switch was thrown."""
        return breaker in self._open

    async def hold(self, opened: OpenBreaker, head: Head | None) -> None:  # noqa: ARG002 (the port's)
        """Hold new transactions."""
        self._open.setdefault(opened.name, opened.detail)

    async def release(self, breaker: Breaker, why: str, head: Head | None) -> None:  # noqa: ARG002 (the port's)
        """Let them pass again."""
        self._open.pop(breaker, None)

    async def take_up(self, nonces: Nonces, head: Head) -> None:
        """Take over nothing."""

    async def observe(self, nonces: Nonces, head: Head) -> None:
        """Count nothing."""

    async def keep(self, head: Head | None) -> None:
        """Keep nothing."""

    async def pause(self, head: Head | None) -> None:
        """Hold new transactions."""
        await self.hold(paused_at(head), head)

    async def reset(self, name: str, head: Head | None) -> None:  # noqa: ARG002 (the port's)
        """Let them pass again."""
        if self._open.pop(named(name), None) is None:
            raise not_open(named(name))


def named(name: str) -> Breaker:
    """Return the breaker of that name; ConfigError where there is none."""
    try:
        return Breaker(name)
    except ValueError:
        known = ", ".join(Breaker)
        raise ConfigError("there is no such breaker", hint=f"one of: {known}") from None


def not_open(breaker: Breaker) -> ConfigError:
    """Return the error of a reset that has nothing to do."""
    return ConfigError(f"the breaker {breaker} is not open", hint="see `keeper breaker list`")


def finality_broken(detail: str, head: Head) -> OpenBreaker:
    """Return the breaker of a chain that took back what was final."""
    return OpenBreaker(
        name=Breaker.FINALITY, detail=detail, block_number=head.number, timestamp=head.timestamp
    )


def paused_at(head: Head | None) -> OpenBreaker:
    """Return an operator's pause."""
    return OpenBreaker(
        name=Breaker.PAUSED,
        detail=PAUSED,
        block_number=head.number if head else 0,
        timestamp=head.timestamp if head else Timestamp(0),
    )
