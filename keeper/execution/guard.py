"""Pre-sign guard interface and an implementation without limits."""

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
"""Splits a batch after a number of plans: the first ones, and the others if they pay."""


def whole_only(batch: Batch, count: int) -> Sequence[Priced]:  # noqa: ARG001 (the type's)
    """Split nothing."""
    return ()


PAUSED: Final = "sending is paused by the operator"


class Nonces(Protocol):
    """Nonce state that a guard needs, as the tracker has it."""

    @property
    def settlements(self) -> int:
        """Number of receipts noted or reverted so far."""
        ...

    def bound(self) -> list[Submission]:
        """Return the nonces that no block has consumed yet."""
        ...


class Guard(Protocol):
    """Pre-sign guard."""

    @property
    def held(self) -> str:
        """Reason why a limit holds new transactions, or held some of the last ones, else empty."""
        ...

    def refusal(self) -> str:
        """Return why nothing new may be sent. Empty if sending is possible."""
        ...

    def allowed(
        self, wanted: Sequence[Priced], nonces: Nonces, head: Head, parts: Parts = whole_only
    ) -> list[Priced]:
        """Return the allowed transactions in order, split by ``parts``, without any request."""
        ...

    def is_open(self, breaker: Breaker) -> bool:
        """Whether a breaker holds new transactions."""
        ...

    async def hold(self, opened: OpenBreaker, head: Head | None) -> None:
        """Open a breaker."""
        ...

    async def release(self, breaker: Breaker, why: str, head: Head | None) -> None:
        """Close a breaker once its cause has ceased."""
        ...

    async def take_up(self, nonces: Nonces, head: Head) -> None:
        """Restore the state that an earlier process left."""
        ...

    async def observe(self, nonces: Nonces, head: Head) -> None:
        """Count newly mined transactions, and open or close breakers accordingly."""
        ...

    async def keep(self, head: Head | None) -> None:
        """Persist the breaker that ``allowed`` tripped, once the allowed transactions were sent."""
        ...

    async def pause(self, head: Head | None) -> None:
        """Hold new transactions until ``reset``."""
        ...

    async def reset(self, name: str, head: Head | None) -> None:
        """Close a breaker by an operator's command."""
        ...


@dataclass(slots=True)
class Unlimited:
    """Guard without limits. It has only the breakers opened by an operator or by the chain."""

    _open: dict[Breaker, str] = field(default_factory=dict)

    @property
    def held(self) -> str:
        """Details of the open breakers, which last as long as this process."""
        return "; ".join(self._open.values())

    def refusal(self) -> str:
        """Return the details of the open breakers."""
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
        """Return whether a breaker is open."""
        return breaker in self._open

    async def hold(self, opened: OpenBreaker, head: Head | None) -> None:  # noqa: ARG002 (the port's)
        """Hold new transactions."""
        self._open.setdefault(opened.name, opened.detail)

    async def release(self, breaker: Breaker, why: str, head: Head | None) -> None:  # noqa: ARG002 (the port's)
        """Close a breaker."""
        self._open.pop(breaker, None)

    async def take_up(self, nonces: Nonces, head: Head) -> None:
        """Restore nothing."""

    async def observe(self, nonces: Nonces, head: Head) -> None:
        """Count nothing."""

    async def keep(self, head: Head | None) -> None:
        """Persist nothing."""

    async def pause(self, head: Head | None) -> None:
        """Hold new transactions."""
        await self.hold(paused_at(head), head)

    async def reset(self, name: str, head: Head | None) -> None:  # noqa: ARG002 (the port's)
        """Close a breaker."""
        if self._open.pop(named(name), None) is None:
            raise not_open(named(name))


def named(name: str) -> Breaker:
    """Parse a breaker's name. ConfigError if there is no such breaker."""
    try:
        return Breaker(name)
    except ValueError:
        known = ", ".join(Breaker)
        raise ConfigError("there is no such breaker", hint=f"one of: {known}") from None


def not_open(breaker: Breaker) -> ConfigError:
    """Build the error of a reset of a breaker that is not open."""
    return ConfigError(f"the breaker {breaker} is not open", hint="see `keeper breaker list`")


def finality_broken(detail: str, head: Head) -> OpenBreaker:
    """Build the breaker of a chain that replaced a final block."""
    return OpenBreaker(
        name=Breaker.FINALITY, detail=detail, block_number=head.number, timestamp=head.timestamp
    )


def paused_at(head: Head | None) -> OpenBreaker:
    """Build the breaker of an operator's pause."""
    return OpenBreaker(
        name=Breaker.PAUSED,
        detail=PAUSED,
        block_number=head.number if head else 0,
        timestamp=head.timestamp if head else Timestamp(0),
    )
