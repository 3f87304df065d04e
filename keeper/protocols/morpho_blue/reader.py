"""Builds the reads of a block, and decodes their results. No I/O."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from keeper.chain.asking import Answers, ask
from keeper.domain.reads import Call
from keeper.domain.units import Address, BaseCurrency, Timestamp, TokenUnits, Wad, mul_div_floor
from keeper.protocols.morpho_blue.events import Pair
from keeper.protocols.morpho_blue.model import (
    Feed,
    Irm,
    Market,
    MarketId,
    OraclePrice,
    Position,
    Shares,
    State,
    Structure,
)

USD_UNIT: Final = BaseCurrency(10**8)
"""One US dollar: the base currency of every market here."""

_SIGN: Final = 2**255


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """The contracts' data at a block.

    ``prices`` is None for a failing oracle, ``usd`` has only feeds with a positive price,
    ``balances`` only tokens that answer.
    """

    states: Mapping[MarketId, State]
    prices: Mapping[MarketId, OraclePrice | None]
    usd: Mapping[Address, BaseCurrency]
    balances: Mapping[Address, TokenUnits]


@dataclass(frozen=True, slots=True)
class Asked:
    """The reads of the latest ``build_calls``, which ``apply`` needs to decode the results.

    Of ``idle`` markets, without a known borrower, only the totals are read.
    """

    block_hash: str
    turn: int
    structure: Structure
    active: frozenset[MarketId]
    pairs: tuple[Pair, ...]
    idle: tuple[MarketId, ...] = ()


def block_calls(structure: Structure, active: Collection[MarketId]) -> list[Call]:
    """Return the reads of these markets. Constant in the number of positions."""
    markets = [structure.markets[each] for each in sorted(active)]
    calls = [call for market in markets for call in _build_market_calls(structure.morpho, market)]
    calls += [ask(feed.source, "latestAnswer()") for _, feed in sorted(structure.feeds.items())]
    calls += [ask(token, "balanceOf(address)", structure.morpho) for token in _list_tokens(markets)]
    return calls


def block_read(structure: Structure, active: Collection[MarketId], answers: Answers) -> Read:
    """Decode the results of the block calls. MarketUnreadable if Morpho does not answer."""
    markets = [structure.markets[each] for each in sorted(active)]
    states, prices = dict[MarketId, State](), dict[MarketId, OraclePrice | None]()
    for market in markets:
        states[market.id] = _decode_state(market, answers)
        price = answers.maybe_integer()
        prices[market.id] = None if price is None else OraclePrice(price)
    usd = dict[Address, BaseCurrency]()
    for token, feed in sorted(structure.feeds.items()):
        answer = _convert_to_usd_e8(feed, answers.maybe_integer())
        if answer is not None:
            usd[token] = answer
    balances = {token: answers.maybe_integer() for token in _list_tokens(markets)}
    return Read(
        states=states,
        prices=prices,
        usd=usd,
        balances={t: TokenUnits(held) for t, held in balances.items() if held is not None},
    )


def total_calls(morpho: Address, identities: Sequence[MarketId]) -> list[Call]:
    """Return the reads of the totals of idle markets."""
    return [ask(morpho, "market(bytes32)", bytes.fromhex(identity[2:])) for identity in identities]


def totals_read(identities: Sequence[MarketId], answers: Answers) -> dict[MarketId, State]:
    """Decode the results of the total calls. MarketUnreadable if one is invalid."""
    return {identity: _decode_totals(identity, answers) for identity in identities}


def position_calls(morpho: Address, pairs: Sequence[Pair]) -> list[Call]:
    """Return the reads of these positions."""
    signature = "position(bytes32,address)"
    return [ask(morpho, signature, bytes.fromhex(each[2:]), account) for each, account in pairs]


def positions(pairs: Sequence[Pair], answers: Answers) -> dict[Pair, Position]:
    """Decode the results of the position calls. MarketUnreadable if one is invalid."""
    found = dict[Pair, Position]()
    for pair in pairs:
        _, borrowed, collateral = answers.words(3, "position")
        found[pair] = Position(borrow_shares=Shares(borrowed), collateral=TokenUnits(collateral))
    return found


def _build_market_calls(morpho: Address, market: Market) -> list[Call]:
    identity = bytes.fromhex(market.id[2:])
    calls = [ask(morpho, "market(bytes32)", identity)]
    if market.irm is Irm.ADAPTIVE_CURVE:
        calls.append(ask(market.params.irm, "rateAtTarget(bytes32)", identity))
    return [*calls, ask(market.params.oracle, "price()")]


def _decode_state(market: Market, answers: Answers) -> State:
    state = _decode_totals(market.id, answers)
    if market.irm is not Irm.ADAPTIVE_CURVE:
        return state
    (rate,) = answers.words(1, f"the rate model of market {market.id}")
    return replace(state, rate_at_target=rate)


def _decode_totals(identity: MarketId, answers: Answers) -> State:
    totals = answers.words(6, f"market {identity}")
    return State(
        supply_assets=TokenUnits(totals[0]),
        supply_shares=Shares(totals[1]),
        borrow_assets=TokenUnits(totals[2]),
        borrow_shares=Shares(totals[3]),
        last_update=Timestamp(totals[4]),
        fee=Wad(totals[5]),
    )


def _convert_to_usd_e8(feed: Feed, answer: int | None) -> BaseCurrency | None:
    """Return a feed's positive answer in 1e-8 dollars, rounded down."""
    if answer is None or answer >= _SIGN:
        return None
    return BaseCurrency(mul_div_floor(answer, USD_UNIT, 10**feed.decimals)) or None


def _list_tokens(markets: Sequence[Market]) -> list[Address]:
    return sorted({token.address for one in markets for token in (one.loan, one.collateral)})
