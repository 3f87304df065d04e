"""Morpho Blue's rules for shares, interest, health, seizure and bad debt in exact integers.

Source: ``@morpho-org/morpho-blue`` 1.0.0, ``src/Morpho.sol`` and its libraries.
"""

from dataclasses import dataclass, replace
from typing import Final

from keeper.domain.units import (
    WAD,
    Timestamp,
    TokenUnits,
    Wad,
    mul_div_ceil,
    mul_div_floor,
)
from keeper.protocols.morpho_blue.irm import borrow_rate
from keeper.protocols.morpho_blue.model import Irm, OraclePrice, Position, Shares, State

VIRTUAL_ASSETS: Final = 1
VIRTUAL_SHARES: Final = 10**6
ORACLE_PRICE_SCALE: Final = 10**36
LIQUIDATION_CURSOR: Final = 3 * WAD // 10
MAX_INCENTIVE: Final = Wad(115 * WAD // 100)


def assets_up(shares: int, state: State) -> TokenUnits:
    """Return the debt of borrow shares, rounded up. Source: ``SharesMathLib.toAssetsUp``."""
    return TokenUnits(
        mul_div_ceil(
            shares, state.borrow_assets + VIRTUAL_ASSETS, state.borrow_shares + VIRTUAL_SHARES
        )
    )


def assets_down(shares: int, state: State) -> TokenUnits:
    """Return the debt of borrow shares, rounded down. Source: ``SharesMathLib.toAssetsDown``."""
    return TokenUnits(
        mul_div_floor(
            shares, state.borrow_assets + VIRTUAL_ASSETS, state.borrow_shares + VIRTUAL_SHARES
        )
    )


def shares_up(assets: int, state: State) -> Shares:
    """Return the borrow shares of a debt, rounded up. Source: ``SharesMathLib.toSharesUp``."""
    return Shares(
        mul_div_ceil(
            assets, state.borrow_shares + VIRTUAL_SHARES, state.borrow_assets + VIRTUAL_ASSETS
        )
    )


def shares_down(assets: int, state: State) -> Shares:
    """Return the borrow shares of a debt, rounded down. Source: ``SharesMathLib.toSharesDown``."""
    return Shares(
        mul_div_floor(
            assets, state.borrow_shares + VIRTUAL_SHARES, state.borrow_assets + VIRTUAL_ASSETS
        )
    )


def compounded(rate: int, seconds: int) -> int:
    """
    Return e^(rate * seconds) - 1 (wad) by its first three terms, each rounded down.

    Source: ``MathLib.wTaylorCompounded``.
    """
    first = rate * seconds
    second = mul_div_floor(first, first, 2 * WAD)
    return first + second + mul_div_floor(second, first, 3 * WAD)


def accrued(state: State, irm: Irm, moment: Timestamp) -> State:
    """Return the market as ``accrueInterest`` leaves it at ``moment``, the IRM's state included.

    Source: ``Morpho._accrueInterest``. It does nothing in the second of the last update.
    """
    elapsed = moment - state.last_update
    if elapsed <= 0:
        return state
    if irm is Irm.NONE:
        return replace(state, last_update=moment)
    rate, rate_at_target = borrow_rate(
        state.supply_assets, state.borrow_assets, state.rate_at_target, elapsed
    )
    interest = mul_div_floor(state.borrow_assets, compounded(rate, elapsed), WAD)
    supply = state.supply_assets + interest
    fee_assets = mul_div_floor(interest, state.fee, WAD)
    fee_shares = mul_div_floor(
        fee_assets, state.supply_shares + VIRTUAL_SHARES, supply - fee_assets + VIRTUAL_ASSETS
    )
    return replace(
        state,
        supply_assets=TokenUnits(supply),
        supply_shares=Shares(state.supply_shares + fee_shares),
        borrow_assets=TokenUnits(state.borrow_assets + interest),
        last_update=moment,
        rate_at_target=rate_at_target,
    )


def incentive(lltv: Wad) -> Wad:
    """Return the multiplier on the seized assets, principal included.

    Source: ``Morpho.liquidate``: min(1.15, 1 / (1 - 0.3 (1 - lltv))), each step rounded down.
    """
    discount = mul_div_floor(LIQUIDATION_CURSOR, WAD - lltv, WAD)
    return Wad(min(MAX_INCENTIVE, WAD * WAD // (WAD - discount)))


def quoted(collateral: int, price: OraclePrice) -> TokenUnits:
    """Return the value of collateral in loan units, rounded down."""
    return TokenUnits(mul_div_floor(collateral, price, ORACLE_PRICE_SCALE))


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """An account's debt (rounded up) and its maximum debt (rounded down), in loan units."""

    borrowed: TokenUnits
    most: TokenUnits

    @property
    def liquidatable(self) -> bool:
        """The contract's verdict. Equality is healthy. Source: ``Morpho._isHealthy``."""
        return self.most < self.borrowed

    @property
    def factor(self) -> Wad:
        """Maximum debt over debt, rounded down. Below 1e18 exactly if liquidatable."""
        return Wad(mul_div_floor(self.most, WAD, self.borrowed))


def health(position: Position, state: State, price: OraclePrice, lltv: Wad) -> Health:
    """Return a debtor's health. Source: ``Morpho._isHealthy``."""
    worth = quoted(position.collateral, price)
    return Health(
        borrowed=assets_up(position.borrow_shares, state),
        most=TokenUnits(mul_div_floor(worth, lltv, WAD)),
    )


def after_liquidation(
    position: Position, state: State, done: "Liquidation"
) -> tuple[Position, State]:
    """Return the debtor and the market after a liquidation. Source: ``liquidate``."""
    shares = done.repaid_shares + done.bad_debt_shares
    debt = state.borrow_assets - done.repaid
    left = replace(
        state,
        borrow_assets=TokenUnits(max(0, debt) - done.bad_debt),
        borrow_shares=Shares(state.borrow_shares - shares),
        supply_assets=TokenUnits(state.supply_assets - done.bad_debt),
    )
    debtor = replace(
        position,
        borrow_shares=Shares(position.borrow_shares - shares),
        collateral=TokenUnits(position.collateral - done.seized),
    )
    return debtor, left


@dataclass(frozen=True, slots=True, kw_only=True)
class Liquidation:
    """Effect of one call in token units of loan and collateral, and in shares of debt.

    ``bad_debt`` is charged to the suppliers if no collateral is left.
    """

    repaid: TokenUnits
    repaid_shares: Shares
    seized: TokenUnits
    bad_debt: TokenUnits
    bad_debt_shares: Shares


def repayment(seized: int, price: OraclePrice, factor: Wad) -> TokenUnits:
    """Return the debt that seizing this collateral repays, rounded up twice, in loan units."""
    return TokenUnits(mul_div_ceil(mul_div_ceil(seized, price, ORACLE_PRICE_SCALE), WAD, factor))


def seizure(repaid: int, price: OraclePrice, factor: Wad) -> TokenUnits:
    """Return the collateral that repaying this debt seizes, rounded down twice."""
    return TokenUnits(mul_div_floor(mul_div_floor(repaid, factor, WAD), ORACLE_PRICE_SCALE, price))


def by_collateral(
    seized: int, position: Position, state: State, price: OraclePrice, factor: Wad
) -> Liquidation | None:
    """Return the effect of ``liquidate`` with ``seizedAssets``. None if it exceeds the position.

    ``state`` is accrued to the block's timestamp.
    """
    shares = shares_up(repayment(seized, price, factor), state)
    return _build_liquidation(TokenUnits(seized), shares, position, state)


def by_shares(
    shares: int, position: Position, state: State, price: OraclePrice, factor: Wad
) -> Liquidation | None:
    """Return the effect of ``liquidate`` with ``repaidShares``. None if it exceeds the collateral.

    ``state`` is accrued to the block's timestamp. The price is not zero.
    """
    seized = seizure(assets_down(shares, state), price, factor)
    return _build_liquidation(seized, Shares(shares), position, state)


def _build_liquidation(
    seized: TokenUnits, shares: Shares, position: Position, state: State
) -> Liquidation | None:
    if seized > position.collateral or shares > position.borrow_shares:
        return None
    repaid = assets_up(shares, state)
    left = replace(
        state,
        borrow_assets=TokenUnits(max(0, state.borrow_assets - repaid)),
        borrow_shares=Shares(state.borrow_shares - shares),
    )
    lost = position.borrow_shares - shares if seized == position.collateral else 0
    return Liquidation(
        repaid=repaid,
        repaid_shares=shares,
        seized=seized,
        bad_debt=TokenUnits(min(left.borrow_assets, assets_up(lost, left))),
        bad_debt_shares=Shares(lost),
    )
