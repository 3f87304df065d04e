"""Filters and decoding of a deployment's logs. No I/O."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final

from keeper.chain.abi import checksum, decoded, topic
from keeper.chain.log_table import TOPIC_BYTES, pairs_of, rows_with, words_at
from keeper.domain.errors import RpcMalformed
from keeper.domain.reads import Log, LogFilter, LogTable
from keeper.domain.units import Address, Wad
from keeper.protocols.morpho_blue.model import PARAMS_TYPE, MarketId, Params

CREATE_MARKET: Final = topic(f"CreateMarket(bytes32,{PARAMS_TYPE})")
BORROW: Final = topic("Borrow(bytes32,address,address,address,uint256,uint256)")
REPAY: Final = topic("Repay(bytes32,address,address,uint256,uint256)")
SUPPLY_COLLATERAL: Final = topic("SupplyCollateral(bytes32,address,address,uint256)")
WITHDRAW_COLLATERAL: Final = topic("WithdrawCollateral(bytes32,address,address,address,uint256)")
LIQUIDATE: Final = topic(
    "Liquidate(bytes32,address,address,uint256,uint256,uint256,uint256,uint256)"
)

SET_OWNER: Final = topic("SetOwner(address)")
ACCRUE_INTEREST: Final = topic("AccrueInterest(bytes32,uint256,uint256,uint256)")
SUPPLY: Final = topic("Supply(bytes32,address,address,uint256,uint256)")
WITHDRAW: Final = topic("Withdraw(bytes32,address,address,address,uint256,uint256)")

_TOTALS_ONLY: Final = (ACCRUE_INTEREST, SUPPLY, WITHDRAW)
"""Logs that change no borrower's position, and say why totals are what they are."""
_ACCOUNT_AT: Final = {
    BORROW: 2,  # onBehalf; the caller is not indexed
    REPAY: 3,
    SUPPLY_COLLATERAL: 3,
    WITHDRAW_COLLATERAL: 2,
    LIQUIDATE: 3,
}
"""The topic that names whose position changed. Source: ``EventsLib``, morpho-blue 1.0.0."""

Pair = tuple[MarketId, Address]
"""A position: which market, whose."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Touched:
    """Changes that logs report.

    ``changed`` are all changed positions, including the ``borrowed`` ones. ``created`` are new
    markets. ``named`` is every market in a log.
    """

    borrowed: frozenset[Pair]
    changed: frozenset[Pair]
    created: frozenset[MarketId]
    named: frozenset[MarketId]


def history_filter(morpho: Address) -> LogFilter:
    """Return the filter of logs that name every borrower and every market."""
    return LogFilter(addresses=(morpho,), topics=((BORROW, CREATE_MARKET),))


def origin_filter(morpho: Address) -> LogFilter:
    """Return the filter of owner logs. The constructor's is the contract's first log."""
    return LogFilter(addresses=(morpho,), topics=((SET_OWNER,),))


def creation_filter(morpho: Address) -> LogFilter:
    """Return the filter of logs that name every market."""
    return LogFilter(addresses=(morpho,), topics=((CREATE_MARKET,),))


def block_filter(morpho: Address) -> LogFilter:
    """Return the filter of a block's logs that report changes and new markets."""
    kinds = (CREATE_MARKET, *_ACCOUNT_AT, *_TOTALS_ONLY)
    return LogFilter(addresses=(morpho,), topics=(kinds,))


def liquidation_filter(morpho: Address) -> LogFilter:
    """Return the filter of liquidation logs."""
    return LogFilter(addresses=(morpho,), topics=((LIQUIDATE,),))


def liquidated(logs: Iterable[Log]) -> frozenset[Pair]:
    """Return the positions in ``Liquidate`` logs, without removed logs."""
    return touched(
        log for log in logs if log.topics[:1] == (LIQUIDATE,) and not log.removed
    ).changed


def touched(logs: Iterable[Log]) -> Touched:
    """Return the positions and markets in these logs, including removed ones."""
    borrowed, changed, created = set[Pair](), set[Pair](), set[MarketId]()
    named = set[MarketId]()
    for log in logs:
        kind = log.topics[0] if log.topics else b""
        if len(log.topics) > 1:
            named.add(_decode_id(log.topics[1]))
        if kind == CREATE_MARKET and len(log.topics) > 1:
            created.add(_decode_id(log.topics[1]))
        at = _ACCOUNT_AT.get(kind, len(log.topics))
        if at >= len(log.topics):
            continue
        pair = (_decode_id(log.topics[1]), checksum(log.topics[at][-20:]))
        changed.add(pair)
        if kind == BORROW:
            borrowed.add(pair)
    return Touched(
        borrowed=frozenset(borrowed),
        changed=frozenset(changed),
        created=frozenset(created),
        named=frozenset(named),
    )


def history_borrowed(logs: LogTable) -> frozenset[Pair]:
    """Return the positions that borrowed, from a table of logs."""
    rows = rows_with(logs, BORROW, _ACCOUNT_AT[BORROW] + 1)
    words = (words_at(logs, at, rows) for at in (1, _ACCOUNT_AT[BORROW]))
    return frozenset((MarketId(each), account) for each, account in pairs_of(*words))


def history_created(logs: LogTable) -> frozenset[MarketId]:
    """Return the created markets, from a table of logs."""
    column = words_at(logs, 1, rows_with(logs, CREATE_MARKET, 2)).tobytes()
    size = TOPIC_BYTES
    return frozenset(
        _decode_id(column[start : start + size]) for start in range(0, len(column), size)
    )


def created(logs: Iterable[Log]) -> dict[MarketId, Params]:
    """Return the markets in ``CreateMarket`` logs.

    Raises:
        RpcMalformed: a log does not match the contract's format.
    """
    found = dict[MarketId, Params]()
    for log in logs:
        if log.topics[:1] != (CREATE_MARKET,) or log.removed:
            continue
        params = params_of(log.data)
        if len(log.topics) < 2 or params.id != _decode_id(log.topics[1]):  # noqa: PLR2004 - the id's topic
            raise RpcMalformed("a CreateMarket log whose id is not its market's")
        found[params.id] = params
    return found


def params_of(data: bytes) -> Params:
    """Decode market parameters from five words. RpcMalformed if they are invalid."""
    loan, collateral, oracle, irm, lltv = decoded(
        ("address", "address", "address", "address", "uint256"), data, "a market's parameters"
    )
    return Params(
        loan_token=checksum(loan),
        collateral_token=checksum(collateral),
        oracle=checksum(oracle),
        irm=checksum(irm),
        lltv=Wad(lltv),
    )


def accounts(pairs: Collection[Pair]) -> frozenset[Address]:
    """Return the accounts of these positions."""
    return frozenset(account for _, account in pairs)


def _decode_id(word: bytes) -> MarketId:
    return MarketId("0x" + word.hex())
