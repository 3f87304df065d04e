"""A made-up Aave v3.6 market with as many borrowers as one likes."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from keeper.columns.block import Block, Side
from keeper.columns.table import Columns
from keeper.columns.view import View
from keeper.columns.words import Floats
from keeper.domain.units import (
    BPS,
    RAY,
    Address,
    BaseCurrency,
    Bps,
    MarketKey,
    Ray,
    Timestamp,
    TokenUnits,
)
from keeper.protocols.aave_v3.accounts import Role, new_columns
from keeper.protocols.aave_v3.model import (
    Category,
    Configuration,
    PoolState,
    PriceSource,
    Reserve,
    ReserveState,
    Structure,
)
from keeper.protocols.aave_v3.position import Clock
from keeper.protocols.aave_v3.rulebook import rules_of
from keeper.protocols.aave_v3.snapshot import AaveSnapshot
from keeper.synthetic.blocks import NOW, block_after, made_address
from keeper.synthetic.people import Counts, People, as_words, chosen, people, popularity, split_up

REVISION: Final = 10
BATCH: Final = 50_000
"""Accounts made at a time."""

USD: Final = 10**8


@dataclass(frozen=True, slots=True)
class Asset:
    """Generated reserve with dollars, decimals, threshold in bps, and its eMode (0 for none)."""

    symbol: str
    price: float
    decimals: int
    threshold: int
    category: int = 0


ASSETS: Final = (
    Asset("WETH", 3_400, 18, 8_300, 1),
    Asset("USDC", 1, 6, 7_800, 2),
    Asset("wstETH", 4_100, 18, 8_100, 1),
    Asset("USDT", 1, 6, 7_800, 2),
    Asset("WBTC", 97_000, 8, 7_800, 3),
    Asset("DAI", 1, 18, 7_700, 2),
    Asset("weETH", 3_600, 18, 7_750, 1),
    Asset("LINK", 18, 18, 7_100),
    Asset("cbBTC", 97_000, 8, 7_800, 3),
    Asset("AAVE", 240, 18, 7_300),
    Asset("rETH", 3_800, 18, 7_900, 1),
    Asset("sUSDe", 1.1, 18, 7_500, 2),
    Asset("ARB", 0.6, 18, 6_000),
    Asset("OP", 1.5, 18, 6_300),
    Asset("GHO", 1, 18, 7_500, 2),
    Asset("tBTC", 97_000, 18, 7_800, 3),
    Asset("EURC", 1.05, 6, 7_500),
    Asset("UNI", 9, 18, 7_000),
    Asset("LUSD", 1, 18, 7_500, 2),
    Asset("GNO", 220, 18, 6_500),
    Asset("CRV", 0.7, 18, 5_500),
    Asset("MKR", 1_500, 18, 7_000),
    Asset("SNX", 2, 18, 6_500),
    Asset("GUSD", 1, 2, 7_000, 2),
)
CATEGORIES: Final = {1: (9_500, 10_100), 2: (9_300, 10_200), 3: (8_800, 10_300)}
"""eModes (ether, dollars, bitcoin): threshold and bonus."""


@dataclass(frozen=True, slots=True)
class Universe:
    """Assets of a generated market, with its eModes (threshold and bonus) by number."""

    assets: tuple[Asset, ...] = ASSETS
    categories: Mapping[int, tuple[int, int]] = field(default_factory=lambda: CATEGORIES)


DOLLARS: Final = 2
LOYALTY: Final = 100.0
"""Weight of an eMode's own assets for its members."""
BORROWED_DOLLARS: Final = 4.0
"""Weight of dollar tokens as debt, relative to all others."""


@dataclass(slots=True, kw_only=True)
class AaveBook:
    """Market without a chain, with the adapter's own snapshots block after block."""

    columns: Columns
    snapshot: AaveSnapshot

    def after(
        self, seconds: int = 12, prices: Mapping[Address, BaseCurrency] | None = None
    ) -> AaveSnapshot:
        """Return the market a block later, with interest accrued and changed prices."""
        before, moved = self.snapshot, prices or {}
        reserves = {
            at: dataclasses.replace(one, price=moved.get(one.reserve.token, one.price))
            for at, one in before.pool.reserves.items()
        }
        self.snapshot = dataclasses.replace(
            before,
            head=block_after(before.head, seconds),
            pool=dataclasses.replace(before.pool, reserves=reserves),
            view=View(self.columns),
        )
        return self.snapshot


def aave_book(
    accounts: int,
    seed: int = 0,
    *,
    positions: int | None = None,
    universe: Universe | None = None,
) -> AaveBook:
    """Build a market with ``accounts`` borrowers (see ``keeper.synthetic.people``)."""
    listed = universe or Universe()
    random, columns = np.random.default_rng(seed), new_columns(stable_debt=False)
    pool = _build_pool(listed)
    columns.reserve(accounts)
    clock = Clock(pool, NOW)
    worth = _compute_unit_values(clock, listed)
    for start in range(0, accounts, BATCH):
        some = people(random, min(BATCH, accounts - start), positions)
        columns.put(some.address, _build_block(random, some, columns, worth, listed))
    head = block_after(None, 0)
    return AaveBook(
        columns=columns,
        snapshot=AaveSnapshot(head=head, pool=pool, view=View(columns), warnings=()),
    )


def _compute_unit_values(clock: Clock, listed: Universe) -> Floats:
    """Compute dollars per scaled unit of supply and of debt, by reserve."""
    indices = [clock.indices(at) for at in range(len(listed.assets))]
    units = [one.price / 10**one.decimals for one in listed.assets]
    return np.array(
        [
            (unit * supply / RAY, unit * debt / RAY)
            for unit, (supply, debt) in zip(units, indices, strict=True)
        ]
    ).T


def _build_block(
    random: np.random.Generator, some: People, columns: Columns, worth: Floats, listed: Universe
) -> Block:
    """Build the accounts with their intended health factors, to a few units."""
    category = np.where(some.looping, random.integers(1, len(listed.categories) + 1, len(some)), 0)
    backing = chosen(random, some.collaterals, _compute_collateral_weights(listed)[category])
    owed = chosen(random, some.debts, _compute_debt_weights(listed)[category])
    backer, ower = (np.repeat(np.arange(len(some)), one) for one in (some.collaterals, some.debts))
    value = split_up(random, some.collaterals, some.debt * some.health)
    supply = value / _compute_thresholds(listed)[category[backer], backing] / worth[0][backing]
    debt = split_up(random, some.debts, some.debt) / worth[1][owed]
    codes = _compute_codes(columns, listed)
    code = np.concatenate([codes[0, category[backer], backing], codes[1, category[ower], owed]])
    order = np.argsort(np.concatenate([backer, ower]), kind="stable")
    return Block(
        category=category.astype(np.uint16),
        count=(some.collaterals + some.debts).astype(np.uint16),
        code=code[order].astype(np.uint16),
        words=as_words(np.concatenate([supply, debt]))[order],
    )


def _compute_collateral_weights(listed: Universe) -> Floats:
    """Compute the frequency of each asset as collateral, by eMode and asset."""
    usual = popularity(len(listed.assets))
    return np.stack([usual * _select_members(each, listed) for each in (0, *listed.categories)])


def _compute_debt_weights(listed: Universe) -> Floats:
    """Compute the frequency of each asset as debt, by eMode and asset."""
    dollars = np.array([one.category == DOLLARS for one in listed.assets])
    usual = popularity(len(listed.assets))
    usual[dollars] *= BORROWED_DOLLARS * usual[~dollars].sum() / usual[dollars].sum()
    return np.stack([usual * _select_members(each, listed) for each in (0, *listed.categories)])


def _select_members(category: int, listed: Universe) -> Floats:
    inside = np.array([category == one.category for one in listed.assets])
    return np.where(inside & bool(category), LOYALTY, 1.0)


def _compute_thresholds(listed: Universe) -> Floats:
    """Compute liquidation thresholds by eMode and asset, 1.0 for the full value."""
    rows = [[one.threshold for one in listed.assets]]
    for category, (threshold, _) in listed.categories.items():
        rows.append([threshold if a.category == category else a.threshold for a in listed.assets])
    return np.array(rows) / BPS


def _compute_codes(columns: Columns, listed: Universe) -> Counts:
    """Compute the codes of collateral and of debt, by eMode and asset."""
    return np.array(
        [
            [
                [columns.codes.code((each, at, role), side) for at in range(len(listed.assets))]
                for each in (0, *listed.categories)
            ]
            for role, side in ((Role.COLLATERAL, Side.BACKS), (Role.DEBT, Side.OWED))
        ]
    )


def _build_pool(listed: Universe) -> PoolState:
    reserves = {at: _reserve(at, one) for at, one in enumerate(listed.assets)}
    rules, supported = rules_of(REVISION)
    structure = Structure(
        key=MarketKey("aave_v3:synthetic"),
        provider=made_address("provider", 0),
        pool=made_address("pool", 0),
        oracle=made_address("oracle", 0),
        configurator=made_address("configurator", 0),
        data_provider=made_address("data provider", 0),
        sentinel=None,
        revision=REVISION,
        rules=rules,
        supported=supported,
        base_unit=BaseCurrency(USD),
        reserves=tuple(one.reserve for one in reserves.values()),
        categories=tuple(listed.categories),
        category_sources={},
        flash_flag=True,
    )
    return PoolState(
        structure=structure,
        reserves=reserves,
        categories={each: _build_category(each, listed) for each in listed.categories},
        liquidations_allowed=True,
        flash_premium=Bps(5),
    )


def _build_category(identity: int, listed: Universe) -> Category:
    threshold, bonus = listed.categories[identity]
    inside = sum(1 << at for at, one in enumerate(listed.assets) if one.category == identity)
    return Category(
        identity=identity,
        ltv=Bps(threshold - 200),
        liquidation_threshold=Bps(threshold),
        liquidation_bonus=Bps(bonus),
        collateral=inside,
        borrowable=inside,
    )


def _reserve(at: int, asset: Asset) -> ReserveState:
    word = asset.threshold - 300 | asset.threshold << 16 | 10_500 << 32 | asset.decimals << 48
    word |= 1 << 56 | 1 << 58 | 1 << 63 | 1_000 << 152
    return ReserveState(
        reserve=Reserve(
            identity=at,
            token=made_address("token", at),
            symbol=asset.symbol,
            a_token=made_address("aToken", at),
            variable_token=made_address("debt token", at),
            stable_token=None,
            price_source=PriceSource(source=made_address("feed", at)),
        ),
        configuration=Configuration(word),
        liquidity_index=Ray(RAY + at * RAY // 200),
        liquidity_rate=Ray(RAY * (1 + at % 5) // 100),
        variable_index=Ray(RAY + at * RAY // 100),
        variable_rate=Ray(RAY * (3 + at % 7) // 100),
        last_update=Timestamp(NOW - 600 * (1 + at % 4)),
        price=BaseCurrency(round(asset.price * USD)),
        grace_until=Timestamp(0),
        available=TokenUnits(round(50_000_000 / asset.price) * 10**asset.decimals),
    )
