"""Builders of Morpho Blue's facts, each with one changed detail."""

import dataclasses

from keeper.columns.view import View
from keeper.domain.head import Head
from keeper.domain.opportunity import Window
from keeper.protocols.morpho_blue import rules
from keeper.protocols.morpho_blue.accounts import filled
from keeper.protocols.morpho_blue.model import Irm, Market, Params, Position, State, Token
from keeper.protocols.morpho_blue.snapshot import MorphoSnapshot

NOW = 1_800_000_000
WINDOW = Window(earliest=NOW + 12, deadline=NOW + 300)
WAD = 10**18
WETH_IN_USDC = 3_000 * 10**24
"""3,000 USDC (6 decimals) for one WETH (18 decimals), as an oracle says it."""

MORPHO = "0x" + "4" * 40
BORROWER = "0x" + "b" * 40
USDC, WETH = ("0x" + digit * 40 for digit in "ce")


def params(**changes):
    facts = {
        "loan_token": USDC,
        "collateral_token": WETH,
        "oracle": "0x" + "1" * 40,
        "irm": "0x" + "2" * 40,
        "lltv": 860_000_000_000_000_000,
    }
    return Params(**{**facts, **changes})


def market(irm=Irm.ADAPTIVE_CURVE, **changes):
    one = params(**changes)
    return Market(
        id=one.id,
        key=f"morpho_blue:{MORPHO}:{one.id}",
        params=one,
        loan=Token(address=USDC, symbol="USDC", decimals=6),
        collateral=Token(address=WETH, symbol="WETH", decimals=18),
        irm=irm,
    )


def state(**changes):
    facts = {
        "supply_assets": 10_000_000 * 10**6,
        "supply_shares": 9_500_000 * 10**12,
        "borrow_assets": 8_000_000 * 10**6,
        "borrow_shares": 7_500_000 * 10**12,
        "last_update": NOW - 3_600,
        "fee": WAD // 10,
        "rate_at_target": 1_268_391_679,
    }
    return State(**{**facts, **changes})


def owing(usdc, collateral=10**18, at=None):
    """A position that owes about so many USDC."""
    return Position(
        borrow_shares=rules.shares_up(usdc * 10**6, at or state()), collateral=collateral
    )


def snapshot(*positions, price=WETH_IN_USDC, usd=10**8, **changes):
    facts = {
        "head": Head(
            number=1,
            hash="0x" + "a" * 64,
            parent_hash="0x" + "9" * 64,
            timestamp=NOW,
            base_fee=10**9,
            gas_limit=30_000_000,
            gas_used=0,
        ),
        "morpho": MORPHO,
        "read": market(),
        "state": state(),
        "price": price,
        "usd": {USDC: usd} if usd else {},
        "tokens": {one.address: one for one in (market().loan, market().collateral)},
        "held": {USDC: 10**13, WETH: 10**22},
        "view": View(filled({f"0x{at:040x}": one for at, one in enumerate(positions, 1)})),
    }
    return MorphoSnapshot(**{**facts, **changes})


def replaced(one, **changes):
    return dataclasses.replace(one, **changes)
