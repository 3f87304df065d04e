"""Liquidations that a lending protocol allows, independent of the protocol.

An adapter turns one liquidatable account into opportunities. For each pair of tokens it gives the
amounts spent and received as a pure function of the argument, and the step for the executor. Sizing
and ranking know nothing else about the protocol.
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
    """Reason why the protocol refuses, or the adapter does not try, an amount or a pair."""

    reason: SkipReason
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LiquidityKey:
    """A token and the contract that pays it out and can run dry."""

    holder: Address
    token: Address


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Amounts that one liquidation spends and receives inside the landing window.

    ``amount`` is the requested argument (``UINT256_MAX`` for everything). ``spend`` and ``receive``
    are exact at ``window.earliest``. At every timestamp of the window no more than
    ``spend_at_most`` is taken, and never is less than ``receive_at_least`` received. ``drawn``
    leaves and ``repaid`` enters the protocol's own liquidity. ``bad_debt`` is the remaining debt
    (spend token) if the protocol writes it off at once.
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
    """One liquidation as an executor step. Number of the protocol module, and its data."""

    module: int
    data: bytes


class Opportunity(Protocol):
    """One token pair of one account. An immutable value that an adapter makes from a snapshot."""

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
        """The collateral token that the liquidator receives. May be the spend token."""
        ...

    @property
    def partial(self) -> tuple[TokenUnits, TokenUnits] | None:
        """Smallest and largest partial amount, both valid over the whole window.

        Both respect the adapter's margin to every threshold of the protocol. None if only the whole
        amount is allowed.
        """
        ...

    @property
    def gas(self) -> Gas:
        """Estimated gas of the protocol's own call, measured per protocol and version."""
        ...

    @property
    def bonus_at_most(self) -> BaseCurrency:
        """Upper bound of the earnings before costs (received minus spent, at the prices)."""
        ...

    @property
    def own_funding(self) -> "Sequence[FlashLender]":
        """Funding that is part of the liquidation itself.

        A protocol that pays out, calls back and only then takes the repayment needs no loan. Empty
        if the spend token is needed first.
        """
        ...

    def outcome(self, amount: TokenUnits) -> Outcome | Refusal:
        """Return the amounts for spending ``amount``. ``UINT256_MAX`` asks for the whole debt."""
        ...

    def step(self, amount: TokenUnits) -> ExecutorStep:
        """Return the executor's step for ``amount``."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Afterwards:
    """Health and opportunities of one account after a liquidation, in the same block.

    ``opportunities`` is empty if the account is then healthy or has nothing left to seize.
    """

    health_factor: Wad
    opportunities: Sequence[Opportunity] = ()


@runtime_checkable
class Continues(Protocol):
    """Opportunity that computes its account after the liquidation, for a further round."""

    def after(self, amount: TokenUnits) -> Afterwards | None:
        """Return the account after ``amount``. None if the market cannot compute it."""
        ...


class FlashLender(Protocol):
    """A contract that lends the spend token for one transaction."""

    @property
    def source(self) -> int:
        """The executor's number of this kind of funding (``execution.executor``)."""
        ...

    @property
    def kind(self) -> str:
        """The display name of the kind, such as ``aave_v3_flash_loan``."""
        ...

    @property
    def lender(self) -> Address:
        """The contract that lends."""
        ...

    @property
    def token(self) -> Address:
        """The lent token."""
        ...

    @property
    def liquidity(self) -> LiquidityKey:
        """The liquidity that the loan is taken from, so that earlier plans are counted in."""
        ...

    @property
    def available(self) -> TokenUnits:
        """The largest loan at the snapshot's block."""
        ...

    @property
    def gas(self) -> Gas:
        """Estimated gas of borrowing and repaying."""
        ...

    def fee(self, amount: TokenUnits) -> TokenUnits:
        """Return the fee for ``amount``, as the lender rounds it."""
        ...
