"""Builds the calls that bring a market to a block, and decodes their results. No I/O."""

from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Final, NamedTuple

from keeper.chain.abi import decoded, signed_word, word
from keeper.chain.asking import Answers, ask
from keeper.domain.errors import MarketUnreadable
from keeper.domain.oracle import Round
from keeper.domain.reads import Call, CallResult
from keeper.domain.units import (
    Address,
    BaseCurrency,
    Bps,
    Ray,
    Timestamp,
    TokenUnits,
)
from keeper.protocols.aave_v3.discovery import LEGACY_CATEGORY
from keeper.protocols.aave_v3.model import (
    Account,
    Category,
    Configuration,
    Holding,
    PoolState,
    Reserve,
    ReserveState,
    Structure,
)

ALWAYS_VIRTUAL_FROM: Final = 8
"""The revision (3.4) from which every reserve's underlying is counted by the pool."""

RESERVE_WORDS: Final = 15
TREASURY_WORD: Final = 12
UPDATED_AT_WORD: Final = 3
MOST_CATEGORIES: Final = 255
ROUND_WORDS: Final = 5
UNTOLD: Final = Round(round_id=0, answer=1, updated_at=Timestamp(0), answered_in=0)
"""What stands for the round of a feed that does not answer: it is not complete."""
NEVER: Final = 2**40
"""A grace period that could not be read has not ended."""


class StructureRead(NamedTuple):
    """The part of a structure that every block reads (tokens, revision, oracle)."""

    tokens: tuple[str, ...]
    revision: int
    oracle: Address


def pool_calls(structure: Structure) -> list[Call]:
    """Return the reads of everything but accounts."""
    calls = [
        call for reserve in structure.reserves for call in _build_reserve_calls(structure, reserve)
    ]
    for category in structure.categories:
        calls += _build_category_calls(structure, category)
    if structure.sentinel is not None:
        calls.append(ask(structure.sentinel, "isLiquidationAllowed()"))
    calls.append(ask(structure.pool, "FLASHLOAN_PREMIUM_TOTAL()"))
    return calls


def pool_state(structure: Structure, answers: Answers) -> PoolState:
    """Decode the market from the results of its pool calls. MarketUnreadable if invalid."""
    reserves = {
        r.identity: _decode_reserve_state(structure, r, answers) for r in structure.reserves
    }
    categories = {at: _decode_category(structure, at, answers) for at in structure.categories}
    allowed = structure.sentinel is None or answers.maybe_integer() == 1  # mutation: F27 sentinel
    premium = answers.integer("the pool's FLASHLOAN_PREMIUM_TOTAL")
    return PoolState(
        structure=structure,
        reserves=reserves,
        categories=categories,
        liquidations_allowed=allowed,
        flash_premium=Bps(premium),
    )


def structure_calls(structure: Structure) -> list[Call]:
    """Return the reads that reveal a changed structure, independent of logs."""
    return [
        ask(structure.pool, "getReservesList()"),
        ask(structure.pool, "POOL_REVISION()"),
        ask(structure.provider, "getPriceOracle()"),
    ]


def structure_read(structure: Structure, answers: Answers) -> StructureRead | None:
    """Decode the structure calls if they differ from the structure. None if equal."""
    listed, revision, oracle = answers.next(), answers.maybe_integer(), answers.maybe_address()
    own = StructureRead(
        tuple(reserve.token.lower() for reserve in structure.reserves),
        structure.revision,
        structure.oracle,
    )
    tokens = own.tokens
    if listed.success:
        tokens = _decode_reserve_list(listed.data)
    stated = StructureRead(
        tokens,
        own.revision if revision is None else revision,
        own.oracle if oracle is None else oracle,
    )
    return None if stated == own else stated


@lru_cache(maxsize=64)
def _decode_reserve_list(answer: bytes) -> tuple[str, ...]:
    """Decode the list of reserves. Cached, since the bytes rarely change between blocks."""
    return tuple(decoded(("address[]",), answer, "the pool's list of reserves")[0])


def _build_reserve_calls(structure: Structure, reserve: Reserve) -> list[Call]:
    pool, token = structure.pool, reserve.token
    calls = [
        ask(pool, "getReserveData(address)", token),
        ask(structure.oracle, "getAssetPrice(address)", token),
        ask(token, "balanceOf(address)", reserve.a_token),
        ask(reserve.a_token, "scaledTotalSupply()"),
        ask(reserve.variable_token, "scaledTotalSupply()"),
    ]
    if structure.rules.grace_periods:
        calls.append(ask(pool, "getLiquidationGracePeriod(address)", token))
    if structure.rules.virtual_balance:
        calls.append(ask(pool, "getVirtualUnderlyingBalance(address)", token))
    if reserve.price_source.feed is not None:
        calls.append(ask(reserve.price_source.feed, "latestRoundData()"))
    return calls


def _decode_reserve_state(structure: Structure, reserve: Reserve, answers: Answers) -> ReserveState:
    data = answers.data(f"getReserveData of {reserve.symbol}")
    if len(data) < RESERVE_WORDS * 32:
        raise MarketUnreadable(f"getReserveData of {reserve.symbol} is too short")
    price, available = answers.maybe_integer(), answers.maybe_integer() or 0
    scaled_supply, scaled_debt = answers.maybe_integer(), answers.maybe_integer()
    configuration = Configuration(word(data, 0))
    grace = answers.maybe_integer() if structure.rules.grace_periods else 0
    if structure.rules.virtual_balance:
        counted = answers.maybe_integer() or 0
        if structure.revision >= ALWAYS_VIRTUAL_FROM or configuration.virtual_accounting:
            available = min(available, counted)
    stated = _decode_round(answers.next()) if reserve.price_source.feed is not None else None
    return ReserveState(
        reserve=reserve,
        configuration=configuration,
        liquidity_index=Ray(word(data, 1)),
        liquidity_rate=Ray(word(data, 2)),
        variable_index=Ray(word(data, 3)),
        variable_rate=Ray(word(data, 4)),
        last_update=Timestamp(word(data, 6)),
        price=None if price is None else BaseCurrency(price),
        grace_until=Timestamp(NEVER if grace is None else grace),
        available=TokenUnits(available),
        round=stated,
        scaled_supply=scaled_supply,
        scaled_debt=scaled_debt,
        accrued_to_treasury=word(data, TREASURY_WORD),
    )


def _decode_round(answer: CallResult) -> Round:
    """Decode ``latestRoundData``. ``UNTOLD`` if it does not have that shape."""
    if not answer.success or len(answer.data) < ROUND_WORDS * 32:
        return UNTOLD
    return Round(
        round_id=word(answer.data, 0),
        answer=signed_word(answer.data, 1),
        updated_at=Timestamp(word(answer.data, UPDATED_AT_WORD)),
        answered_in=word(answer.data, ROUND_WORDS - 1),
    )


def _build_category_calls(structure: Structure, category: int) -> list[Call]:
    pool = structure.pool
    if structure.rules.emode_bitmaps:
        return [
            ask(pool, "getEModeCategoryCollateralConfig(uint8)", category),
            ask(pool, "getEModeCategoryCollateralBitmap(uint8)", category),
            ask(pool, "getEModeCategoryBorrowableBitmap(uint8)", category),
            ask(pool, "getEModeCategoryLtvzeroBitmap(uint8)", category),
        ]
    calls = [ask(pool, "getEModeCategoryData(uint8)", category)]
    source = structure.category_sources.get(category)
    if source is not None:
        calls.append(ask(structure.oracle, "getAssetPrice(address)", source))
    return calls


def _decode_category(structure: Structure, category: int, answers: Answers) -> Category:
    what = f"eMode {category}"
    data = answers.data(what)
    if not structure.rules.emode_bitmaps:
        ltv, threshold, bonus = decoded(LEGACY_CATEGORY, data, what)[0][:3]
        has_price = category in structure.category_sources
        price = answers.maybe_integer() if has_price else None
        return Category(
            identity=category,
            ltv=Bps(ltv),
            liquidation_threshold=Bps(threshold),
            liquidation_bonus=Bps(bonus),
            has_price=has_price,
            price=None if price is None else BaseCurrency(price),
        )
    return Category(
        identity=category,
        ltv=Bps(word(data, 0)),
        liquidation_threshold=Bps(word(data, 1)),
        liquidation_bonus=Bps(word(data, 2)),
        collateral=answers.integer(what),
        borrowable=answers.maybe_integer() or 0,
        ltv_zero=answers.maybe_integer() or 0,
    )


def account_calls(structure: Structure, account: Address) -> list[Call]:
    """Return the reads of an account's flags and eMode."""
    pool = structure.pool
    return [
        ask(pool, "getUserConfiguration(address)", account),
        ask(pool, "getUserEMode(address)", account),
    ]


def holding_calls(structure: Structure, account: Address, reserves: Collection[int]) -> list[Call]:
    """Return the reads of an account's balances in these reserves, in the structure's order."""
    calls = list[Call]()
    for reserve in structure.reserves:
        if reserve.identity not in reserves:
            continue
        calls.append(ask(reserve.a_token, "scaledBalanceOf(address)", account))
        calls.append(ask(reserve.variable_token, "scaledBalanceOf(address)", account))
        if reserve.stable_token is not None:
            stable = reserve.stable_token
            calls.append(ask(stable, "principalBalanceOf(address)", account))
            calls.append(ask(stable, "getUserStableRate(address)", account))
            calls.append(ask(stable, "getUserLastUpdated(address)", account))
    return calls


def flags_of(answers: Answers) -> tuple[int, int]:
    """Decode the flags and the eMode from the results of the account calls."""
    flags, category = answers.integer("getUserConfiguration"), answers.integer("getUserEMode")
    if category > MOST_CATEGORIES:
        raise MarketUnreadable(f"getUserEMode answers {category}, and an eMode is one byte")
    return flags, category


def holdings_of(
    structure: Structure, reserves: Collection[int], answers: Answers
) -> dict[int, Holding]:
    """Decode the balances from the results of the holding calls."""
    found = dict[int, Holding]()
    for reserve in structure.reserves:
        if reserve.identity not in reserves:
            continue
        supply = answers.integer(f"the aToken of {reserve.symbol}")
        debt = answers.integer(f"the debt token of {reserve.symbol}")
        stable = [0, 0, 0]
        if reserve.stable_token is not None:
            what = f"the stable debt token of {reserve.symbol}"
            stable = [answers.integer(what) for _ in range(3)]
        found[reserve.identity] = Holding(supply, debt, *stable)
    return found


def account_of(
    flags: tuple[int, int], holdings: Mapping[int, Holding], structure: Structure
) -> tuple[Account, bool]:
    """Return an account with its flagged reserves, and whether all of them have been read."""
    known = {reserve.identity for reserve in structure.reserves}
    account = Account(*flags, {})
    used = [at for at in account.flagged() if at in known]
    kept = {at: holdings[at] for at in used if at in holdings}
    return Account(*flags, kept), len(kept) == len(used)
