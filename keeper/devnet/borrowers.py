"""Borrowers derived from a seed (pure), and their entry into the market."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from keeper.devnet.aave import Aave
from keeper.devnet.artifacts import Contract
from keeper.devnet.assets import BY_SYMBOL, E_MODE, E_MODE_LTV, E_MODE_THRESHOLD, PRICE_UNIT
from keeper.devnet.node import Node, Transaction

VARIABLE: Final = 2
STABLE: Final = 1

_CENTS: Final = PRICE_UNIT // 100
_BPS: Final = 10_000
_MARGIN_OVER_LTV: Final = 10_050
_GAS_MONEY: Final = 10**18
_DUST_CENTS: Final = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """Kind of account. Legs are ``symbol -> share`` in bps of the collateral or debt value.

    ``health`` is the range of health factors at the first prices, in bps. An account cannot start
    with less health than its loan-to-value allows.
    """

    name: str
    collateral: Mapping[str, int]
    debt: Mapping[str, int]
    health: tuple[int, int] = (10_200, 11_500)
    e_mode: int = 0
    stable: bool = False
    cents: tuple[int, int] = (500_000, 25_000_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Borrower:
    """Borrower of the devnet, with token units by symbol as supplied and borrowed at the start."""

    address: str
    kind: str
    collateral: Mapping[str, int]
    debt: Mapping[str, int]
    e_mode: int = 0
    rate_mode: int = VARIABLE


KINDS: Final = (
    Kind(name="plain", collateral={"WETH": _BPS}, debt={"USDC": _BPS}),
    Kind(
        name="several_collaterals",
        collateral={"WETH": 6_000, "WBTC": 2_500, "wstETH": 1_500},
        debt={"USDC": _BPS},
    ),
    Kind(
        name="e_mode",
        collateral={"wstETH": _BPS},
        debt={"WETH": _BPS},
        health=(10_220, 10_290),
        e_mode=E_MODE,
    ),
    Kind(
        name="two_by_two",
        collateral={"WETH": 6_000, "WBTC": 4_000},
        debt={"USDC": 5_500, "DAI": 4_500},
    ),
    Kind(
        name="dust",
        collateral={"WETH": _BPS},
        debt={"USDC": _BPS},
        health=(10_350, 10_400),
        cents=(_DUST_CENTS, _DUST_CENTS + 1_000),
    ),
    Kind(
        name="deep",
        collateral={"LINK": _BPS},
        debt={"USDC": _BPS},
        health=(10_200, 10_800),
        cents=(2_000_000, 4_000_000),
    ),
    Kind(
        name="same_asset",
        collateral={"WETH": 8_000, "wstETH": 2_000},
        debt={"WETH": 3_000, "USDC": 7_000},
        health=(10_350, 10_450),
    ),
    Kind(name="healthy", collateral={"WBTC": _BPS}, debt={"DAI": _BPS}, health=(18_000, 20_000)),
    Kind(name="tether", collateral={"WETH": _BPS}, debt={"USDT": _BPS}),
    Kind(name="staked", collateral={"wstETH": _BPS}, debt={"USDC": 5_000, "USDT": 5_000}),
    Kind(name="bitcoin", collateral={"WBTC": _BPS}, debt={"USDT": _BPS}, health=(10_400, 13_000)),
    Kind(name="stable_rate", collateral={"WETH": _BPS}, debt={"USDC": _BPS}, stable=True),
    Kind(
        name="short",
        collateral={"USDC": 7_000, "DAI": 3_000},
        debt={"WETH": 6_000, "WBTC": 4_000},
        health=(12_500, 16_000),
    ),
    Kind(name="dai_debt", collateral={"WETH": _BPS}, debt={"DAI": _BPS}),
    Kind(
        name="stable_coins",
        collateral={"USDC": 5_000, "USDT": 5_000},
        debt={"DAI": _BPS},
        health=(11_000, 14_000),
    ),
    Kind(name="safe", collateral={"WETH": _BPS}, debt={"USDC": _BPS}, health=(15_000, 20_000)),
    # Most of the debt is in the collateral's own asset: the best pair needs no exchange.
    Kind(
        name="own_asset",
        collateral={"WETH": _BPS},
        debt={"WETH": 7_500, "USDC": 2_500},
        health=(10_350, 10_400),
    ),
)


def planned_borrowers(count: int, seed: int) -> tuple[Borrower, ...]:
    """Generate ``count`` borrowers, the same for the same seed, in the same order."""
    chance = random.Random(seed)  # noqa: S311 - a reproducible market, not a secret
    return tuple(
        _build_borrower(KINDS[number % len(KINDS)], f"borrower {seed} {number}", chance)
        for number in range(count)
    )


def enter_market(
    node: Node, aave: Aave, tokens: Mapping[str, Contract], borrowers: Sequence[Borrower]
) -> None:
    """
    Let a lender supply each collateral and each borrower borrow, a block per wave.

    The sender of ``aave.pool`` is the lender: it holds the tokens and has approved the pool.
    """
    poor = (each.address for each in borrowers if each.address != aave.pool.sender)
    node.batch([("anvil_setBalance", [who, hex(_GAS_MONEY)]) for who in poor])
    node.send_all(
        [
            aave.pool.transaction("supply", tokens[symbol].address, amount, borrower.address, 0)
            for borrower in borrowers
            for symbol, amount in borrower.collateral.items()
        ]
    )
    node.send_all(
        [
            aave.pool.transaction("setUserEMode", borrower.e_mode, sender=borrower.address)
            for borrower in borrowers
            if borrower.e_mode
        ]
    )
    loans = [_build_loans(aave, tokens, borrower) for borrower in borrowers]
    node.send_all([loan for each in loans for loan in each])


def _build_loans(
    aave: Aave, tokens: Mapping[str, Contract], borrower: Borrower
) -> list[Transaction]:
    mode = borrower.rate_mode if aave.version == "3.0" else VARIABLE
    who = borrower.address
    return [
        aave.pool.transaction("borrow", tokens[symbol].address, amount, mode, 0, who, sender=who)
        for symbol, amount in borrower.debt.items()
    ]


def _build_borrower(kind: Kind, name: str, chance: random.Random) -> Borrower:
    low, high = kind.cents
    # Few large accounts and many small ones, as on a real market.
    value = chance.randint(low, chance.randint(low, high)) * _CENTS
    health = max(chance.randint(*kind.health), _compute_least_health(kind))
    debt_value = value * _compute_threshold(kind) // health
    return Borrower(
        address=str(to_checksum_address(keccak(text=name)[-20:])),
        kind=kind.name,
        collateral=_convert_to_units(kind.collateral, value),
        debt=_convert_to_units(kind.debt, debt_value),
        e_mode=kind.e_mode,
        rate_mode=STABLE if kind.stable else VARIABLE,
    )


def _convert_to_units(shares: Mapping[str, int], value: int) -> dict[str, int]:
    return {
        symbol: BY_SYMBOL[symbol].units_worth(value * share // _BPS)
        for symbol, share in shares.items()
    }


def _compute_threshold(kind: Kind) -> int:
    """Compute the account's liquidation threshold, weighted by its collateral, in bps."""
    if kind.e_mode:
        return E_MODE_THRESHOLD
    shares = kind.collateral.items()
    return sum(BY_SYMBOL[symbol].threshold * share for symbol, share in shares) // _BPS


def _compute_least_health(kind: Kind) -> int:
    """Compute the lowest health factor that the loan-to-value allows plus a margin, in bps."""
    if kind.e_mode:
        return E_MODE_THRESHOLD * _BPS // E_MODE_LTV + 2
    shares = kind.collateral.items()
    ltv = sum(BY_SYMBOL[symbol].ltv * share for symbol, share in shares) // _BPS
    return _compute_threshold(kind) * _MARGIN_OVER_LTV // ltv
