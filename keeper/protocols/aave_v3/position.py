"""One account at one timestamp. Balances, values and health, as the pool computes them."""

from dataclasses import dataclass
from typing import Final, NamedTuple

from keeper.domain.units import RAY, BaseCurrency, Bps, Timestamp, TokenUnits, mul_div_floor
from keeper.protocols.aave_v3 import interest, rules
from keeper.protocols.aave_v3.model import (
    Account,
    Category,
    Holding,
    PoolState,
    ReserveState,
    used,
)
from keeper.protocols.aave_v3.rules import AccountData, Pair, Sums


class Leg(NamedTuple):
    """One reserve that an account uses, with amounts and values. Unused sides are zero."""

    state: ReserveState
    price: BaseCurrency
    collateral: TokenUnits
    collateral_value: BaseCurrency
    threshold: Bps
    bonus: Bps
    debt: TokenUnits
    debt_value: BaseCurrency


class Position(NamedTuple):
    """An account's legs at ``now``, by reserve, and its totals."""

    now: Timestamp
    legs: dict[int, Leg]
    data: AccountData


class Unpriced(Exception):
    """An account that cannot be valued. The message names the missing price."""


class Unread(Exception):
    """An account with unknown balances at this block. They are read with the next one."""


@dataclass(frozen=True, slots=True)
class Weighed:
    """Factors of a reserve for the accounts of one eMode at one timestamp."""

    state: ReserveState
    price: BaseCurrency
    threshold: Bps
    backs: bool
    bonus: Bps
    unit: int
    supply_index: int
    debt_index: int


class Clock:
    """A pool projected to one timestamp. Each reserve's indices are computed once."""

    def __init__(self, pool: PoolState, now: Timestamp) -> None:
        self.pool = pool
        self.now = now
        polynomial = pool.structure.rules.polynomial_interest
        self._supply = {at: interest.supply_index(r, now) for at, r in pool.reserves.items()}
        self._debt = {
            at: interest.debt_index(r, now, polynomial=polynomial)
            for at, r in pool.reserves.items()
        }
        self._weighed: dict[tuple[int, int], Weighed] = {}
        self._supplied, self._borrowed, self._valued = rules.roundings(pool.structure.rules)

    def position(self, account: Account) -> Position:
        """Return the account's position at this timestamp.

        Like the pool, it skips a flagged reserve that was dropped.

        Raises:
            Unpriced: a price that the pool would read failed.
            Unread: a balance has not been read.
        """
        reserves, category, legs = self.pool.reserves, account.category, dict[int, Leg]()
        total = weighted = debt = 0
        for at, backs, owed in used(account.flags):
            if at not in reserves:
                continue
            weighed = self._weighed.get((at, category)) or self.weighed(at, category)
            holding = account.holdings.get(at)
            if holding is None:
                raise Unread(f"the balance of {weighed.state.reserve.symbol}")
            leg = legs[at] = self._compute_leg(weighed, holding, backs=backs, owed=owed)
            total += leg.collateral_value
            weighted += leg.collateral_value * leg.threshold
            debt += leg.debt_value
        sums = Sums(total=total, weighted=weighted, debt=debt)
        return Position(now=self.now, legs=legs, data=sums.data(self.pool.structure.rules))

    def _compute_leg(self, weighed: Weighed, holding: Holding, *, backs: bool, owed: bool) -> Leg:
        """Return the leg of a balance, rounded by ``select_roundings``."""
        price, unit = weighed.price, weighed.unit
        collateral = debt = _NO_UNITS
        collateral_value = debt_value = _NO_VALUE
        if backs and weighed.backs:
            supplied = self._supplied(holding.scaled_supply, weighed.supply_index, RAY)
            collateral = TokenUnits(supplied)
            collateral_value = BaseCurrency(mul_div_floor(supplied, price, unit))
        if owed:
            borrowed = self._borrowed(holding.scaled_debt, weighed.debt_index, RAY)
            if holding.stable_principal:
                borrowed += interest.stable_debt(holding, self.now)
            debt = TokenUnits(borrowed)
            debt_value = BaseCurrency(self._valued(borrowed, price, unit))
        return Leg(
            weighed.state,
            price,
            collateral,
            collateral_value,
            weighed.threshold,
            weighed.bonus,
            debt,
            debt_value,
        )

    def weighed(self, at: int, category: int) -> Weighed:
        """Return a reserve's factors for the accounts of an eMode, computed once.

        Raises:
            Unpriced: the price that the pool would read failed.
        """
        key = at, category
        if key not in self._weighed:
            state, anyone = self.pool.reserves[at], Account(0, category, {})
            mode = self._find_category(at, anyone)
            own = state.configuration.liquidation_bonus
            bonus = mode.liquidation_bonus if mode else own
            weights, indices = self.weights(at, anyone), self.indices(at)
            self._weighed[key] = Weighed(state, *weights, bonus, state.unit, *indices)
        return self._weighed[key]

    def weights(self, at: int, account: Account) -> tuple[BaseCurrency, Bps, bool]:
        """Return a reserve's price and threshold for an account, and whether it can be collateral.

        Up to 3.1 the pool reads an eMode's own price whatever the account holds.

        Raises:
            Unpriced: the price that the pool would read failed.
        """
        rulebook, state = self.pool.structure.rules, self.pool.reserves[at]
        category = self._find_category(at, account)
        own = self.pool.categories.get(account.category) if account.category else None
        if own is not None and own.has_price and own.price is None:
            raise Unpriced(f"the price source of eMode {account.category} fails")
        backs = (
            state.configuration.liquidation_threshold != 0 or not rulebook.needs_reserve_threshold
        )
        return _get_price(state, category), _get_threshold(state, category), backs

    def indices(self, at: int) -> tuple[int, int]:
        """Return a reserve's supply and variable debt indices (ray) at this timestamp."""
        return self._supply[at], self._debt[at]

    def variable_debt(self, scaled: int, index: int) -> int:
        """Return a scaled variable debt in token units, rounded as in ``rules.roundings``."""
        return self._borrowed(scaled, index, RAY)

    def _find_category(self, at: int, account: Account) -> Category | None:
        """Return the eMode that applies to this reserve for this account."""
        if account.category == 0:
            return None
        category = self.pool.categories.get(account.category, _UNSET)
        if self.pool.structure.rules.emode_bitmaps:
            return category if category.collateral >> at & 1 else None
        same = self.pool.reserves[at].configuration.emode_category == account.category
        return category if same else None

    def pair(self, account: Account, position: Position, debt: int, collateral: int) -> Pair:
        """Return the inputs of a liquidation of this pair.

        Up to 3.1 an eMode's own price is also the debt's, whatever the debt's category. Source:
        ``LiquidationLogic._getConfigurationData``, core-v3 1.19.3.
        """
        owed, backing = position.legs[debt], position.legs[collateral]
        category = self.pool.categories.get(account.category) if account.category else None
        price = owed.price
        if category is not None and category.has_price and category.price is not None:
            price = category.price
        return Pair(
            data=position.data,
            debt=owed.debt,
            debt_price=price,
            debt_unit=owed.state.unit,
            collateral=backing.collateral,
            collateral_price=backing.price,
            collateral_unit=backing.state.unit,
            bonus=backing.bonus,
            protocol_fee=backing.state.configuration.protocol_fee,
        )


_NO_UNITS: Final = TokenUnits(0)
_NO_VALUE: Final = BaseCurrency(0)

_UNSET: Final = Category(
    identity=0, ltv=Bps(0), liquidation_threshold=Bps(0), liquidation_bonus=Bps(0)
)
"""An eMode that is not set up: all its parameters are zero in the pool's storage."""


def _get_threshold(state: ReserveState, category: Category | None) -> Bps:
    if category is not None:
        return category.liquidation_threshold
    return state.configuration.liquidation_threshold


def _get_price(state: ReserveState, category: Category | None) -> BaseCurrency:
    """Return the pool's price of this reserve for this account.

    Source: ``GenericLogic.calculateUserAccountData``, core-v3 1.19.3 (the eMode's own price, unless
    it is zero, replaces the asset's) and aave-v3-origin fd1fbd91.
    """
    if category is not None and category.has_price and category.price:
        return category.price
    if state.price is None:
        raise Unpriced(f"the price source of {state.reserve.symbol} fails")
    return state.price
