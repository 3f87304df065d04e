"""Optional capabilities of snapshots, markets and books.

Callers check for them and continue without.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from numpy.typing import NDArray

from keeper.domain.account import AccountHealth, Balance
from keeper.domain.advice import Advice, Cure
from keeper.domain.cure import ClearStep, CureStep
from keeper.domain.exposure import Exposure
from keeper.domain.head import Basis, Head
from keeper.domain.opportunity import Window
from keeper.domain.oracle import Reading
from keeper.domain.parity import Difference, ParityNews, Subject
from keeper.domain.reads import Call, CallResult, Log, LogFilter, Origin
from keeper.domain.units import Address, BaseCurrency, BlockHash, Gas, MarketKey, Timestamp, Wad
from keeper.domain.value import TokenPrice
from keeper.risk.table import Tabulated
from keeper.risk.tiers import Thresholds, Tier


@runtime_checkable
class AuditsItself(Protocol):
    """A snapshot that can be compared with the contracts' own answers at its block.

    The calls belong in an aggregate after all other reads, since they may change stored state
    (interest accrued during the read). A snapshot of an earlier block of the same market may build
    them.
    """

    def everyone(self) -> Sequence[Address]:
        """Return every followed account, with or without debt."""
        ...

    def is_auditable(self, account: Address) -> bool:
        """Return whether the snapshot values the account, so that it can be compared."""
        ...

    def audit_calls(self, account: Address) -> Sequence[Call]:
        """Return the audit calls of an account. Their number is the same for all accounts."""
        ...

    def audited(
        self, account: Address, results: Sequence[CallResult]
    ) -> Sequence[Difference] | None:
        """Return the differences from the answers. None if nothing can be compared."""
        ...


@runtime_checkable
class BoundsBonus(Protocol):
    """A snapshot that bounds an account's earnings without evaluating its pairs."""

    def bonus_at_most(
        self, health: AccountHealth, window: Window
    ) -> tuple[BaseCurrency, Gas] | None:
        """Return an upper bound of every opportunity's bonus and a lower bound of its gas.

        None if there is no such bound.
        """
        ...


@runtime_checkable
class Resyncs(Protocol):
    """A market that reads an account again on request."""

    def resync(self, market: MarketKey, account: Address) -> None:
        """Read the whole account with the next block's calls."""
        ...


@runtime_checkable
class KeepsColumns(Protocol):
    """A market that stores its accounts on disk as named arrays and restores them.

    The names of arrays that hold addresses, twenty bytes a row, end in ``address``.
    """

    def array_form(self) -> str:
        """Return the dependencies of the arrays (layout, contracts), after ``discover``.

        Its first line names the accounts' scope. A number at its beginning is the block from which
        on borrowers are known.
        """
        ...

    def is_settled(self) -> bool:
        """Return whether everything noted has been read."""
        ...

    def to_arrays(self) -> Mapping[str, NDArray[Any]]:
        """Return every account."""
        ...

    def from_arrays(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Restore the result of ``to_arrays`` with the same form, instead of ``load``."""
        ...

    def changed(self) -> Mapping[str, NDArray[Any]]:
        """Return the accounts that the last ``apply`` wrote. Empty on a second call."""
        ...

    def merge(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Merge changed accounts into the present ones."""
        ...


@runtime_checkable
class HasOrigin(Protocol):
    """A market that knows the contract that begins its history."""

    async def origin(self, head: Head) -> Origin:
        """Return the contract and the log of its creation. May be called before ``discover``.

        Raises:
            ConfigError: there is no such market at the address.
        """
        ...


@runtime_checkable
class KeepsStructure(Protocol):
    """A market that stores its structure on disk and restores it instead of ``discover``."""

    def freeze_structure(self) -> Callable[[], str]:
        """Return a function that encodes the present structure as canonical JSON, in any thread."""
        ...

    def restore_structure(self, facts: str) -> None:
        """Restore a structure from ``freeze_structure`` of the same program.

        Raises:
            ValueError: the facts are invalid, or belong to another market.
        """
        ...


@runtime_checkable
class KeepsFacts(Protocol):
    """A venue that stores its permanent facts of the chain on disk."""

    async def learn_facts(self, basis: Basis) -> None:
        """Fetch the facts that are not known yet."""
        ...

    def chain_facts(self) -> str:
        """Return the facts as canonical JSON. Empty while some are unknown."""
        ...

    def restore_facts(self, facts: str, head: Head) -> None:
        """Restore stored facts of the chain of ``head``.

        Raises:
            ValueError: the facts are invalid.
        """
        ...


@runtime_checkable
class KeepsItself(Protocol):
    """A book that persists itself while it runs."""

    def keep(self) -> None:
        """Start to write the state after the newest block. Returns at once."""
        ...


@runtime_checkable
class DefersChecks(Protocol):
    """Book that defers some checks until a block's decisions are sent."""

    def settle(self) -> None:
        """Run the newest block's deferred checks."""
        ...


@runtime_checkable
class ReportsRebuilds(Protocol):
    """A book that reports when it had to read a market again."""

    def rebuild_news(self) -> Sequence[tuple[MarketKey, str]]:
        """Return the rebuilt markets since the last call, with reasons."""
        ...


@runtime_checkable
class ReportsParity(Protocol):
    """A book that is compared with the contracts while it runs."""

    def parity_news(self) -> Sequence[ParityNews]:
        """Return the results since the last call."""
        ...


@runtime_checkable
class WeighsLegs(Protocol):
    """A snapshot that knows the weight of each token of an account, for what-if questions."""

    def exposure(self, account: Address) -> Exposure | None:
        """Return the account's legs with their weights. None if it is not valued."""
        ...


@runtime_checkable
class WeighsMany(Protocol):
    """A snapshot that computes the exposures of many accounts at once, at lower cost."""

    def exposures(self, accounts: Sequence[Address]) -> Iterator[tuple[Address, Exposure]]:
        """Yield the exposure of each account that is valued."""
        ...


@runtime_checkable
class Tabulates(Protocol):
    """A snapshot that returns all accounts' legs at once, for what-if questions about a market."""

    def tabulated(self) -> Tabulated:
        """Return the exposures of all accounts with debt as columns."""
        ...


@runtime_checkable
class ScreensBelow(Protocol):
    """A snapshot that finds accounts below a health factor without valuing all of them exactly."""

    def below(self, health_factor: Wad) -> Sequence[AccountHealth]:
        """Return every account with less than this health factor, or liquidatable, worst first.

        Exact, as ``list_account_health`` is. Accounts that cannot be valued are included.
        """
        ...


@runtime_checkable
class CountsTiers(Protocol):
    """A snapshot that counts its accounts by tier without valuing all of them exactly."""

    def tiers(self, thresholds: Thresholds) -> Mapping[Tier, int]:
        """Return the number of accounts with debt in each tier.

        The numbers of liquidatable and of unpriced accounts are exact. The others may be counted
        with floats.
        """
        ...


@runtime_checkable
class Advises(Protocol):
    """A snapshot that computes cures of an account."""

    def advice(self, account: Address, target: Wad, holds_until: Timestamp) -> Advice | None:
        """Return the cures that reach ``target`` at ``holds_until``.

        None for an account without debt.

        The amounts are exact. Executed in a block of that time, an amount reaches the target, and
        one unit less does not. A time before the snapshot's block counts as the block's. An account
        that cannot be valued gets an advice without cures, with the reason among the impossible.
        """
        ...


@runtime_checkable
class HasDoubts(Protocol):
    """A snapshot with accounts that must not be acted upon."""

    @property
    def doubts(self) -> Mapping[Address, str]:
        """The accounts in doubt, with reasons."""
        ...


@runtime_checkable
class TakesCures(Advises, Protocol):
    """A snapshot with cures that the vault can execute."""

    def cure_step(self, account: Address, cure: Cure) -> CureStep:
        """Return a cure as a call of the vault."""
        ...


@runtime_checkable
class TakesClears(Protocol):
    """A snapshot with accounts that the vault can liquidate with its own money."""

    @property
    def market(self) -> MarketKey:
        """The market."""
        ...

    @property
    def prices(self) -> Mapping[Address, TokenPrice]:
        """The prices of its tokens. Any of them may be the collateral."""
        ...

    @property
    def clear_place(self) -> bytes:
        """The pool or market in the vault's list."""
        ...

    @property
    def loss_unit(self) -> tuple[str, int]:
        """The display name of the unit in which the vault counts a loss here, and its decimals."""
        ...

    def clear_step(self, account: Address) -> ClearStep | None:
        """Return an account's clearing as a call of the vault. None without a dollar price."""
        ...

    def balances(self, account: Address) -> tuple[tuple[Balance, ...], tuple[Balance, ...]]:
        """Return the account's collateral and its debts."""
        ...


@runtime_checkable
class StatesReadings(Protocol):
    """A snapshot that states the sources of its prices, so that they can be checked."""

    def readings(self) -> Sequence[Reading]:
        """Return each price with its source's statements, all in one unit."""
        ...


@runtime_checkable
class NamesLiquidated(Protocol):
    """A market that finds liquidated accounts in its logs."""

    @property
    def liquidation_filter(self) -> LogFilter:
        """The logs of liquidations."""
        ...

    def liquidated(self, logs: Sequence[Log]) -> frozenset[Subject]:
        """Return the liquidated accounts in these logs, with the keys of their markets."""
        ...


@runtime_checkable
class RemembersLogs(Protocol):
    """A book that holds the logs of the newest blocks."""

    def remembered(
        self, market: MarketKey, wanted: LogFilter, first: int, tip: BlockHash
    ) -> Sequence[Log] | None:
        """Return a deployment's matching logs from block ``first`` to ``tip``, both included.

        None if some of them are unknown, or the newest block is a different one.
        """
        ...


class Rider(Protocol):
    """A component with reads that are added to each block's calls and cost no extra request."""

    def calls(self, head: Head) -> Sequence[Call]:
        """Return the reads for a block."""
        ...

    def apply(self, head: Head, results: Sequence[CallResult]) -> None:
        """Apply the results of ``build_calls``, in their order. Some of them may have failed."""
        ...


@runtime_checkable
class NamesFork(Protocol):
    """A book that reports whether its newest head replaced blocks."""

    fork: int | None
    """The newest block in common with what was followed before; None where it just came next."""


@runtime_checkable
class StatesStrangerRisk(Protocol):
    """Market section that may include isolated markets created by strangers."""

    stranger_risk: str
    """Explanation for the operator. Empty if no such market can be included."""
