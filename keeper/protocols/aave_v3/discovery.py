"""Discovers a market's structure from its PoolAddressesProvider alone."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Final

from keeper.chain.abi import WORD, address_at, decoded, topic, word
from keeper.chain.asking import Answers, ask, symbol_of
from keeper.domain.errors import ConfigError, MarketUnreadable, RpcMalformed
from keeper.domain.head import Basis
from keeper.domain.reads import CallResult, LogFilter, Origin
from keeper.domain.units import Address, BaseCurrency, MarketKey
from keeper.ports import ChainReader
from keeper.protocols.aave_v3.model import ZERO_ADDRESS, PriceSource, Reserve, Structure
from keeper.protocols.aave_v3.rulebook import Rules, rules_of
from keeper.protocols.aave_v3.sources import price_sources

PROXY_CREATED: Final = topic("ProxyCreated(bytes32,address,address)")
CATEGORIES: Final = range(1, 256)

ID_WORD, A_TOKEN_WORD, STABLE_WORD, VARIABLE_WORD = 7, 8, 9, 10
"""Words of ``Pool.getReserveData``, the same in every version (``ReserveDataLegacy``)."""

LEGACY_CATEGORY: Final = ("(uint16,uint16,uint16,address,string)",)
"""``DataTypes.EModeCategory`` of core-v3 1.19.3."""


async def discovered(
    reader: ChainReader, provider: Address, key: MarketKey, basis: Basis
) -> Structure:
    """Read the structure of the market at ``provider``.

    Raises:
        ConfigError: there is no PoolAddressesProvider there.
        MarketUnreadable: its contracts do not answer as Aave's do.
    """
    pool, oracle, data_provider, sentinel, configurator = await _fetch_addresses(
        reader, provider, basis
    )
    answers = Answers(
        await reader.aggregate(
            [
                ask(pool, "POOL_REVISION()"),
                ask(oracle, "BASE_CURRENCY_UNIT()"),
                ask(pool, "getReservesList()"),
            ],
            basis,
        )
    )
    revision = answers.maybe_integer() or 0
    base_unit = answers.integer("the oracle's BASE_CURRENCY_UNIT")
    try:
        listed = decoded(("address[]",), answers.data("the pool's getReservesList"))[0]
    except RpcMalformed:
        raise MarketUnreadable("the pool's list of reserves is not one") from None
    tokens = [_parse_address(token) for token in listed]
    rules, supported = rules_of(revision)
    reserves = await _fetch_reserves(reader, (pool, oracle), tokens, rules, basis)
    categories, own_sources = await _fetch_categories(reader, pool, rules, basis)
    return Structure(
        key=key,
        provider=provider,
        pool=pool,
        oracle=oracle,
        configurator=configurator or ZERO_ADDRESS,
        data_provider=data_provider or ZERO_ADDRESS,
        sentinel=sentinel if rules.sentinel else None,
        revision=revision,
        rules=rules,
        supported=supported,
        base_unit=BaseCurrency(base_unit),
        reserves=reserves,
        categories=categories,
        category_sources=own_sources,
        flash_flag=await _has_flash_flag(reader, data_provider, tokens, rules, basis),
    )


async def origin_of(reader: ChainReader, provider: Address, basis: Basis) -> Origin:
    """Return the pool's proxy and the provider's single log of its creation.

    Source: ``PoolAddressesProvider._updateImpl`` of core-v3 1.19.3 and of aave-v3-origin.
    """
    pool = (await _fetch_addresses(reader, provider, basis))[0]
    padded = bytes.fromhex(pool[2:]).rjust(WORD, b"\0")
    created = LogFilter(addresses=(provider,), topics=((PROXY_CREATED,), (), (padded,)))
    return Origin(contract=pool, created=created)


async def _fetch_addresses(
    reader: ChainReader, provider: Address, basis: Basis
) -> tuple[Address, Address, Address | None, Address | None, Address | None]:
    if not await reader.code(provider, basis):
        raise ConfigError(
            f"there is no contract at {provider}",
            hint="set addresses_provider to the market's PoolAddressesProvider on this chain",
        )
    names = ("getPool", "getPriceOracle", "getPoolDataProvider", "getPriceOracleSentinel")
    questions = [ask(provider, f"{name}()") for name in (*names, "getPoolConfigurator")]
    answers = Answers(await reader.aggregate(questions, basis))
    pool, oracle, data_provider, sentinel, configurator = (
        answers.maybe_address() for _ in questions
    )
    if pool is None or oracle is None:
        raise ConfigError(
            f"{provider} is not the PoolAddressesProvider of an Aave v3 market",
            hint="addresses_provider is the contract that answers getPool()",
        )
    return pool, oracle, data_provider, sentinel, configurator


async def _fetch_reserves(
    reader: ChainReader,
    contracts: tuple[Address, Address],
    tokens: Sequence[Address],
    rules: Rules,
    basis: Basis,
) -> tuple[Reserve, ...]:
    pool, oracle = contracts
    questions = [
        question
        for token in tokens
        for question in (
            ask(pool, "getReserveData(address)", token),
            ask(token, "symbol()"),
            ask(oracle, "getSourceOfAsset(address)", token),
        )
    ]
    answers = Answers(await reader.aggregate(questions, basis))
    found, origins = list[Reserve](), list[Address]()
    for token in tokens:
        data = answers.data(f"getReserveData of {token}")
        symbol = symbol_of(answers.next(), token)
        origins.append(answers.maybe_address() or ZERO_ADDRESS)
        found.append(_decode_reserve(token, symbol, data, rules))
    sources = await price_sources(reader, origins, basis)
    foreign = await _fetch_foreign_flags(reader, [r.variable_token for r in found], basis)
    return tuple(
        dataclasses.replace(reserve, price_source=source, foreign_debt_token=is_foreign)
        for reserve, source, is_foreign in zip(found, sources, foreign, strict=True)
    )


def _decode_reserve(token: Address, symbol: str, data: bytes, rules: Rules) -> Reserve:
    try:
        stable = address_at(data, STABLE_WORD)
        return Reserve(
            identity=word(data, ID_WORD),
            token=token,
            symbol=symbol,
            a_token=address_at(data, A_TOKEN_WORD),
            variable_token=address_at(data, VARIABLE_WORD),
            stable_token=stable if rules.stable_debt and stable != ZERO_ADDRESS else None,
            price_source=PriceSource(source=ZERO_ADDRESS),
        )
    except RpcMalformed:
        raise MarketUnreadable(f"getReserveData of {symbol} is too short") from None


async def _fetch_foreign_flags(
    reader: ChainReader, tokens: Sequence[Address], basis: Basis
) -> list[bool]:
    """Return for each debt token whether it computes balances in its own way.

    GHO's first debt token had discounts, so that its ``balanceOf`` is not scaled balance times
    index. It answers ``getDiscountPercent``, which Aave's own debt tokens lack.
    """
    probes = [ask(token, "getDiscountPercent(address)", ZERO_ADDRESS) for token in tokens]
    answers = Answers(await reader.aggregate(probes, basis))
    return [answers.maybe_integer() is not None for _ in tokens]


async def _fetch_categories(
    reader: ChainReader, pool: Address, rules: Rules, basis: Basis
) -> tuple[tuple[int, ...], Mapping[int, Address]]:
    """Return the configured eModes and, up to 3.1, those with their own price source."""
    if not rules.emode_bitmaps:
        return await _fetch_legacy_categories(reader, pool, basis)
    names = ("getEModeCategoryCollateralConfig", "getEModeCategoryCollateralBitmap")
    questions = [ask(pool, f"{name}(uint8)", at) for at in CATEGORIES for name in names]
    answers = Answers(await reader.aggregate(questions, basis))
    known = [at for at in CATEGORIES if _is_set(answers.next()) | _is_set(answers.next())]
    return tuple(known), {}


def _is_set(answer: CallResult) -> bool:
    return answer.success and any(answer.data)


async def _fetch_legacy_categories(
    reader: ChainReader, pool: Address, basis: Basis
) -> tuple[tuple[int, ...], Mapping[int, Address]]:
    questions = [ask(pool, "getEModeCategoryData(uint8)", at) for at in CATEGORIES]
    results = await reader.aggregate(questions, basis)
    known, own = list[int](), dict[int, Address]()
    for at, result in zip(CATEGORIES, results, strict=True):
        if not result.success:
            continue
        category = decoded(LEGACY_CATEGORY, result.data, "getEModeCategoryData")[0]
        if not category[1]:
            continue
        known.append(at)
        source = _parse_address(category[3])
        if source != ZERO_ADDRESS:
            own[at] = source
    return tuple(known), own


def _parse_address(address: str) -> Address:
    return address_at(bytes.fromhex(address[2:]).rjust(32, b"\0"), 0)


async def _has_flash_flag(
    reader: ChainReader,
    data_provider: Address | None,
    tokens: Sequence[Address],
    rules: Rules,
    basis: Basis,
) -> bool:
    """Return whether reserves have a flag for flash loans.

    The first 3.0 had none and its bit 63 has no meaning. Its data provider does not answer
    ``getFlashLoanEnabled``. Source: ``AaveProtocolDataProvider``, core-v3 1.19.3.
    """
    if rules.virtual_balance or data_provider is None or not tokens:
        return True
    probe = ask(data_provider, "getFlashLoanEnabled(address)", tokens[0])
    return Answers(await reader.aggregate([probe], basis)).maybe_integer() is not None
