"""Validates a supply for an account, and whether it would count as collateral."""

from keeper.domain.units import RAY, mul_div_ceil, mul_div_floor
from keeper.protocols.aave_v3 import rules
from keeper.protocols.aave_v3.interest import ray_mul
from keeper.protocols.aave_v3.model import Account, Category, PoolState, ReserveState
from keeper.protocols.aave_v3.position import Clock


def supply_refusal(
    pool: PoolState, account: Account, at: int, amount: int = 0, clock: Clock | None = None
) -> str:
    """Return why a supply of a reserve cannot count as collateral. Empty if it can.

    An existing supply that is not used as collateral is not handled here. With a clock, ``amount``
    is also checked against the supply cap at that time.

    Source: ``ValidationLogic.validateSupply``, core-v3 1.19.3 and aave-v3-origin 5a230ec8.
    """
    state = pool.reserves[at]
    configuration = state.configuration
    for name, shut in (
        ("inactive", not configuration.active),
        ("paused", configuration.paused),
        ("frozen", configuration.frozen),
    ):
        if shut:
            return f"the reserve is {name}"
    if not account.is_collateral(at):
        why = _find_collateral_refusal(pool, account, at)
        if why:
            return why
    return "" if clock is None else _check_supply_cap(state, amount, clock)


def _find_collateral_refusal(pool: PoolState, account: Account, at: int) -> str:
    """Return why a first supply would not be used as collateral. Empty if it would.

    Source: ``ValidationLogic.validateAutomaticUseAsCollateral``, core-v3 1.19.3 and aave-v3-origin
    5a230ec8. Ignores the role that may enable isolated assets.
    """
    if _get_ltv(pool, account, at) == 0:
        return "with a loan-to-value of zero it would not be used as collateral"
    if pool.reserves[at].configuration.debt_ceiling:
        return "as an isolated asset it would not be used as collateral"
    backing = [one for one in account.flagged() if account.is_collateral(one)]
    alone = pool.reserves.get(backing[0]) if len(backing) == 1 else None
    if alone is not None and alone.configuration.debt_ceiling:
        return f"the account is isolated with {alone.reserve.symbol}: nothing else counts"
    return ""


def _get_ltv(pool: PoolState, account: Account, at: int) -> int:
    """Return the loan-to-value that applies. The eMode's own counts from 3.6."""
    category: Category | None = pool.categories.get(account.category)
    if (
        account.category
        and category is not None
        and not pool.structure.rules.needs_reserve_threshold
        and category.collateral >> at & 1
    ):
        return 0 if category.ltv_zero >> at & 1 else category.ltv
    return pool.reserves[at].configuration.ltv


def _check_supply_cap(state: ReserveState, amount: int, clock: Clock) -> str:
    """Return why the supply cap refuses ``amount`` at the clock's time."""
    cap = state.configuration.supply_cap * state.unit
    if not cap:
        return ""
    if state.scaled_supply is None or state.scaled_debt is None:
        return "how much of it is supplied could not be read, and there is a cap"
    index, rulebook = clock.indices(state.reserve.identity)[0], clock.pool.structure.rules
    supplied = state.scaled_supply + state.accrued_to_treasury + _compute_accrued(state, clock)
    if rulebook.directed_rounding:
        # The most that is rounded down, scaled, to what rounded down again is the cap.
        scaled_room = ((cap + 1) * RAY - 1) // index - supplied
        room = mul_div_ceil(scaled_room + 1, index, RAY) - 1 if scaled_room >= 0 else 0
    else:
        room = max(0, cap - ray_mul(supplied, index))
    if amount <= room:
        return ""
    return f"{amount} units are needed, and the supply cap has room for {room}"


def _compute_accrued(state: ReserveState, clock: Clock) -> int:
    """Return the scaled amount accrued to the treasury by then.

    The treasury's part of stable debts (up to 3.1) is unknown here and left out.

    Source: ``ReserveLogic._accrueToTreasury``, core-v3 1.19.3 and aave-v3-origin 5a230ec8.
    """
    factor, debt = state.configuration.reserve_factor, state.scaled_debt or 0
    index, debt_index = clock.indices(state.reserve.identity)
    rulebook = clock.pool.structure.rules
    if clock.now == state.last_update or not factor:
        return 0
    if rulebook.directed_rounding:
        grown = mul_div_floor(debt, debt_index - state.variable_index, RAY)
    else:
        grown = ray_mul(debt, debt_index) - ray_mul(debt, state.variable_index)
    return rules.scaled(rules.percent_mul(grown, factor), index, rulebook)
