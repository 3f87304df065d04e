"""
What an adapter's author writes to get the conformance suite: one ``World``.

A world is a devnet with one protocol on it, and the few questions that only the protocol's
own contracts can answer. Everything else is asked of the adapter as the keeper asks it:
made by ``keeper.composition.wiring`` from a ``[[market]]`` section, followed by ``keeper.book``.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from keeper.devnet.market import Devnet
from keeper.devnet.node import Transaction
from keeper.domain.opportunity import Opportunity
from keeper.domain.units import Address
from keeper.ports import MarketSnapshot

PRICE_UNIT = 10**8


@dataclass(frozen=True)
class Said:
    """What the contracts themselves say of an account, in wad and token units."""

    liquidatable: bool
    health_factor: int
    collateral: Mapping[Address, int]
    debt: Mapping[Address, int]


@dataclass(frozen=True)
class Landed:
    """One liquidation by the protocol's own event, in token units."""

    spent: int
    received: int
    bad_debt: int = 0


@dataclass(frozen=True)
class Failure:
    """
    A part of the protocol that fails or is hostile: how to make it so, and whom it concerns.

    ``concerns`` is asked with a market's key and an account.
    """

    happen: Callable[[], object]
    concerns: Callable[[str, str], bool]


class World(Protocol):
    """A devnet with one protocol, brought up; the admin holds all roles and deep pockets."""

    name: str
    devnet: Devnet
    falls: Sequence[Mapping[str, int]]
    """Price falls in whole dollars, each makes more accounts unhealthy, the last under water."""

    def options(self) -> dict[str, object]:
        """Return the ``[[market]]`` section, ``protocol`` and ``from_block`` included."""
        ...

    def people(self) -> set[tuple[str, str]]:
        """Return every borrower: how the market's key ends, and the account."""
        ...

    def said(self, taken: MarketSnapshot, account: str) -> Said:
        """Ask the contracts at the newest block, which is the snapshot's."""
        ...

    def liquidate(self, offer: Opportunity, amount: int) -> Landed:
        """Do the offer's step in the next block, as the admin, with the protocol itself."""
        ...

    def actions(self) -> Sequence[Sequence[Transaction]]:
        """Return changes of positions, each a few transactions; later ones need no earlier."""
        ...

    def silent_actions(self) -> Sequence[Transaction]:
        """Return changes of positions that change none of the contracts' totals."""
        ...

    def populate(self, count: int) -> None:
        """Let so many more healthy accounts borrow."""
        ...

    def failures(self) -> Mapping[str, Failure]:
        """Return what can fail or be hostile, by name."""
        ...

    def vanish(self) -> None:
        """Take the protocol's contract away: nothing of it can be read."""
        ...


def sections(*worlds: World) -> str:
    """Return the ``[[market]]`` sections of a settings file."""
    return "".join(
        "\n[[market]]\n"
        + "".join(f"{key} = {_toml(value)}\n" for key, value in world.options().items())
        for world in worlds
    )


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    if isinstance(value, Mapping):
        pairs = (f'"{key}" = {_toml(each)}' for key, each in value.items())
        return "{ " + ", ".join(pairs) + " }"
    return f'"{value}"'
