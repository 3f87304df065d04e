"""Discovers a deployment's structure from its address alone."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

from keeper.chain.asking import Answers, ask, symbol_of
from keeper.domain.errors import ConfigError, MarketUnreadable
from keeper.domain.head import Basis, Head
from keeper.domain.reads import Call, CallResult
from keeper.domain.units import WAD, Address, MarketKey, Timestamp
from keeper.ports import ChainReader
from keeper.protocols.morpho_blue import events
from keeper.protocols.morpho_blue.irm import borrow_rate
from keeper.protocols.morpho_blue.model import (
    PARAMS_TYPE,
    ZERO_ADDRESS,
    Feed,
    Irm,
    Market,
    MarketId,
    Params,
    Structure,
    Token,
)
from keeper.protocols.morpho_blue.options import Options

MADE_BY: Final = "isMorphoChainlinkOracleV2(address)"
"""How a factory says that an oracle is its own. Source: ``MorphoChainlinkOracleV2Factory``."""

MOST_DECIMALS: Final = 36
MARKET_TYPE: Final = "(uint128,uint128,uint128,uint128,uint128,uint128)"
BORROW_RATE_VIEW: Final = f"borrowRateView({PARAMS_TYPE},{MARKET_TYPE})"

BLOCKS_BEFORE: Final = 10_000
"""
Blocks before ``from_block`` in which markets are looked for, too.

Where it is too late, the totals of these markets show the debt of whom the history leaves out.
"""

_PROBES: Final = ((0, 0), (WAD, WAD // 3), (WAD, WAD))
"""Supplied and borrowed of the markets that a rate model is asked about."""
_PROBE_SECONDS: Final = 10 * 24 * 3_600
_NO_ID: Final = bytes(32)


async def refuse_others(chain: ChainReader, morpho: Address, basis: Basis) -> None:
    """Raise ConfigError if no Morpho Blue answers."""
    calls = [
        ask(morpho, "idToMarketParams(bytes32)", _NO_ID),
        ask(morpho, "market(bytes32)", _NO_ID),
        ask(morpho, "isIrmEnabled(address)", ZERO_ADDRESS),
    ]
    answers = await chain.aggregate(calls, basis)
    expected = (5, 6, 1)
    for answer, words in zip(answers, expected, strict=True):
        if not answer.success or len(answer.data) != 32 * words:
            raise ConfigError(
                f"there is no Morpho Blue at {morpho}", hint="check the market's morpho address"
            )


async def known_markets(
    chain: ChainReader, options: Options, head: Head, from_block: int
) -> dict[MarketId, Params]:
    """Return the markets that exist at ``head``, by the listed ids or the creation logs."""
    morpho = Address(options.morpho)
    if options.listed:
        return await described(chain, morpho, options.listed, Basis(block_hash=head.hash))
    wanted, first = events.creation_filter(morpho), max(0, from_block - BLOCKS_BEFORE)
    return events.created(await chain.logs_between(wanted, first, head.number))


async def described(
    chain: ChainReader, morpho: Address, ids: Collection[MarketId], basis: Basis
) -> dict[MarketId, Params]:
    """Fetch the parameters of these markets, as far as they exist."""
    ordered = sorted(ids)
    calls = [ask(morpho, "idToMarketParams(bytes32)", bytes.fromhex(each[2:])) for each in ordered]
    found = dict[MarketId, Params]()
    for each, answer in zip(ordered, await chain.aggregate(calls, basis), strict=True):
        if not answer.success:
            raise MarketUnreadable(f"{morpho} does not answer idToMarketParams")
        params = events.params_of(answer.data)
        if params.id == each:
            found[each] = params
    return found


async def structure(
    chain: ChainReader,
    options: Options,
    found: Mapping[MarketId, Params],
    head: Head,
    before: Structure | None = None,
) -> Structure:
    """Fetch the tokens, rate models and feeds of these markets, unless they are known.

    Markets with a token or rate model that does not answer are left out with a warning.
    """
    basis = Basis(block_hash=head.hash)
    found = await _filter_by_factory(chain, options, found, basis)
    known = {} if before is None else before.tokens
    wanted = {token for one in found.values() for token in (one.loan_token, one.collateral_token)}
    tokens = {
        **known,
        **await _fetch_tokens(chain, {*wanted, *options.feeds} - known.keys(), basis),
    }
    feeds = await _fetch_feeds(chain, options.feeds, basis) if before is None else before.feeds
    old = {} if before is None else before.markets
    irms = await _fetch_irms(chain, [one for each, one in found.items() if each not in old], head)
    markets, warnings = dict[MarketId, Market](), list[str]()
    for each, params in sorted(found.items()):
        missing = [t for t in (params.loan_token, params.collateral_token) if t not in tokens]
        if missing:
            warnings.append(f"market {each}: {missing[0]} does not say its decimals: left out")
            continue
        markets[each] = old.get(each) or Market(
            id=each,
            key=MarketKey(f"morpho_blue:{options.morpho}:{each}"),
            params=params,
            loan=tokens[params.loan_token],
            collateral=tokens[params.collateral_token],
            irm=irms[each],
        )
    silent = [token for token in options.feeds if token not in {*feeds} & {*tokens}]
    warnings += [f"usd_feeds: {token} or its feed is silent" for token in silent]
    absent = [each for each in options.listed if each not in found]
    warnings += [f"market {each} does not exist (yet), or a list leaves it out" for each in absent]
    return Structure(
        morpho=Address(options.morpho),
        markets=markets,
        feeds=feeds,
        tokens=tokens,
        warnings=tuple(warnings),
    )


async def _filter_by_factory(
    chain: ChainReader, options: Options, found: Mapping[MarketId, Params], basis: Basis
) -> dict[MarketId, Params]:
    """Return the markets with an oracle of a selected factory, or all if none is named."""
    if not options.factories:
        return dict(found)
    pairs = [(each, factory) for each in sorted(found) for factory in options.factories]
    calls = [ask(factory, MADE_BY, found[each].oracle) for each, factory in pairs]
    answers = Answers(await chain.aggregate(calls, basis))
    made = {each for each, _ in pairs if answers.maybe_integer() == 1}
    return {each: params for each, params in found.items() if each in made}


async def _fetch_tokens(
    chain: ChainReader, addresses: Iterable[Address], basis: Basis
) -> dict[Address, Token]:
    ordered = sorted(addresses)
    calls = [ask(each, name) for each in ordered for name in ("decimals()", "symbol()")]
    answers = Answers(await chain.aggregate(calls, basis))
    found = dict[Address, Token]()
    for each in ordered:
        decimals, symbol = answers.maybe_integer(), symbol_of(answers.next(), each)
        if decimals is not None and decimals <= MOST_DECIMALS:
            found[each] = Token(address=each, symbol=symbol, decimals=decimals)
    return found


async def _fetch_feeds(
    chain: ChainReader, sources: Mapping[Address, Address], basis: Basis
) -> dict[Address, Feed]:
    ordered = sorted(sources.items())
    answers = Answers(
        await chain.aggregate([ask(source, "decimals()") for _, source in ordered], basis)
    )
    found = dict[Address, Feed]()
    for token, source in ordered:
        decimals = answers.maybe_integer()
        if decimals is not None and decimals <= MOST_DECIMALS:
            found[token] = Feed(source=source, decimals=decimals)
    return found


async def _fetch_irms(
    chain: ChainReader, found: Sequence[Params], head: Head
) -> dict[MarketId, Irm]:
    """Return the kind of each market's rate model.

    A rate model counts as AdaptiveCurveIrm if it answers like that one, to the wei, for an idle, a
    quiet and a fully used market.
    """
    asked = [params for params in found if params.irm != ZERO_ADDRESS]
    calls = [call for params in asked for call in _build_probes(params, head.timestamp)]
    answers = Answers(await chain.aggregate(calls, Basis(block_hash=head.hash)))
    kinds = {params.id: Irm.NONE for params in found}
    for params in asked:
        kinds[params.id] = _classify_irm([answers.next() for _ in range(1 + len(_PROBES))])
    return kinds


def _build_probes(params: Params, now: Timestamp) -> list[Call]:
    then = now - _PROBE_SECONDS
    return [
        ask(params.irm, "rateAtTarget(bytes32)", bytes.fromhex(params.id[2:])),
        *(
            ask(params.irm, BORROW_RATE_VIEW, params.values, (supplied, 0, lent, 0, then, 0))
            for supplied, lent in _PROBES
        ),
    ]


def _classify_irm(results: Sequence[CallResult]) -> Irm:
    answers = Answers(results)
    rate_at_target = answers.maybe_integer()
    if rate_at_target is None:
        return Irm.UNKNOWN
    for supplied, lent in _PROBES:
        expected, _ = borrow_rate(supplied, lent, rate_at_target, _PROBE_SECONDS)
        if answers.maybe_integer() != expected:
            return Irm.UNKNOWN
    return Irm.ADAPTIVE_CURVE
