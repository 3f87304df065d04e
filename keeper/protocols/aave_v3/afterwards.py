"""Balances, flags and pool liquidity of an account after a liquidation, in the same block."""

from dataclasses import replace

from keeper.domain.units import RAY, TokenUnits, mul_div_ceil, mul_div_floor, mul_div_half_up
from keeper.protocols.aave_v3 import interest
from keeper.protocols.aave_v3.model import Account, Holding, PoolState
from keeper.protocols.aave_v3.position import Clock, Position
from keeper.protocols.aave_v3.rulebook import Rules
from keeper.protocols.aave_v3.rules import Liquidation

_NONE = Holding()


def account_after(
    account: Account,
    position: Position,
    clock: Clock,
    legs: tuple[int, int],
    done: Liquidation,
) -> Account:
    """Return the account after a liquidation of ``legs`` (debt and collateral).

    ``position`` is the account before, at the clock's timestamp. From 3.3 the pool writes off the
    remaining debt of an account without collateral.

    Source: ``LiquidationLogic.executeLiquidationCall``, core-v3 1.19.3 and aave-v3-origin 5431379f
    (bad debt), 6138e1fd (roundings).
    """
    debt, collateral = legs
    rulebook, holdings = clock.pool.structure.rules, dict(account.holdings)
    supply_index, _ = clock.indices(collateral)
    holdings[collateral] = _reduce_supply(
        holdings.get(collateral, _NONE), done, supply_index, rulebook
    )
    holdings[debt] = _reduce_debt(holdings.get(debt, _NONE), done, clock, debt)
    flags = account.flags
    if done.all_collateral:
        flags &= ~(2 << 2 * collateral)
    if done.all_debt:
        flags &= ~(1 << 2 * debt)
    if rulebook.value_thresholds and _has_no_collateral_left(position, collateral, done):
        flags = 0
    return replace(account, flags=flags, holdings=holdings)


def pool_after(pool: PoolState, legs: tuple[int, int], done: Liquidation) -> PoolState:
    """Return the pool after a liquidation, less the collateral paid out, plus the debt repaid."""
    debt, collateral = legs
    reserves = dict(pool.reserves)
    for at, change in ((debt, done.repaid), (collateral, -done.received)):
        held = TokenUnits(max(0, reserves[at].available + change))
        reserves[at] = replace(reserves[at], available=held)
    return replace(pool, reserves=reserves)


def _has_no_collateral_left(position: Position, collateral: int, done: Liquidation) -> bool:
    """Return whether no collateral of value is left. Source: ``hasNoCollateralLeft``."""
    leg = position.legs[collateral]
    value = mul_div_floor(done.seized, leg.price, leg.state.unit)
    return value == position.data.collateral


def _reduce_supply(held: Holding, done: Liquidation, index: int, rulebook: Rules) -> Holding:
    """Return the collateral after the payout and the protocol's fee, which is burned separately.

    Each is rounded separately, to nearest up to 3.4 and up from 3.5. The fee is at most the
    remaining collateral.
    """
    divide = mul_div_ceil if rulebook.directed_rounding else mul_div_half_up
    left = held.scaled_supply - divide(done.received, RAY, index)
    left -= min(divide(done.seized - done.received, RAY, index), left)
    return replace(held, scaled_supply=max(0, left))


def _reduce_debt(held: Holding, done: Liquidation, clock: Clock, debt: int) -> Holding:
    """Return the debt after the repayment, which reduces variable debt before stable debt."""
    if done.all_debt:
        return replace(held, scaled_debt=0, stable_principal=0, stable_rate=0, stable_since=0)
    rulebook = clock.pool.structure.rules
    _, index = clock.indices(debt)
    fixed = interest.stable_debt(held, clock.now) if held.stable_principal else 0
    variable = clock.variable_debt(held.scaled_debt, index)
    if done.repaid <= variable or not fixed:
        divide = mul_div_floor if rulebook.directed_rounding else mul_div_half_up
        burned = divide(done.repaid, RAY, index)
        return replace(held, scaled_debt=max(0, held.scaled_debt - burned))
    left = max(0, fixed - (done.repaid - variable))
    return replace(held, scaled_debt=0, stable_principal=left, stable_since=int(clock.now))
