"""Simulated market over a price path's assets, with accounts that change by liquidations."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256
from typing import Final

from keeper.columns.view import View
from keeper.columns.words import packed
from keeper.domain.account import AccountHealth
from keeper.domain.head import Head
from keeper.domain.plan import Plan
from keeper.domain.units import (
    RAY,
    USD_E8,
    Address,
    BlockHash,
    Gas,
    Timestamp,
    Wei,
    mul_div_ceil,
)
from keeper.protocols.aave_v3 import rules
from keeper.protocols.aave_v3.accounts import encoded
from keeper.protocols.aave_v3.model import Account, Holding, PoolState
from keeper.protocols.aave_v3.position import Clock
from keeper.protocols.aave_v3.snapshot import AaveSnapshot
from keeper.rehearse.depth import Asset as Pool
from keeper.rehearse.depth import VirtualVenue
from keeper.rehearse.prices import Moment, Prices
from keeper.synthetic.aave import AaveBook, Asset, Universe, aave_book
from keeper.synthetic.blocks import made_address

DOLLAR: Final = "USDC"
NATIVE: Final = "WETH"
EMODES: Final = {1: (9_300, 10_100), 2: (9_500, 10_100)}
"""Threshold and bonus in bps of the eModes for ether and dollars."""


@dataclass(frozen=True, slots=True)
class Terms:
    """An asset's market parameters, and the depth of its pool in dollars."""

    decimals: int
    threshold: int
    category: int
    depth_usd: int


TERMS: Final[Mapping[str, Terms]] = {
    "WETH": Terms(18, 8_250, 1, 60_000_000),
    "USDC": Terms(6, 8_500, 2, 0),
    "WBTC": Terms(8, 7_500, 0, 40_000_000),
    "DAI": Terms(18, 8_000, 2, 60_000_000),
    "stETH": Terms(18, 7_500, 1, 40_000_000),
    "USDT": Terms(6, 8_000, 2, 60_000_000),
    "LINK": Terms(18, 7_500, 0, 5_000_000),
    "UNI": Terms(18, 7_000, 0, 3_000_000),
}
"""The supported assets, most used first. Others of a path are ignored."""


@dataclass(frozen=True)
class Narrowed(AaveSnapshot):
    """Snapshot that offers only some liquidatable accounts for planning.

    ``known`` are the decoded accounts of the columns of ``whole``.
    """

    whole: AaveSnapshot
    known: Mapping[Address, Account]
    asked: Sequence[AccountHealth]

    @cached_property
    def clock(self) -> Clock:
        """The whole snapshot's clock."""
        return self.whole.clock

    def kept(self, account: Address) -> Account | None:
        """Return one account."""
        return self.known.get(account)

    def liquidatable(self) -> Sequence[AccountHealth]:
        """Return the selected accounts."""
        return self.asked


@dataclass(frozen=True, slots=True, kw_only=True)
class Seized:
    """Effect of a liquidation on an account. Dollars in 1e-8."""

    before: Account
    bad_debt_usd_e8: int


@dataclass(slots=True, kw_only=True)
class World:
    """The market, its pools, and its accounts in the order of the columns' rows."""

    book: AaveBook
    venue: VirtualVenue
    tokens: Mapping[str, Address]
    accounts: dict[Address, Account]

    def clock(self, prices: Prices, when: Timestamp) -> Clock:
        """Return the market's prices and indices at a time, for accounts that are not in it."""
        return Clock(self._build_pool(prices), when)

    def _build_pool(self, prices: Prices) -> PoolState:
        pool = self.book.snapshot.pool
        by_token = {self.tokens[one]: prices[one] for one in self.tokens}
        reserves = {
            at: replace(one, price=by_token[one.reserve.token]) for at, one in pool.reserves.items()
        }
        return replace(pool, reserves=reserves)

    def at(self, moment: Moment, parent: Head | None) -> AaveSnapshot:
        """Return the market at a block, and advance the pools to its prices."""
        prices = {token: moment.prices[symbol] for symbol, token in self.tokens.items()}
        self.venue.moved(prices, moment.timestamp)
        self.book.snapshot = AaveSnapshot(
            head=head_of(moment, parent),
            pool=self._build_pool(moment.prices),
            view=View(self.book.columns),
            warnings=(),
        )
        return self.book.snapshot

    def liquidated(self, plan: Plan, snapshot: AaveSnapshot) -> Seized:
        """Apply a plan to an account by the pool's own rules, and write off bad debt.

        The columns are updated by ``keep``.
        """
        clock = snapshot.clock
        account = self.accounts[plan.account]
        position, places = clock.position(account), self._index_reserves(snapshot)
        debt, collateral = places[plan.spend_token], places[plan.receive_token]
        pair = clock.pair(account, position, debt, collateral)
        done = rules.liquidation(pair, plan.spend, snapshot.pool.structure.rules)
        supply_index, debt_index = clock.indices(collateral)[0], clock.indices(debt)[1]
        holdings = dict(account.holdings)
        holdings[collateral] = _reduce_supply(holdings[collateral], done.seized, supply_index)
        holdings[debt] = _reduce_debt(holdings[debt], done.repaid, debt_index)
        after = _update_flags(account, holdings)
        left = clock.position(after)
        bad = 0
        if left.data.debt and not left.data.collateral:
            bad = left.data.debt
            after = Account(0, account.category, {})
        self.accounts[plan.account] = after
        return Seized(before=account, bad_debt_usd_e8=bad)

    def keep(self, addresses: Sequence[Address]) -> None:
        """Write these accounts to the current columns. Each occurs once."""
        columns = self.book.columns
        if addresses:
            accounts = [self.accounts[one] for one in addresses]
            columns.put(packed(addresses), encoded(accounts, columns))

    @staticmethod
    def _index_reserves(snapshot: AaveSnapshot) -> Mapping[Address, int]:
        return {one.reserve.token: at for at, one in snapshot.pool.reserves.items()}


def made(accounts: int, seed: int, first: Moment) -> World:
    """Build a market of random borrowers at the first block's prices."""
    symbols = [one for one in TERMS if one in first.prices]
    listed = tuple(_build_asset(one, first.prices) for one in symbols)
    book = aave_book(accounts, seed, universe=Universe(assets=listed, categories=EMODES))
    _start_interest(book, first.timestamp)
    tokens = {
        symbol: book.snapshot.pool.reserves[at].reserve.token for at, symbol in enumerate(symbols)
    }
    pools = {
        tokens[one]: Pool(
            token=tokens[one],
            decimals=TERMS[one].decimals,
            depth_usd=TERMS[one].depth_usd,
            pool=made_address("exchange pool", at),
        )
        for at, one in enumerate(symbols)
    }
    return World(
        book=book,
        venue=VirtualVenue(assets=pools, dollar=tokens[DOLLAR]),
        tokens=tokens,
        accounts=dict(book.snapshot.borrowers),
    )


def head_of(moment: Moment, parent: Head | None) -> Head:
    """Return a virtual block's head. Its hash covers the prices."""
    said = f"{moment.number} {moment.timestamp} {sorted(moment.prices.items())}"
    return Head(
        number=moment.number,
        hash=BlockHash("0x" + sha256(said.encode()).hexdigest()),
        parent_hash=BlockHash("0x" + "0" * 64) if parent is None else parent.hash,
        timestamp=moment.timestamp,
        base_fee=Wei(0),
        gas_limit=Gas(36_000_000),
        gas_used=Gas(18_000_000),
    )


def _build_asset(symbol: str, prices: Prices) -> Asset:
    terms = TERMS[symbol]
    dollars = prices[symbol] / USD_E8
    return Asset(symbol, dollars, terms.decimals, terms.threshold, terms.category)


def _start_interest(book: AaveBook, when: Timestamp) -> None:
    """Start the market's interest at a time."""
    before = book.snapshot
    reserves = {at: replace(one, last_update=when) for at, one in before.pool.reserves.items()}
    book.snapshot = replace(before, pool=replace(before.pool, reserves=reserves))


def _reduce_supply(held: Holding, amount: int, index: int) -> Holding:
    burnt = mul_div_ceil(amount, RAY, index)
    return replace(held, scaled_supply=max(0, held.scaled_supply - burnt))


def _reduce_debt(held: Holding, amount: int, index: int) -> Holding:
    return replace(held, scaled_debt=max(0, held.scaled_debt - amount * RAY // index))


def _update_flags(account: Account, holdings: Mapping[int, Holding]) -> Account:
    """Return the account with flags that match its balances."""
    flags = account.flags
    for at, held in holdings.items():
        if not held.scaled_debt:
            flags &= ~(1 << 2 * at)
        if not held.scaled_supply:
            flags &= ~(1 << (2 * at + 1))
    used = {at: held for at, held in holdings.items() if flags >> 2 * at & 3}
    return Account(flags, account.category, used)
