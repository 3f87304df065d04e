"""Advice in sentences, with cures and liquidation prices."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from keeper.domain import wording
from keeper.domain.advice import Advice, Cure, CureKind, LiquidationPrice
from keeper.domain.units import WAD, Wad
from keeper.notify import words

_FALLS: Final = {True: "rises", False: "falls"}
_FELL: Final = {True: "rose", False: "fell"}


def advice_lines(advice: Advice, health_factor: Wad | None) -> list[str]:
    """Format cures, reasons and liquidation prices as lines.

    ``health_factor`` is the account's. It gives the direction of prices that were stored without
    one.
    """
    label = "Reason" if _is_unvalued(advice) else "Not possible"
    impossible = [f"{label}: {words.line(reason)}" for reason in advice.impossible]
    prices = [price_line(price, health_factor) for price in advice.prices]
    return [*_format_cure_lines(advice), *impossible, *(line for line in prices if line)]


def cure_text(cure: Cure) -> str:
    """Format a cure as an instruction. The amount is rounded up, so that it suffices."""
    token = words.name(cure.symbol)
    amount = f"{words.amount_ceil(cure.amount, cure.decimals)} {token}"
    if cure.kind is CureKind.ADD_COLLATERAL:
        new = ", a new collateral" if cure.is_new else ""
        return f"add {amount} ({cure.token}{new})"
    rate = " at the stable rate" if cure.stable_rate else ""
    if cure.clears:
        return f"repay all of the {token}{rate}, at most {amount} ({cure.token})"
    return f"repay {amount}{rate} ({cure.token})"


def price_line(price: LiquidationPrice, health_factor: Wad | None) -> str:
    """Format the move of one price alone that begins or ends liquidation.

    The percentage is rounded up, so that the move suffices. Empty where the direction is unknown,
    as for prices stored by an earlier version.
    """
    is_floor = (
        price.is_floor if price.is_floor is not None else _infer_is_floor(price, health_factor)
    )
    move = replace(price, is_floor=is_floor).move
    if move is None:
        return ""
    token, distance = words.name(price.symbol), _format_percent(move.bps)
    if move.begins:
        return f"It can be liquidated if {token} alone {_FALLS[move.up]} by {distance}."
    return f"It would be healthy again if {token} alone {_FELL[move.up]} by {distance}."


def _infer_is_floor(price: LiquidationPrice, health_factor: Wad | None) -> bool | None:
    """Return whether liquidation begins below the price, inferred from the account's health."""
    if health_factor is None or price.price == price.now:
        return None
    return (price.price < price.now) == (health_factor >= WAD)


def _format_cure_lines(advice: Advice) -> Sequence[str]:
    target, until = wording.health(advice.target), wording.moment(advice.holds_until)
    if advice.untreated is not None and advice.untreated >= advice.target:
        return [
            (
                f"Nothing has to be done for a health of {target}: at {until} it is"
                f" {words.health(advice.untreated)} if prices and rates stay."
            )
        ]
    if _is_unvalued(advice):
        return ["What would cure it is not known."]
    if not advice.cures:
        least = wording.health_ceil(advice.target)
        return [f"Nothing that can be added or repaid alone brings it to a health of {least}."]
    bounds = f"health {target} at {until} if prices and rates stay"
    lines = [f"What to do, any one of these ({bounds}):"]
    is_ordered = len(advice.cures) > 1 and all(one.value for one in advice.cures)
    for position, cure in enumerate(advice.cures):
        least = " (the least in value)" if position == 0 and is_ordered else ""
        lines.append(f"- {cure_text(cure)}{least}")
    return lines


def _is_unvalued(advice: Advice) -> bool:
    """Whether nothing is advised because the account has no value at the block."""
    return advice.untreated is None and not advice.cures and bool(advice.impossible)


def _format_percent(bps: int) -> str:
    return f"{bps // 100:,}.{bps % 100:02} %"
