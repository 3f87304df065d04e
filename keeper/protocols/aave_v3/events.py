"""Filters and decoding of a market's logs. No I/O."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from keeper.chain.abi import checksum, topic
from keeper.chain.log_table import addresses_of, rows_with, words_at
from keeper.domain.reads import Log, LogFilter, LogTable
from keeper.domain.units import Address
from keeper.protocols.aave_v3.model import ZERO_ADDRESS, Structure

BORROW: Final = topic("Borrow(address,address,address,uint256,uint8,uint256,uint16)")
TRANSFER: Final = topic("Transfer(address,address,uint256)")
COLLATERAL_ENABLED: Final = topic("ReserveUsedAsCollateralEnabled(address,address)")
COLLATERAL_DISABLED: Final = topic("ReserveUsedAsCollateralDisabled(address,address)")
EMODE_SET: Final = topic("UserEModeSet(address,uint8)")
LIQUIDATION: Final = topic("LiquidationCall(address,address,address,uint256,uint256,address,bool)")

RESERVE_UPDATED: Final = topic(
    "ReserveDataUpdated(address,uint256,uint256,uint256,uint256,uint256)"
)
MINT: Final = topic("Mint(address,address,uint256,uint256,uint256)")
BURN: Final = topic("Burn(address,address,uint256,uint256,uint256)")
"""Of aTokens and variable debt tokens, beside each ``Transfer`` that changes a total."""
_PARTIES: Final = {TRANSFER: slice(0, 2), MINT: slice(1, 2), BURN: slice(0, 1)}
"""Which indexed arguments of a token's log name whose balance it changes."""

UPGRADED: Final = topic("Upgraded(address)")
"""Of the proxies of pool and tokens."""

STRUCTURE: Final = frozenset({UPGRADED}) | frozenset(
    topic(signature)
    for signature in (
        # PoolAddressesProvider, core-v3 1.19.3 and aave-v3-origin fd1fbd91
        "PoolUpdated(address,address)",
        "PoolConfiguratorUpdated(address,address)",
        "PriceOracleUpdated(address,address)",
        "PriceOracleSentinelUpdated(address,address)",
        "PoolDataProviderUpdated(address,address)",
        "AddressSet(bytes32,address,address)",
        "AddressSetAsProxy(bytes32,address,address,address)",
        # AaveOracle
        "AssetSourceUpdated(address,address)",
        "FallbackOracleUpdated(address)",
        # PoolConfigurator
        "ReserveInitialized(address,address,address,address,address)",
        "ReserveDropped(address)",
        "ATokenUpgraded(address,address,address)",
        "StableDebtTokenUpgraded(address,address,address)",
        "VariableDebtTokenUpgraded(address,address,address)",
        "EModeAssetCategoryChanged(address,uint8,uint8)",
        "EModeCategoryAdded(uint8,uint256,uint256,uint256,address,string)",
        "AssetCollateralInEModeChanged(address,uint8,bool)",
        "AssetBorrowableInEModeChanged(address,uint8,bool)",
        "AssetLtvzeroInEModeChanged(address,uint8,bool)",
    )
)
"""Logs after which the market is discovered again. What every block reads anyway is not here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Touched:
    """Changes that logs report.

    ``accounts`` maps each account to the contracts (underlying or token) in its logs. ``structure``
    means that the market must be discovered again, ``upgraded`` are the contracts with new code.
    """

    accounts: Mapping[Address, frozenset[Address]]
    structure: bool
    upgraded: frozenset[Address] = frozenset()


def history_filter(structure: Structure) -> LogFilter:
    """Return the filter of logs that name every account that ever borrowed."""
    return LogFilter(addresses=(structure.pool,), topics=((BORROW,),))


def block_filter(structure: Structure) -> LogFilter:
    """Return the filter of a block's logs that report changes."""
    contracts = {
        structure.pool,
        structure.provider,
        structure.oracle,
        structure.configurator,
        *structure.tokens(),
    }
    wanted = (
        BORROW,
        TRANSFER,
        COLLATERAL_ENABLED,
        COLLATERAL_DISABLED,
        EMODE_SET,
        RESERVE_UPDATED,  # touches nobody, and says why indices and totals are what they are
        MINT,
        BURN,
        LIQUIDATION,  # touches nobody of itself; who got better is known at once to be cured or not
        *sorted(STRUCTURE),
    )
    return LogFilter(addresses=tuple(sorted(contracts)), topics=(wanted,))


def history_borrowers(logs: LogTable) -> frozenset[Address]:
    """Return the debtors in a table of ``Borrow`` logs."""
    return addresses_of(words_at(logs, 2, rows_with(logs, BORROW, 3)))


def borrowers(logs: Iterable[Log]) -> frozenset[Address]:
    """Return the debtors in ``Borrow`` logs (``onBehalfOf``, the second indexed argument).

    Source: ``IPool.Borrow``, core-v3 1.19.3 and aave-v3-origin fd1fbd91.
    """
    return frozenset(
        _decode_address(log.topics[2])
        for log in logs
        if len(log.topics) > 2 and log.topics[0] == BORROW  # noqa: PLR2004 - topic 2
    )


def debtors(logs: Iterable[Log], debt_tokens: Collection[Address]) -> frozenset[Address]:
    """Return the accounts in these logs of variable debt tokens.

    Each of them has or had debt, so an account with a missed ``Borrow`` log is found here.
    """
    places = {TRANSFER: (1, 2), MINT: (2,), BURN: (1,)}
    named = {
        _decode_address(log.topics[place])
        for log in logs
        if log.topics and log.address in debt_tokens
        for place in places.get(log.topics[0], ())
        if place < len(log.topics)
    }
    return frozenset(named - {ZERO_ADDRESS})


def liquidation_filter(structure: Structure) -> LogFilter:
    """Return the filter of liquidation logs."""
    return LogFilter(addresses=(structure.pool,), topics=((LIQUIDATION,),))


def liquidated(logs: Iterable[Log]) -> frozenset[Address]:
    """Return the users in ``LiquidationCall`` logs (``user``, the third indexed argument).

    Source: ``IPool.LiquidationCall``, core-v3 1.19.3 and aave-v3-origin fd1fbd91.
    """
    return frozenset(
        _decode_address(log.topics[3])
        for log in logs
        if len(log.topics) > 3 and log.topics[0] == LIQUIDATION and not log.removed  # noqa: PLR2004 - topic 3
    )


def touched(logs: Iterable[Log]) -> Touched:
    """Return the accounts and contracts in these logs, including removed ones."""
    accounts = defaultdict[Address, set[Address]](set)
    structure, upgraded = False, set[Address]()
    for log in logs:
        if not log.topics:
            continue
        kind, indexed = log.topics[0], [*log.topics[1:]]
        structure = structure or kind in STRUCTURE
        if kind == UPGRADED:
            upgraded.add(log.address)
        if kind in _PARTIES:  # of a token: one of them alone names whom the others do
            for party in indexed[_PARTIES[kind]]:
                accounts[_decode_address(party)].add(log.address)
        elif kind in (BORROW, COLLATERAL_ENABLED, COLLATERAL_DISABLED):
            for party in indexed[1:2]:
                accounts[_decode_address(party)].add(_decode_address(indexed[0]))
        elif kind == EMODE_SET:
            for party in indexed[:1]:
                accounts[_decode_address(party)] |= set()
    accounts.pop(ZERO_ADDRESS, None)
    return Touched(
        accounts={account: frozenset(tokens) for account, tokens in accounts.items()},
        structure=structure,
        upgraded=frozenset(upgraded),
    )


def _decode_address(word: bytes) -> Address:
    return checksum(word[-20:])
