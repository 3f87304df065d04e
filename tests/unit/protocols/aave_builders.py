"""Builders of market facts, each with one changed detail."""

import dataclasses

from keeper.columns.view import View
from keeper.columns.words import packed
from keeper.domain.head import Head
from keeper.domain.opportunity import Window
from keeper.domain.units import RAY, UINT256_MAX
from keeper.protocols.aave_v3.accounts import encoded, filled
from keeper.protocols.aave_v3.model import (
    Account,
    Category,
    Configuration,
    Holding,
    PoolState,
    PriceSource,
    Reserve,
    ReserveState,
    Structure,
)
from keeper.protocols.aave_v3.rulebook import rules_of
from keeper.protocols.aave_v3.snapshot import AaveSnapshot

NOW = 1_800_000_000
WINDOW = Window(earliest=NOW + 12, deadline=NOW + 60)
BORROWER = "0x1000000000000000000000000000000000000001"
WETH, USDC = 0, 1


def address(number):
    return "0x" + f"{number:040x}"


def configuration(
    *,
    threshold=8_000,
    bonus=10_500,
    decimals=18,
    fee=1_000,
    active=True,
    paused=False,
    flash=True,
    category=0,
):
    word = 7_500 | threshold << 16 | bonus << 32 | decimals << 48 | active << 56
    word |= paused << 60 | flash << 63 | fee << 152 | category << 168
    return Configuration(word)


def reserve_state(identity, symbol, *, price, **changes):
    decimals = changes.pop("decimals", 18)
    settings = changes.pop("settings", {})
    reserve = Reserve(
        identity=identity,
        token=address(100 + identity),
        symbol=symbol,
        a_token=address(200 + identity),
        variable_token=address(300 + identity),
        stable_token=None,
        price_source=PriceSource(source=address(400 + identity)),
    )
    facts = {
        "reserve": reserve,
        "configuration": configuration(decimals=decimals, **settings),
        "liquidity_index": RAY,
        "liquidity_rate": 2 * RAY // 100,
        "variable_index": RAY,
        "variable_rate": 5 * RAY // 100,
        "last_update": NOW,
        "price": price,
        "grace_until": 0,
        "available": 10**30,
    }
    return ReserveState(**facts | changes)


def structure(revision=10, reserves=()):
    return Structure(
        key="aave_v3:test",
        provider=address(1),
        pool=address(2),
        oracle=address(3),
        configurator=address(4),
        data_provider=address(5),
        sentinel=None,
        revision=revision,
        rules=rules_of(revision)[0],
        supported=rules_of(revision)[1],
        base_unit=10**8,
        reserves=tuple(state.reserve for state in reserves),
        categories=(),
        category_sources={},
        flash_flag=True,
    )


def pool(revision=10, *, weth=None, usdc=None, categories=(), allowed=True):
    states = [
        reserve_state(WETH, "WETH", **({"price": 2_000 * 10**8} | (weth or {}))),
        reserve_state(USDC, "USDC", **({"price": 10**8, "decimals": 6} | (usdc or {}))),
    ]
    return PoolState(
        structure=structure(revision, states),
        reserves={state.reserve.identity: state for state in states},
        categories={category.identity: category for category in categories},
        liquidations_allowed=allowed,
        flash_premium=5,
    )


def account(*, weth=10 * 10**18, usdc=17_000 * 10**6, category=0):
    """A borrower with WETH as collateral and USDC as debt."""
    flags = 0b10 | 0b01 << 2
    return Account(flags, category, {WETH: Holding(weth, 0), USDC: Holding(0, usdc)})


def snapshot(state=None, **borrowers):
    kept = borrowers or {BORROWER: account()}
    head = Head(
        number=1,
        hash="0x" + "11" * 32,
        parent_hash="0x" + "10" * 32,
        timestamp=NOW,
        base_fee=10**9,
        gas_limit=30_000_000,
        gas_used=0,
    )
    return AaveSnapshot(head=head, pool=state or pool(), view=View(filled(kept)), warnings=())


def emode(identity=1, *, collateral=0b1, threshold=9_500, bonus=10_100, **changes):
    return dataclasses.replace(
        Category(
            identity=identity,
            ltv=9_300,
            liquidation_threshold=threshold,
            liquidation_bonus=bonus,
            collateral=collateral,
        ),
        **changes,
    )


EVERYTHING = UINT256_MAX


def write(market, accounts):
    """Store accounts in a market's columns as a read does."""
    market.columns.put(packed(list(accounts)), encoded(accounts.values(), market.columns))
