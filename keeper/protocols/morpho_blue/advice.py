"""Cures of a market's debtor. Exact amounts for a stated time, or reasons for none."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from keeper.domain.advice import Advice, Cure, CureKind, LiquidationPrice, cheapest_first
from keeper.domain.search import Guess, least
from keeper.domain.units import (
    UINT256_MAX,
    WAD,
    BaseCurrency,
    Timestamp,
    TokenUnits,
    Wad,
    mul_div_ceil,
    mul_div_floor,
)
from keeper.protocols.morpho_blue import rules
from keeper.protocols.morpho_blue.model import Market, OraclePrice, Position, Shares, State, Token

MOST_COLLATERAL: Final = 2**128 - 1
"""What the contract counts a position's collateral with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One debtor with the market ``now`` and at the cure's time ``then``, interest accrued.

    ``collateral_price`` and ``loan_price`` are in base currency per whole token, 0 if unpriced.
    """

    market: Market
    position: Position
    now: State
    then: State
    price: OraclePrice
    collateral_price: BaseCurrency
    loan_price: BaseCurrency

    @property
    def lltv(self) -> Wad:
        """The market's liquidation threshold."""
        return self.market.params.lltv


def advised(case: Case, target: Wad) -> Advice:
    """Return the cures that bring a debtor to ``target`` at the time of ``case.then``."""
    untreated = rules.health(case.position, case.then, case.price, case.lltv).factor
    found = (
        [] if untreated >= target else [_find_supply(case, target), _find_repayment(case, target)]
    )
    return Advice(
        target=target,
        holds_until=Timestamp(case.then.last_update),
        untreated=untreated,
        cures=cheapest_first(one for one in found if isinstance(one, Cure)),
        prices=tuple(_find_liquidation_prices(case)),
        impossible=tuple(one for one in found if isinstance(one, str)),
    )


def after_repaying(amount: int, position: Position, state: State) -> tuple[Position, State] | None:
    """Return position and market after ``repay`` of this amount. None if it reverts.

    ``state`` is accrued to the block's timestamp. Source: ``Morpho.repay``.
    """
    shares = rules.shares_down(amount, state)
    if shares > position.borrow_shares:
        return None
    left = replace(
        state,
        borrow_assets=TokenUnits(max(0, state.borrow_assets - amount)),
        borrow_shares=Shares(state.borrow_shares - shares),
    )
    return replace(position, borrow_shares=Shares(position.borrow_shares - shares)), left


def _find_supply(case: Case, target: Wad) -> Cure | str:
    """Return the smallest collateral to add. Source: ``Morpho.supplyCollateral``."""
    token, held = case.market.collateral, case.position.collateral

    def reaches(amount: int) -> bool:
        position = replace(case.position, collateral=TokenUnits(held + amount))
        return rules.health(position, case.then, case.price, case.lltv).factor >= target

    most = min(MOST_COLLATERAL, UINT256_MAX // case.price) - held
    now = rules.health(case.position, case.then, case.price, case.lltv)
    lacking = mul_div_ceil(now.borrowed * target - now.most * WAD, 1, case.lltv)
    per_unit = rules.ORACLE_PRICE_SCALE // case.price
    guess = Guess(mul_div_floor(lacking, rules.ORACLE_PRICE_SCALE, case.price), 2 + 4 * per_unit)
    amount = least(most, reaches, guess)
    if amount is None:
        return f"adding {token.symbol}: no amount of it that the contract can count is enough"
    return _build_cure(CureKind.ADD_COLLATERAL, token, amount, case.collateral_price)


def _find_repayment(case: Case, target: Wad) -> Cure:
    """Return the smallest repayment. The whole debt is repaid by shares, which leaves none."""
    token, position, state = case.market.loan, case.position, case.then

    def reaches(amount: int) -> bool:
        done = after_repaying(amount, position, state)
        if done is None or done[0].borrow_shares == 0:
            return True
        return rules.health(*done, case.price, case.lltv).factor >= target

    everything = rules.assets_up(position.borrow_shares, state)
    now = rules.health(position, state, case.price, case.lltv)
    guess = Guess(now.borrowed - mul_div_floor(now.most, WAD, target), 4)
    amount = least(everything, reaches, guess) or everything
    clears = amount >= everything or after_repaying(amount, position, state) is None
    return _build_cure(
        CureKind.REPAY_DEBT,
        token,
        everything if clears else amount,
        case.loan_price,
        clears=clears,
    )


def _build_cure(
    kind: CureKind, token: Token, amount: int, price: BaseCurrency, *, clears: bool = False
) -> Cure:
    return Cure(
        kind=kind,
        token=token.address,
        symbol=token.symbol,
        decimals=token.decimals,
        amount=TokenUnits(amount),
        value=BaseCurrency(mul_div_ceil(amount, price, 10**token.decimals)),
        clears=clears,
    )


def _find_liquidation_prices(case: Case) -> Iterator[LiquidationPrice]:
    """Yield the liquidation price of each token, in dollars, from the oracle's price.

    The oracle's price is exact. In dollars the collateral's is rounded down, the loan's up.
    """
    if not case.loan_price or not case.collateral_price or not case.position.collateral:
        return

    def healthy(price: int) -> bool:
        found = rules.health(case.position, case.now, OraclePrice(price), case.lltv)
        return not found.liquidatable

    now = rules.health(case.position, case.now, case.price, case.lltv)
    near = mul_div_floor(now.borrowed * WAD, rules.ORACLE_PRICE_SCALE, case.lltv)
    guess = Guess(near // case.position.collateral, 2 + near // case.position.collateral // 10**6)
    first = least(UINT256_MAX // case.position.collateral, healthy, guess)
    if first is None or first < 1:
        return
    collateral, loan = case.market.collateral, case.market.loan
    scale = rules.ORACLE_PRICE_SCALE * 10**loan.decimals
    yield LiquidationPrice(
        token=collateral.address,
        symbol=collateral.symbol,
        price=BaseCurrency(
            mul_div_floor((first - 1) * 10**collateral.decimals, case.loan_price, scale)
        ),
        now=case.collateral_price,
        is_floor=True,
        ratio=(first - 1, case.price),
    )
    if first > 1:
        yield LiquidationPrice(
            token=loan.address,
            symbol=loan.symbol,
            price=BaseCurrency(mul_div_ceil(case.loan_price, case.price, first - 1)),
            now=case.loan_price,
            is_floor=False,
            ratio=(case.price, first - 1),
        )
