"""
What a snapshot, a market or a book may be able to do beyond its port.

Each of these is optional: whoever asks checks for it, and does without.
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
    """
    A snapshot that can be held against the contracts' own answer at its block.

    The calls go into an aggregate after every other read, since they may change what is
    stored (interest accrued for the length of the read); a snapshot of an earlier block of
    the same market may name them.
    """

    def everyone(self) -> Sequence[Address]:
        """Return every account that is followed, with or without debt."""
        ...

    def is_auditable(self, account: Address) -> bool:
        """Whether there is something to compare: the account is valued here."""
        ...

    def audit_calls(self, account: Address) -> Sequence[Call]:
        """Return what the contracts are asked about an account; the same number for all."""
        ...

    def audited(
        self, account: Address, results: Sequence[CallResult]
    ) -> Sequence[Difference] | None:
        """Return what differs from the answers; None where nothing can be compared."""
        ...


@runtime_checkable
class BoundsBonus(Protocol):
    """A snapshot that knows what an account can earn at most, without a look at its pairs."""

    def bonus_at_most(
        self, health: AccountHealth, window: Window
    ) -> tuple[BaseCurrency, Gas] | None:
        """
        Return no less than any opportunity's bonus, and no more than any one's gas.

        None where there is no such bound.
        """
        ...


@runtime_checkable
class Resyncs(Protocol):
    """A market that reads an account again when it is told to."""

    def resync(self, market: MarketKey, account: Address) -> None:
        """Read the whole account with the next block's calls."""
        ...


@runtime_checkable
class KeepsColumns(Protocol):
    """
    A market whose accounts can be kept on disk, as named arrays, and taken up again.

    The names of arrays that hold addresses, twenty bytes a row, end in ``address``.
    """

    def array_form(self) -> str:
        """
        Return what the arrays depend on (their layout, the contracts), after ``discover``.

        Its first line says whose accounts they are. Where that begins with a number, it is the
        block from which on those who borrowed are known.
        """
        ...

    def is_settled(self) -> bool:
        """Whether everything that was noted has been read."""
        ...

    def to_arrays(self) -> Mapping[str, NDArray[Any]]:
        """Return every account."""
        ...

    def from_arrays(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Take up what ``to_arrays`` returned under the same form, instead of ``load``."""
        ...

    def changed(self) -> Mapping[str, NDArray[Any]]:
        """Return the accounts that the last ``apply`` wrote; nothing when asked again."""
        ...

    def merge(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Put what ``changed`` returned on top of what there is."""
        ...


@runtime_checkable
class HasOrigin(Protocol):
    """A market that says with which contract's creation its history begins."""

    async def origin(self, head: Head) -> Origin:
        """
        Return the contract and the log of its creation; may be asked before ``discover``.

        Raises:
            ConfigError: there is no such market at the address.
        """
        ...


@runtime_checkable
class KeepsStructure(Protocol):
    """A market whose structure can be kept on disk and taken up instead of ``discover``."""

    def freeze_structure(self) -> Callable[[], str]:
        """Return what makes canonical JSON of the structure as it is now, in any thread."""
        ...

    def restore_structure(self, facts: str) -> None:
        """
        Take up what ``freeze_structure`` of the same program made.

        Raises:
            ValueError: these are not such facts, or of another market.
        """
        ...


@runtime_checkable
class KeepsFacts(Protocol):
    """A venue whose facts of the chain can be kept on disk: those that never change."""

    async def learn_facts(self, basis: Basis) -> None:
        """Read the facts that are not known yet."""
        ...

    def chain_facts(self) -> str:
        """Return the facts as canonical JSON; empty while some are not known."""
        ...

    def restore_facts(self, facts: str, head: Head) -> None:
        """
        Take up kept facts of the chain of ``head``.

        Raises:
            ValueError: these are no such facts.
        """
        ...


@runtime_checkable
class KeepsItself(Protocol):
    """A book that is kept on disk as it goes."""

    def keep(self) -> None:
        """Begin to write the state after the newest block; returns at once."""
        ...


@runtime_checkable
class ReportsRebuilds(Protocol):
    """A book that says when it had to read a market anew."""

    def rebuild_news(self) -> Sequence[tuple[MarketKey, str]]:
        """Return which markets, and why, since this was asked last."""
        ...


@runtime_checkable
class ReportsParity(Protocol):
    """A book that is held against the contracts as it goes."""

    def parity_news(self) -> Sequence[ParityNews]:
        """Return what was found since this was asked last."""
        ...


@runtime_checkable
class WeighsLegs(Protocol):
    """A snapshot that says how much each token of an account counts, for what-if questions."""

    def exposure(self, account: Address) -> Exposure | None:
        """Return the account's legs with their weights; None where it is not valued."""
        ...


@runtime_checkable
class WeighsMany(Protocol):
    """A snapshot that gives many accounts' legs at once for less than each of them singly."""

    def exposures(self, accounts: Sequence[Address]) -> Iterator[tuple[Address, Exposure]]:
        """Yield ``exposure`` of each of the accounts that is valued."""
        ...


@runtime_checkable
class Tabulates(Protocol):
    """A snapshot that gives everybody's legs at once, for what-if questions about a market."""

    def tabulated(self) -> Tabulated:
        """Return the accounts with debt as columns: ``exposure`` of all of them."""
        ...


@runtime_checkable
class ScreensBelow(Protocol):
    """A snapshot that finds who is below a health factor without valuing everybody exactly."""

    def below(self, health_factor: Wad) -> Sequence[AccountHealth]:
        """
        Return every account with less than this health factor, or liquidatable, worst first.

        Exact, as ``accounts`` is; an account that cannot be valued is among them.
        """
        ...


@runtime_checkable
class CountsTiers(Protocol):
    """A snapshot that counts its accounts without valuing everybody exactly."""

    def tiers(self, thresholds: Thresholds) -> Mapping[Tier, int]:
        """
        Return how many accounts with debt are in each tier.

        Who is liquidatable and who cannot be valued is exact; of the others floats may count.
        """
        ...


@runtime_checkable
class Advises(Protocol):
    """A snapshot that knows what would cure an account."""

    def advice(self, account: Address, target: Wad, holds_until: Timestamp) -> Advice | None:
        """
        Return what brings the account to ``target`` at ``holds_until``; None if it owes nothing.

        Exact: applied on the contracts in a block of that time the amount reaches the target, and
        one unit less does not. A time before the snapshot's block counts as the block's. What
        cannot be valued has an advice without cures, and the reason among the impossible.
        """
        ...


@runtime_checkable
class HasDoubts(Protocol):
    """A snapshot of which some accounts must not be acted upon."""

    @property
    def doubts(self) -> Mapping[Address, str]:
        """The accounts in doubt, with why."""
        ...


@runtime_checkable
class TakesCures(Advises, Protocol):
    """A snapshot that can have its cures done by the vault."""

    def cure_step(self, account: Address, cure: Cure) -> CureStep:
        """Return a cure in the vault's words."""
        ...


@runtime_checkable
class TakesClears(Protocol):
    """A snapshot whose unhealthy accounts the vault can liquidate with its own money."""

    @property
    def market(self) -> MarketKey:
        """The market."""
        ...

    @property
    def prices(self) -> Mapping[Address, TokenPrice]:
        """What its tokens are worth: any of them may be the collateral."""
        ...

    @property
    def clear_place(self) -> bytes:
        """The pool or market as the vault's owner opens it."""
        ...

    @property
    def loss_unit(self) -> tuple[str, int]:
        """What the vault counts a loss in here, for people, and its decimals."""
        ...

    def clear_step(self, account: Address) -> ClearStep | None:
        """Return an account's clearing in the vault's words; None where no dollar is stated."""
        ...

    def balances(self, account: Address) -> tuple[tuple[Balance, ...], tuple[Balance, ...]]:
        """Return what backs the account's debt, and what it owes."""
        ...


@runtime_checkable
class StatesReadings(Protocol):
    """A snapshot that says what its prices rest on, so that they can be doubted."""

    def readings(self) -> Sequence[Reading]:
        """Return each price with what its source states of it, all in one unit."""
        ...


@runtime_checkable
class NamesLiquidated(Protocol):
    """A market whose logs say who was liquidated."""

    @property
    def liquidation_filter(self) -> LogFilter:
        """The logs that say so."""
        ...

    def liquidated(self, logs: Sequence[Log]) -> frozenset[Subject]:
        """Return whom these logs say was liquidated, in the markets' own keys."""
        ...


@runtime_checkable
class RemembersLogs(Protocol):
    """A book that has the logs of the newest blocks by itself."""

    def remembered(
        self, market: MarketKey, wanted: LogFilter, first: int, tip: BlockHash
    ) -> Sequence[Log] | None:
        """
        Return a deployment's wanted logs from block ``first`` to ``tip``, both ends included.

        None where it does not know all of them, or the newest block is another one.
        """
        ...


class Rider(Protocol):
    """Whoever has reads of its own that go along with a block's, and cost no request."""

    def calls(self, head: Head) -> Sequence[Call]:
        """Return what is to be read at a block."""
        ...

    def apply(self, head: Head, results: Sequence[CallResult]) -> None:
        """Take the answers to ``calls(head)``, in their order; some of them may have failed."""
        ...


@runtime_checkable
class NamesFork(Protocol):
    """A book that says whether its newest head took blocks back."""

    fork: int | None
    """The newest block in common with what was followed before; None where it just came next."""
