"""All legs of a market as columns, for what-if questions about prices."""

from dataclasses import dataclass

import numpy as np

from keeper.chain.abi import checksum
from keeper.chain.listed import Listed
from keeper.columns.block import Block, Codes
from keeper.columns.view import View
from keeper.columns.words import Flags, Floats, Rows, approximate
from keeper.domain.units import BPS, RAY, WAD
from keeper.protocols.aave_v3.accounts import Role
from keeper.protocols.aave_v3.position import Clock, Unpriced
from keeper.protocols.aave_v3.rules import LIQUIDATION_THRESHOLD
from keeper.protocols.aave_v3.totals import Totals
from keeper.risk.table import Asset, Legs, Tabulated


@dataclass(frozen=True, slots=True)
class _Weights:
    """Values by code. Base currency per scaled unit (0 if it does not count), threshold, bonus."""

    worth: Floats
    threshold: Floats
    bonus: Floats
    backs: Flags
    reserve: Rows


def tabulated(view: View, clock: Clock) -> Tabulated:
    """Return all accounts with debt. Health is exact, values are floats.

    Accounts with a stable rate, a missing price or a missing balance are listed apart.
    """
    weights, totals = _compute_weights(clock, view.columns.codes), Totals(clock, view.columns.codes)
    rows = np.flatnonzero(view.owes())
    told, health, verdict = (np.zeros(len(rows), dtype=t) for t in (np.bool_, float, np.bool_))
    legs, at = list[tuple[Rows, Rows, Floats]](), 0
    for part, block in view.blocks(rows):
        here = slice(at, at + len(part))
        told[here], health[here], verdict[here] = _compute_exact(block, totals)
        value = approximate(block.words) * weights.worth[block.code]
        counts = (value > 0) & told[here][block.owner]
        legs.append(
            ((block.owner + at)[counts], block.code[counts].astype(np.int64), value[counts])
        )
        at += len(part)
    owner, code, value = (
        np.concatenate(one) if one else np.zeros(0) for one in zip(*legs, strict=True)
    )
    place = np.cumsum(told) - 1
    return Tabulated(
        legs=Legs(
            accounts=Listed(view, rows[told]),
            liquidatable=verdict[told],
            health=health[told],
            assets=tuple(
                Asset(token=one.reserve.token, symbol=one.reserve.symbol)
                for one in clock.pool.reserves.values()
            ),
            owner=place[owner],
            asset=weights.reserve[code],
            collateral=np.where(weights.backs[code], value, 0.0),
            debt=np.where(weights.backs[code], 0.0, value),
            weight=weights.threshold[code],
            bonus=weights.bonus[code],
        ),
        apart=[checksum(one.tobytes()) for one in view.addresses(rows[~told])],
    )


def _compute_exact(block: Block, totals: Totals) -> tuple[list[bool], list[float], list[bool]]:
    """Return whether each account is valued, its health factor and whether it is liquidatable."""
    told, health, verdict = list[bool](), list[float](), list[bool]()
    for data in totals.of_block(block):
        factor = WAD if data is None else data.health_factor
        told.append(data is not None)
        health.append(factor / WAD)
        verdict.append(factor < LIQUIDATION_THRESHOLD)
    return told, health, verdict


def _compute_weights(clock: Clock, codes: Codes) -> _Weights:
    size = len(codes.keys)
    worth, threshold = np.zeros(size), np.zeros(size)
    bonus, reserve = np.ones(size), np.zeros(size, dtype=np.int64)
    backs = np.array([role == Role.COLLATERAL for _, _, role in codes.keys])
    places = {at: place for place, at in enumerate(clock.pool.reserves)}
    for code, (category, at, role) in enumerate(codes.keys):
        if at not in places or role not in (Role.COLLATERAL, Role.DEBT):
            continue
        reserve[code] = places[at]
        try:
            one = clock.weighed(at, category)
        except Unpriced:
            continue
        if role == Role.DEBT or one.backs:
            index = clock.indices(at)[role == Role.DEBT]
            worth[code] = index / RAY * one.price / one.unit
        threshold[code], bonus[code] = one.threshold / BPS, one.bonus / BPS
    return _Weights(worth, threshold, bonus, backs, reserve)
