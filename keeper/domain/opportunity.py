"""
What a lending protocol lets a liquidator do, without naming the protocol.

An adapter turns one unhealthy account into opportunities: per pair of tokens, what
is spent and what comes back as a pure function of the amount, and the step that the
executor performs. Sizing and ranking know nothing else about the protocol.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol, runtime_checkable

from keeper.domain.decision import SkipReason
from keeper.domain.units import Address, BaseCurrency, Gas, MarketKey, Timestamp, TokenUnits, Wad

_NOTHING: Final = TokenUnits(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The timestamps at which a plan may land, both ends included."""

    earliest: Timestamp
    deadline: Timestamp


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why the protocol would refuse, or the adapter will not try, an amount or a pair."""

    reason: SkipReason
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LiquidityKey:
    """Who holds a token that the protocol pays out of: the holder can run dry."""

    holder: Address
    token: Address


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """
    What one liquidation spends and receives when it lands inside the window.

    ``amount`` is the argument that was asked for (``UINT256_MAX`` for everything).
    ``spend`` and ``receive`` are exact at ``window.earliest``. At every timestamp of
    the window no more than ``spend_at_most`` is taken, and never is less than
    ``receive_at_least`` received. ``drawn`` is what the payout takes out of, and
    ``repaid`` what the repayment puts into, the protocol's own liquidity. ``bad_debt``
    is the rest of the debt (spend token) where the protocol writes it off at once.
    """

    amount: TokenUnits
    spend: TokenUnits
    spend_at_most: TokenUnits
    receive: TokenUnits
    receive_at_least: TokenUnits
    drawn: tuple[tuple[LiquidityKey, TokenUnits], ...] = ()
    repaid: tuple[tuple[LiquidityKey, TokenUnits], ...] = ()
    bad_debt: TokenUnits = _NOTHING


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutorStep:
    """One liquidation for the executor: which of its protocol modules, with which bytes."""

    module: int
    data: bytes


class Opportunity(Protocol):
    """One pair of one account: an immutable value made by an adapter from a snapshot."""

    @property
    def market(self) -> MarketKey:
        """The market."""
        ...

    @property
    def account(self) -> Address:
        """The borrower."""
        ...

    @property
    def spend_token(self) -> Address:
        """The debt token that the liquidator pays."""
        ...

    @property
    def receive_token(self) -> Address:
        """The collateral token that the liquidator gets; may be the spend token."""
        ...

    @property
    def partial(self) -> tuple[TokenUnits, TokenUnits] | None:
        """
        Smallest and largest partial amount, both valid over the whole window.

        They keep the adapter's margin to every threshold of the protocol. None
        when only everything may be taken.
        """
        ...

    @property
    def gas(self) -> Gas:
        """Gas of the protocol's own call, estimated (measured per protocol and version)."""
        ...

    @property
    def bonus_at_most(self) -> BaseCurrency:
        """No amount earns more than this before costs: received minus spent, at the prices."""
        ...

    @property
    def own_funding(self) -> "Sequence[FlashLender]":
        """
        Funding that the liquidation itself brings and nobody else can use.

        A protocol that pays out, calls back and only then takes the repayment needs no loan.
        Empty where the spend token must be had first.
        """
        ...

    def outcome(self, amount: TokenUnits) -> Outcome | Refusal:
        """Return what ``amount`` of the spend token does; ``UINT256_MAX`` asks for everything."""
        ...

    def step(self, amount: TokenUnits) -> ExecutorStep:
        """Return the executor's step for ``amount``."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Afterwards:
    """
    One account as a liquidation leaves it, in the same block: its health and its opportunities.

    There are no ``opportunities`` where it is healthy then, or nothing is left to seize.
    """

    health_factor: Wad
    opportunities: Sequence[Opportunity] = ()


@runtime_checkable
class Continues(Protocol):
    """An opportunity that states what can be done with its account once it was taken."""

    def after(self, amount: TokenUnits) -> Afterwards | None:
        """Return the account after ``amount``; None where the market cannot tell."""
        ...


class FlashLender(Protocol):
    """Where the spend token can be borrowed for one transaction."""

    @property
    def source(self) -> int:
        """The executor's number of this kind of funding (``execution.executor``)."""
        ...

    @property
    def kind(self) -> str:
        """The kind's name for people: ``aave_v3_flash_loan``."""
        ...

    @property
    def lender(self) -> Address:
        """The contract that lends."""
        ...

    @property
    def token(self) -> Address:
        """What it lends."""
        ...

    @property
    def liquidity(self) -> LiquidityKey:
        """What the loan is taken out of, so that plans before it are counted in."""
        ...

    @property
    def available(self) -> TokenUnits:
        """The most it lends at the snapshot's block."""
        ...

    @property
    def gas(self) -> Gas:
        """Gas of borrowing and paying back, estimated."""
        ...

    def fee(self, amount: TokenUnits) -> TokenUnits:
        """Return the fee for ``amount``, as the lender rounds it."""
        ...
